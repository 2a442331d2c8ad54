//! `jangada ctl` where things do not go well: members that are cut off, input that ends early, keys that nobody may delete.

use crate::ctl::output;
use crate::support::{Cluster, expect_exit, ports, stderr, stdout, wait};

#[test]
fn a_member_that_nobody_finds_at_its_new_address_is_told_and_not_relied_on() {
    let cluster = Cluster::up(3);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let nobody = format!("127.0.0.1:{}", ports(1));
    let updated = output(&cluster, &["member", "update", &follower, "--peer-urls", &nobody]);
    expect_exit(&updated, 0);
    let warning = format!("warning: nobody can be reached at {nobody} from here (connection refused)");
    assert!(stderr(&updated).contains(&warning), "{}", stderr(&updated));
    let told = wait("a member that does not count", || {
        let status = output(&cluster, &["status"]);
        expect_exit(&status, 0);
        stdout(&status).contains("2 of 3 voters take part").then(|| stdout(&status))
    });
    assert!(told.contains(&format!("{leader} does not hear it at {nobody}")), "{told}");
    assert!(told.ends_with("; the next failure stops writes\n"), "{told}");
    let table = stdout(&output(&cluster, &["-o", "table", "status"]));
    assert!(table.starts_with("| NAME") && table.ends_with("; the next failure stops writes\n"), "{table}");
    let status = cluster.status();
    assert_eq!(status["tolerance"]["tolerates"], 0, "{status}");
    assert_eq!(status["tolerance"]["apart"][0], follower.as_str());
}
