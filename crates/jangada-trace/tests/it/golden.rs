//! Comparison with a file under `tests/golden/`.

use std::path::Path;

/// Fails if the file does not say exactly this; with `UPDATE=1`, makes it say so.
pub(crate) fn check(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, actual).expect("the golden files can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected != actual {
        let differs = expected.lines().zip(actual.lines()).position(|(a, b)| a != b);
        let line = differs.unwrap_or(expected.lines().count().min(actual.lines().count()));
        panic!(
            "{} differs from line {} on (UPDATE=1 rewrites it)\n  file: {}\n  now:  {}",
            path.display(),
            line + 1,
            expected.lines().nth(line).unwrap_or("(end)"),
            actual.lines().nth(line).unwrap_or("(end)"),
        );
    }
}
