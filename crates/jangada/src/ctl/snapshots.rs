//! snapshot save, status, restore: the keys of a cluster as a file, and a cluster out of such a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::maintenance_client::MaintenanceClient;
use jangada_etcd::snapshot::{SnapshotFile, checked, read};
use jangada_kv::{ImportedKey, Revision, Store};
use jangada_server::restoring::{Restoring, restore};
use sha2::{Digest, Sha256};

use super::Ctl;
use super::cluster::words;
use super::grammar::{Restore, SnapshotWord};
use super::leases::drawn;
use super::print::Answer;
use super::status::size;
use super::tree::{Tree, text};
use crate::failure::{Exit, Failure};
use crate::output;

/// Where `jangada serve` keeps its data, and where it listens for other servers, if nothing is said.
const USUAL_DIR: &str = "jangada.data";
const USUAL_PEER: &str = "127.0.0.1:2380";

impl Ctl {
    /// Everything about snapshots.
    pub async fn snapshot(&mut self, word: &SnapshotWord) -> Result<(), Failure> {
        match word {
            SnapshotWord::Save { file } => self.save(file).await,
            SnapshotWord::Status { file } => {
                let bytes = bytes(file)?;
                // As etcdctl counts: without the SHA-256 behind it.
                let content = content(&bytes, false).map_err(|why| damaged(file, &why))?;
                self.tell(&understood(file, content)?, content.len())
            }
            SnapshotWord::Restore(asked) => self.restore(asked),
        }
    }

    /// The file is there under its name once it is whole, and not before.
    async fn save(&mut self, file: &Path) -> Result<(), Failure> {
        let (aside, out) = aside(file)?;
        let saved = self.receive(out, file).await;
        let saved = saved.and_then(|from| {
            let bytes = bytes(&aside)?;
            // It is named by who has sent it: a file of this name will not be there.
            checked(&bytes).map_err(|why| {
                Failure::new(
                    Exit::Corrupt,
                    format!("no snapshot was saved: {from} sent a damaged one: {why}"),
                )
            })?;
            std::fs::rename(&aside, file).map_err(|why| cannot_be_written(file, &why))?;
            Ok(from)
        });
        match saved {
            Ok(from) => {
                let tree =
                    Tree::Object(vec![("endpoint", text(from)), ("file", text(file.to_string_lossy()))]);
                self.format.print(&Answer::lines(tree, format!("Snapshot saved at {}\n", file.display())))
            }
            Err(failure) => {
                // What was received of it is of no use to anybody.
                let _gone = std::fs::remove_file(&aside);
                Err(failure)
            }
        }
    }

    async fn receive(&mut self, mut out: File, file: &Path) -> Result<String, Failure> {
        let link = self.cluster.link().await?;
        let patience = self.cluster.deadline();
        let lost = |why: &str| Failure::unreachable(format!("{}: {why}: no snapshot", link.address));
        let mut client = MaintenanceClient::new(link.channel.clone()).max_decoding_message_size(usize::MAX);
        let parts = client.snapshot(self.cluster.request(pb::SnapshotRequest {})).await;
        let mut parts = match parts {
            Ok(parts) => parts.into_inner(),
            Err(status) => {
                return Err(Failure::refused(format!("{} refused: {}", link.address, words(&status))));
            }
        };
        loop {
            // The whole may take as long as it takes; only silence is an end.
            match tokio::time::timeout(patience, parts.message()).await {
                Ok(Ok(Some(part))) => {
                    out.write_all(&part.blob).map_err(|why| cannot_be_written(file, &why))?;
                }
                Ok(Ok(None)) => break,
                Ok(Err(status)) => return Err(lost(&words(&status))),
                Err(_silence) => return Err(lost("silent")),
            }
        }
        out.sync_all().map_err(|why| cannot_be_written(file, &why))?;
        Ok(link.address)
    }

