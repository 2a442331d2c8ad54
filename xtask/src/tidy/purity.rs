//! What a pure crate must not depend on, not even through others: threads, sockets, chance.

use crate::tidy::Complaint;

/// The crates that never ask the world anything.
pub const PURE: [&str; 6] =
    ["jangada-raft", "jangada-kv", "jangada-node", "jangada-wal", "jangada-trace", "jangada-sim"];

const BANNED: [&str; 9] =
    ["tokio", "mio", "rand", "rand_core", "getrandom", "async-std", "smol", "crossbeam-channel", "chrono"];

/// Takes what `cargo tree --prefix none` says about a pure crate.
#[must_use]
pub fn check(name: &str, tree: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for dependency in tree.lines().filter_map(|line| line.split(' ').next()) {
        if BANNED.contains(&dependency) {
            let manifest = format!("crates/{name}/Cargo.toml");
            let what =
                format!("depends on `{dependency}`: time, chance and sockets are arguments and effects here");
            complaints.push(Complaint::new(manifest, 0, what));
        }
    }
    complaints.dedup();
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_crate_is_named() {
        assert!(
            check("jangada-raft", "jangada-raft v0.1.0 (/x)\nbytes v1.0.0\ntokio-free v1.0.0\n").is_empty()
        );
        let found = check("jangada-raft", "jangada-raft v0.1.0 (/x)\ntokio v1.0.0\nmio v1.0.0\n");
        assert_eq!(found.len(), 2);
    }
}
