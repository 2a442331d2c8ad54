//! How much of the past can be read: said by the leader, the same on all members.

use crate::support::{Cluster, http_get, wait};

#[test]
fn all_members_keep_as_much_history_as_the_leader_was_told() {
    let cluster = Cluster::up_with(3, &["--history-revisions", "4"]);
    for number in 0..10 {
        assert!(cluster.client(&["set", "key", &number.to_string()]).status.success());
    }
    for member in 1..=3 {
        let address = cluster.address(member);
        let all_written = |status: &String| status.contains(r#""history":{"oldest_revision":8,"#);
        let status =
            wait("the last four of eleven revisions", || http_get(&address, "/status").filter(all_written));
        assert!(status.contains(r#""most_revisions":4,"most_bytes":33554432}"#), "{status}");
        let page = http_get(&address, "/metrics").unwrap();
        assert!(page.contains("\njangada_history_revisions 4\n"), "{page}");
    }
}