    fn tell(&self, snapshot: &SnapshotFile, bytes: usize) -> Result<(), Failure> {
        let size = size(i64::try_from(bytes).unwrap_or(i64::MAX));
        let hash = format!("{:x}", snapshot.hash);
        // As etcdctl counts, too: a deletion that was compacted is in no key.
        let row =
            vec![hash, snapshot.newest_key_revision.to_string(), snapshot.total_items.to_string(), size];
        let tree = Tree::Object(vec![
            ("hash", snapshot.hash.into()),
            ("revision", snapshot.newest_key_revision.into()),
            ("storeRevision", snapshot.revision.into()),
            ("totalKey", snapshot.total_items.into()),
            ("keys", (snapshot.kvs.len() as u64).into()),
            ("totalSize", (bytes as u64).into()),
        ]);
        let simple = row.join(", ") + "\n";
        let table = Some((vec!["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"], vec![row]));
        self.format.print(&Answer { table, ..Answer::lines(tree, simple) })
    }

    /// Makes the data directory of one member.
    fn restore(&self, asked: &Restore) -> Result<(), Failure> {
        let bytes = bytes(&asked.file)?;
        let content = content(&bytes, asked.skip_hash_check).map_err(|why| damaged(&asked.file, &why))?;
        let snapshot = understood(&asked.file, content)?;
        if snapshot.auth_enabled && !asked.without_users {
            return Err(Failure::refused(
                "the snapshot is of a cluster with users, and users are not restored: everybody could do everything. Say \
                 --without-users if that is meant",
            ));
        }
        let peers = peers(asked)?;
        let name = asked.name.clone();
        let data_dir = asked.data_dir.clone();
        let start = start_with(&name, &data_dir, &peers);
        let cluster = cluster_number(content, &peers, &asked.initial_cluster_token);
        let revision = snapshot.revision;
        let Kept { store, keys, leased, mortal } = store(snapshot)?;
        let restoring = Restoring { name: name.clone(), data_dir: data_dir.clone(), peers, cluster };
        restore(&restoring, store)
            .map_err(|error| Failure { exit: error.exit_code(), message: error.to_string() })?;
        if leased > 0 {
            output::note(&format!(
                "{leased} keys were under leases and are left out: nobody keeps them alive any more"
            ));
        }
        if mortal > 0 {
            output::note(&format!(
                "{mortal} keys had deadlines of their own and are left out: they would never end"
            ));
        }
        let tree = Tree::Object(vec![
            ("name", text(name.clone())),
            ("dataDir", text(data_dir.to_string_lossy())),
            ("cluster", text(format!("{cluster:016x}"))),
            ("revision", revision.into()),
            ("keys", (keys as u64).into()),
        ]);
        let said = format!(
            "{keys} keys at revision {revision} restored into {} for {name} of cluster {cluster:016x}\n",
            data_dir.display()
        );
        self.format.print(&Answer::lines(tree, said))?;
        output::note(&start);
        Ok(())
    }
}

/// What to type next: nothing is said that need not be.
fn start_with(name: &str, data_dir: &Path, peers: &[(String, String)]) -> String {
    let mut line = "jangada serve".to_owned();
    if name != "n1" {
        line.push_str(&format!(" --name {name}"));
    }
    if data_dir != Path::new(USUAL_DIR) {
        line.push_str(&format!(" --data-dir {}", data_dir.display()));
    }
    let peers: Vec<String> = peers.iter().map(|(name, address)| format!("{name}={address}")).collect();
    let alone = format!("{name}={USUAL_PEER}");
    if peers.as_slice() != std::slice::from_ref(&alone) {
        line.push_str(&format!(" --peers {}", peers.join(",")));
    }
    match peers.as_slice() {
        [_] => format!("start it with `{line}`"),
        _ => format!(
            "when the other members are restored, too, start it with `{line}` (and --listen-client HOST:PORT)"
        ),
    }
}

/// A new file beside this one, under a name that nobody else has: whatever is there already is not ours to replace.
fn aside(file: &Path) -> Result<(PathBuf, File), Failure> {
    loop {
        let mut name = file.as_os_str().to_owned();
        name.push(format!(".{:016x}.part", drawn()));
        match File::create_new(&name) {
            Ok(out) => return Ok((name.into(), out)),
            Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(cannot_be_written(file, &why)),
        }
    }
}

/// Nobody has asked for the file beside it, so it is not named.
fn cannot_be_written(file: &Path, why: &std::io::Error) -> Failure {
    Failure::usage(format!("no snapshot was saved: {} cannot be written: {why}", file.display()))
}

fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|why| Failure::usage(format!("{}: {why}", file.display())))
}

