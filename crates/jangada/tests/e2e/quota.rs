//! A store that is full: what is refused, in the words of each protocol, and how it becomes usable again.

use std::process::Command;

use crate::support::{Cluster, expect_exit, http_get, installed, jangada, stderr, stdout, wait};

fn etcdctl(cluster: &Cluster, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &cluster.addresses(3).join(",")]).args(arguments);
    command.output().unwrap()
}

/// `jangada client` with words, told what it answered.
fn client(cluster: &Cluster, arguments: &[&str]) -> (Option<i32>, String) {
    let output = cluster.client(arguments);
    (output.status.code(), stdout(&output) + &stderr(&output))
}

#[test]
fn a_full_store_refuses_writes_until_something_is_deleted() {
    let cluster = Cluster::up_with(3, &["--quota-backend-bytes", "100000"]);
    let value = "v".repeat(30_000);
    // The leader tells the store of the quota soon after its election.
    let quota =
        || http_get(&cluster.address(1), "/metrics").filter(|page| page.contains("_quota_bytes 100000\n"));
    wait("a quota", quota);
    for key in ["a", "b", "c"] {
        assert_eq!(client(&cluster, &["set", key, &value]), (Some(0), "OK\n".to_owned()));
    }
    let (code, why) = client(&cluster, &["set", "d", &value]);
    assert_ne!(code, Some(0));
    assert!(why.contains("OOM command not allowed"), "{why}");
    let (_, why) = client(&cluster, &["set", "small", "1"]);
    assert!(why.contains("OOM command not allowed"), "nothing grows under the alarm: {why}");

    for member in 1..=3 {
        // Each member learns of the alarm when it applies the write that was refused.
        let sick = || http_get(&cluster.address(member), "/health").filter(|health| health.contains("ALARM"));
        assert_eq!(wait("an alarm", sick), r#"{"health":"false","reason":"ALARM NOSPACE"}"#);
    }
    let healthy = http_get(&cluster.address(1), "/health?exclude=NOSPACE").unwrap();
    assert_eq!(healthy, r#"{"health":"true","reason":""}"#);
    let alarmed = || http_get(&cluster.address(1), "/metrics").filter(|page| page.contains("NOSPACE\"} 1\n"));
    wait("a metric of the alarm", alarmed);
    if installed("curl") {
        let url = format!("http://{}/kv/d", cluster.address(2));
        let put =
            Command::new("curl").args(["-s", "-w", " %{http_code}", "-X", "PUT", "-d", "1", &url]).output();
        let said = stdout(&put.unwrap());
        assert!(said.contains("database space exceeded") && said.ends_with(" 507"), "{said}");
    }

    assert_eq!(client(&cluster, &["del", "a"]).0, Some(0));
    assert_eq!(client(&cluster, &["set", "d", &value]), (Some(0), "OK\n".to_owned()));
    wait("health", || http_get(&cluster.address(1), "/health").filter(|health| health.contains("true")));
}

#[test]
fn etcdctl_lists_and_disarms_the_alarm_of_a_full_store() {
    if !installed("etcdctl") {
        return;
    }
    let cluster = Cluster::up_with(3, &["--quota-backend-bytes", "100000"]);
    wait("a quota", || {
        http_get(&cluster.address(1), "/metrics").filter(|page| page.contains("_quota_bytes 100000\n"))
    });
    assert_eq!(stdout(&etcdctl(&cluster, &["alarm", "list"])), "");
    let put = |key: &str, value: &str| etcdctl(&cluster, &["put", key, value]);
    expect_exit(&put("a", &"v".repeat(60_000)), 0);
    let refused = put("b", &"v".repeat(60_000));
    assert!(stderr(&refused).contains("etcdserver: mvcc: database space exceeded"), "{}", stderr(&refused));
    let alarms = stdout(&etcdctl(&cluster, &["alarm", "list"]));
    assert!(alarms.starts_with("memberID:") && alarms.ends_with(" alarm:NOSPACE \n"), "{alarms}");
    let status = stdout(&etcdctl(&cluster, &["endpoint", "status", "-w", "json"]));
    assert!(status.contains("alarm:NOSPACE"), "{status}");
    wait("all members to know of it", || {
        let health = crate::ctl::output(&cluster, &["endpoint", "health"]);
        expect_exit(&health, 1);
        (stdout(&health).matches("is unhealthy: Active Alarm(s): NOSPACE\n").count() == 3).then_some(())
    });
    let json = crate::ctl::output(&cluster, &["endpoint", "health", "-o", "json"]);
    assert_eq!(stdout(&json).matches(r#""health":false"#).count(), 3, "{}", stdout(&json));
    let lease = etcdctl(&cluster, &["lease", "grant", "60"]);
    assert!(stderr(&lease).contains("database space exceeded"), "{}", stderr(&lease));
    assert_eq!(stdout(&etcdctl(&cluster, &["compaction", "2"])), "compacted revision 2\n");

    // By hand it can be cleared, too, although nothing is free: until the next write that is too large.
    assert_eq!(stdout(&etcdctl(&cluster, &["alarm", "disarm"])), alarms);
    expect_exit(&put("small", "1"), 0);
    assert!(stderr(&put("b", &"v".repeat(60_000))).contains("database space exceeded"));
    assert_eq!(stdout(&etcdctl(&cluster, &["del", "a"])), "1\n");
    assert_eq!(stdout(&etcdctl(&cluster, &["alarm", "list"])), "", "it has fallen by itself");

    // The alarm outlives those who knew of it.
    expect_exit(&put("a", &"v".repeat(60_000)), 0);
    assert!(stderr(&put("b", &"v".repeat(60_000))).contains("database space exceeded"));
    for name in ["n1", "n2", "n3"] {
        cluster.ok(&["restart", name]);
    }
    let refused = || Some(put("small", "2")).filter(|put| !stderr(put).contains("no leader"));
    assert!(stderr(&wait("an answer", refused)).contains("database space exceeded"));
}

#[test]
fn a_quota_of_etcds_flag_holds() {
    let help = jangada().args(["etcd", "--quota-backend-bytes", "lots"]).output().unwrap();
    expect_exit(&help, 2);
    assert!(stderr(&help).contains("--quota-backend-bytes lots: a number is wanted"), "{}", stderr(&help));
}
