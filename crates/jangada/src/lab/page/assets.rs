//! The page's files, as they lie in `crates/jangada/web`: no build step stands between them and the browser. What is
//! written there for people, comments and indentation, stays here when they are served.

use std::sync::LazyLock;

use jangada_server::config::ConsoleFile;

/// One file; its name is its path on the page.
pub type Asset = ConsoleFile;

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        ConsoleFile {
            name: $name,
            content_type: $content_type,
            text: include_str!(concat!("../../../web/", $name)),
        }
    };
}

/// All of them; the first is the page itself.
const ASSETS: &[Asset] = &[
    asset!("index.html", "text/html; charset=utf-8"),
    asset!("page.css", "text/css; charset=utf-8"),
    asset!("page.js", SCRIPT),
    asset!("cards.js", SCRIPT),
    asset!("diagram.js", SCRIPT),
    asset!("model.js", SCRIPT),
    asset!("words.js", SCRIPT),
];

/// What a browser gets of them; the first is the page itself.
static SERVED: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let served = |asset: &Asset| Asset { text: String::leak(lean(asset.text)), ..*asset };
    ASSETS.iter().map(served).collect()
});

/// What a browser gets; the first file is the page itself.
pub fn served() -> &'static [Asset] {
    &SERVED
}

/// Lines without indentation, and none that are comments. Comments have lines of their own in these files.
fn lean(text: &str) -> String {
    let mut lean = String::with_capacity(text.len());
    let mut in_comment = false;
    for line in text.lines().map(str::trim) {
        in_comment |= line.starts_with("/*");
        if !in_comment && !line.is_empty() && !line.starts_with("//") {
            lean.push_str(line);
            lean.push('\n');
        }
        in_comment &= !line.ends_with("*/");
    }
    lean
}

/// The file of this name.
pub fn named(name: &str) -> Option<&'static Asset> {
    served().iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_gets_stays_small() {
        let bytes: usize = served().iter().map(|asset| asset.text.len()).sum();
        assert!(bytes <= 80_000, "{bytes} bytes: the page is to stay within 80 kB");
    }

    #[test]
    fn comments_and_indentation_are_not_served() {
        let text = "// one\n/** two\n * more\n */\nlet a = 1; // kept\n\n  /** three */\n\tb();\n";
        assert_eq!(lean(text), "let a = 1; // kept\nb();\n");
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        for asset in ASSETS {
            for foreign in ["http://", "https://", "src=\"//", "import('", "eval("] {
                let text = asset.text.replace("http://www.w3.org/", "");
                assert!(!text.contains(foreign), "{} has {foreign}", asset.name);
            }
        }
    }

    #[test]
    fn every_module_that_is_imported_is_embedded() {
        for asset in ASSETS {
            for line in asset.text.lines().filter(|line| line.starts_with("import ")) {
                let from = line.split("'./").nth(1).and_then(|rest| rest.split('\'').next());
                let from = from.unwrap_or_else(|| panic!("{}: {line}", asset.name));
                assert!(named(from).is_some(), "{} wants {from}", asset.name);
            }
        }
    }
}