/// The content of a file, whose SHA-256 is right, or need not be.
fn content(bytes: &[u8], skip_check: bool) -> Result<&[u8], String> {
    match checked(bytes) {
        Ok(content) => Ok(content),
        // A copy of etcd's own file has none.
        Err(_) if skip_check => Ok(bytes),
        Err(why) => Err(why),
    }
}

fn understood(file: &Path, content: &[u8]) -> Result<SnapshotFile, Failure> {
    read(content).map_err(|why| damaged(file, &why))
}

fn damaged(file: &Path, why: &str) -> Failure {
    Failure::new(Exit::Corrupt, format!("{}: {why}", file.display()))
}

/// Name and peer address of each member, this one among them.
fn peers(asked: &Restore) -> Result<Vec<(String, String)>, Failure> {
    let usual = format!("{}=http://{USUAL_PEER}", asked.name);
    let said = asked.initial_cluster.as_ref().unwrap_or(&usual);
    let mut peers = BTreeMap::new();
    for part in said.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let wrong = || Failure::usage(format!("--initial-cluster: {part:?} should be NAME=http://HOST:PORT"));
        let (name, url) = part.split_once('=').ok_or_else(wrong)?;
        let address = url.split_once("://").map_or(url, |(_, address)| address).trim_end_matches('/');
        crate::commands::client::check_address(address)?;
        if peers.insert(name.to_owned(), address.to_owned()).is_some() {
            return Err(Failure::usage(format!("--initial-cluster names {name} twice")));
        }
    }
    match peers.contains_key(&asked.name) {
        true => Ok(peers.into_iter().collect()),
        false => Err(Failure::usage(format!("--initial-cluster does not name {}", asked.name))),
    }
}

/// A number for the new cluster: that of no other, and the same for all who say the same of the same file.
fn cluster_number(content: &[u8], peers: &[(String, String)], token: &str) -> u64 {
    let mut sha = Sha256::new();
    sha.update(Sha256::digest(content));
    for part in peers.iter().flat_map(|(name, address)| [name.as_str(), address]).chain([token]) {
        sha.update((part.len() as u64).to_le_bytes());
        sha.update(part);
    }
    let digest = sha.finalize();
    u64::from_le_bytes(digest[..8].try_into().expect("these are eight bytes")).max(1)
}

/// The store, how many keys are in it, and how many are not: those under leases, and those with deadlines of their own.
struct Kept {
    store: Store,
    keys: usize,
    leased: usize,
    mortal: usize,
}

fn store(snapshot: SnapshotFile) -> Result<Kept, Failure> {
    let wrong = |why: &str| Failure::new(Exit::Corrupt, format!("the snapshot contradicts itself: {why}"));
    let number = |number: i64| u64::try_from(number).map_err(|_| wrong("a number is negative"));
    let (mut leased, mut mortal) = (0, 0);
    let mut keys = Vec::with_capacity(snapshot.kvs.len());
    for kv in snapshot.kvs {
        if kv.lease != 0 {
            leased += 1;
            continue;
        }
        if snapshot.mortal.contains(kv.key.as_ref()) {
            mortal += 1;
            continue;
        }
        keys.push(ImportedKey {
            create_revision: Revision(number(kv.create_revision)?),
            mod_revision: Revision(number(kv.mod_revision)?),
            version: number(kv.version)?,
            key: kv.key,
            value: kv.value,
        });
    }
    let count = keys.len();
    let store = Store::import(Revision(number(snapshot.revision)?), keys);
    let store = store.map_err(|error| wrong(&error.to_string()))?;
    Ok(Kept { store, keys: count, leased, mortal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_received_overwrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("saved.part");
        std::fs::write(&file, "mine").unwrap();
        let (first, _) = aside(&file).unwrap();
        let (second, _) = aside(&file).unwrap();
        assert!(first != second && first != file && second != file, "{first:?} {second:?}");
        assert_eq!(first.parent(), file.parent(), "renaming it is one step");
        assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn the_same_words_make_the_same_cluster() {
        let peers = |address: &str| vec![("n1".to_owned(), address.to_owned())];
        let number = cluster_number(b"x", &peers("a:1"), "t");
        assert_eq!(cluster_number(b"x", &peers("a:1"), "t"), number);
        for other in [
            cluster_number(b"y", &peers("a:1"), "t"),
            cluster_number(b"x", &peers("a:2"), "t"),
            cluster_number(b"x", &peers("a:1"), "u"),
        ] {
            assert_ne!(other, number);
        }
    }
}
