//! Plans under `sim/plans`: what the simulator once found and a script cannot tell, each made small. None fails again.

use std::fs;
use std::path::Path;

use jangada_sim::kv::Kv;
use jangada_sim::{PlanFile, run};

#[test]
fn what_was_found_once_does_not_come_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sim/plans");
    let mut played = 0;
    for entry in fs::read_dir(&folder).expect("the folder of the plans") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a readable plan");
        let file = PlanFile::read(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        let verdict = run(file.plan, Kv::new());
        let first = verdict.violations.first().map(ToString::to_string);
        assert_eq!(first, None, "{}: {}", path.display(), file.about);
        played += 1;
    }
    assert!(played > 0, "there are plans");
}
