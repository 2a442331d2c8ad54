//! Every crash point of scripted lives: every image boots, and nothing that was promised is missing.

use jangada_sim::images::{self, Counts, Kind};

#[test]
fn a_server_starts_on_every_disk_that_a_crash_can_leave() {
    let mut counts = Counts::default();
    for seed in 1..=2 {
        counts += &images::all(seed).unwrap_or_else(|why| panic!("{why}"));
    }
    println!("{} images of {} operations", counts.images, counts.operations);
    for kind in Kind::ALL {
        println!("  {:>8}  {}", counts.of(*kind), kind.name());
    }
    assert!(counts.images >= 50_000, "only {} images: the lives have lost their content", counts.images);
    assert_eq!(counts.missing(), [], "what no image was");
}
