//! Where a laboratory lives: its ports and its folder.
//!
//! A block of twenty ports belongs to it: the first is its own, which it holds as long as it lives, so that no other
//! laboratory takes the block; nK's clients connect to the K-th port behind it, its peers ten further on. The folder
//! holds the servers' disks. It is marked as ours: what is not marked is never deleted, nor what somebody wanted kept.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use jangada_raft::types::NodeId;
use jangada_trace::language::Language;
use jangada_trace::say;

/// Most servers that a laboratory has.
pub const MAX_SERVERS: u64 = 9;
/// Ports of one laboratory.
const BLOCK: u16 = 20;
/// From a server's client port to its peer port.
const TO_PEERS: u16 = 10;
/// Blocks that are tried before giving up.
const TRIES: u16 = 50;
/// What marks a folder as a laboratory's.
const MARK: &str = "lab.txt";
/// The line in it by which disks may be deleted.
const NOT_KEPT: &str = "not kept";
/// What stands in it first.
const WHAT: &str =
    "The disks of a `jangada lab`. If they are kept, the next one with --keep goes on with them.\n";
/// Folders that are tried, one beside the other.
const FOLDERS: u32 = 99;

/// A block of ports that nobody else has.
pub struct Ports {
    base: u16,
    /// Held for as long as the laboratory lives.
    own: TcpListener,
}

impl Ports {
    /// The first free block from this port on.
    ///
    /// # Errors
    /// All of them are taken: a sentence.
    pub fn take(language: Language, first: u16) -> Result<Ports, String> {
        let bases = (0..TRIES).filter_map(|block| first.checked_add(block.checked_mul(BLOCK)?));
        for base in bases.filter(|base| base.checked_add(BLOCK).is_some()) {
            let Ok(own) = TcpListener::bind(loopback(base)) else { continue };
            let servers = (1..=MAX_SERVERS).map(NodeId);
            let ports = Ports { base, own };
            let mut needed = servers.flat_map(|id| [ports.client(id), ports.peer(id)]);
            if needed.all(|address| TcpListener::bind(address).is_ok()) {
                return Ok(ports);
            }
        }
        Err(say!(
            language,
            "no {count} free ports in a row from {first} on: choose another beginning with --ports",
            count = BLOCK,
            first
        ))
    }

    /// Where it begins.
    pub fn base(&self) -> u16 {
        debug_assert!(self.own.local_addr().is_ok(), "it is held");
        self.base
    }

    /// The laboratory's own port.
    pub fn listener(&self) -> &TcpListener {
        &self.own
    }

    /// Where a server's clients connect.
    pub fn client(&self, id: NodeId) -> SocketAddr {
        loopback(self.base + number(id))
    }

    /// Where the other servers connect.
    pub fn peer(&self, id: NodeId) -> SocketAddr {
        loopback(self.base + TO_PEERS + number(id))
    }
}

fn number(id: NodeId) -> u16 {
    assert!((1..=MAX_SERVERS).contains(&id.0), "a laboratory has n1 to n9");
    u16::try_from(id.0).expect("it is one of nine")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// The folder with the disks.
pub struct Folder {
    path: PathBuf,
    keep: bool,
    /// What a laboratory that kept its disks has left here, until other servers begin.
    last: Option<Last>,
    /// The disks have what an earlier laboratory was asked to keep.
    inherited: Option<Last>,
    /// Locked for as long as the laboratory lives.
    mark: File,
}

/// What a laboratory has left that was asked to keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Servers at its beginning.
    pub servers: u64,
    /// The first of its ports: servers know one another by them.
    pub base: u16,
}

impl Folder {
    /// Takes this folder, or, if it is somebody else's, or keeps disks and this laboratory would not, the next one that is
    /// free: `lab-data-2`, and so on.
    ///
    /// # Errors
    /// It cannot be made: a sentence.
    pub fn take(language: Language, wanted: &Path, keep: bool) -> Result<Folder, String> {
        for path in beside(wanted) {
            let claimed = claim(&path, keep).map_err(|why| format!("{}: {why}", path.display()))?;
            if let Some((mark, last)) = claimed {
                let folder = Folder { path, keep, last, inherited: last, mark };
                if last.is_none() {
                    folder.sweep()?;
                }
                return Ok(folder);
            }
        }
        Err(say!(
            language,
            "{folder} and 98 more like it belong to somebody else: give --data-dir",
            folder = wanted.display()
        ))
    }

    /// What can be gone on with, until other servers begin.
    pub fn last(&self) -> Option<Last> {
        self.last
    }

    /// Nothing is gone on with.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// From now on these servers have their disks here.
    ///
    /// # Errors
    /// The system refuses: a sentence.
    pub fn note(&mut self, now: Last) -> Result<(), String> {
        self.last = None;
        write(&mut self.mark, &now.written(self.keep))
            .map_err(|why| format!("{}: {why}", self.path.display()))
    }

    /// Removes all disks, so that other servers can begin; those that an earlier laboratory was asked to keep are moved
    /// to a folder of their own instead, which is told.
    ///
    /// # Errors
    /// The system refuses: a sentence.
    pub fn clear(&mut self) -> Result<Option<PathBuf>, String> {
        let Some(inherited) = self.inherited else { return self.sweep().map(|()| None) };
        let path = beside(&self.path).find(|path| !path.exists());
        let path = path.ok_or_else(|| format!("{}: no free name beside it", self.path.display()))?;
        let set_aside = || {
            fs::create_dir(&path)?;
            fs::write(path.join(MARK), inherited.written(true))?;
            for id in (1..=MAX_SERVERS).map(NodeId).filter(|id| self.disk(*id).exists()) {
                fs::rename(self.disk(id), path.join(id.to_string()))?;
            }
            Ok(())
        };
        set_aside().map_err(|why: std::io::Error| format!("{}: {why}", path.display()))?;
        self.inherited = None;
        Ok(Some(path))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A server's disk.
    pub fn disk(&self, id: NodeId) -> PathBuf {
        self.path.join(id.to_string())
    }

    /// Removes all disks.
    fn sweep(&self) -> Result<(), String> {
        debug_assert!(self.mark.metadata().is_ok(), "it is ours");
        for id in (1..=MAX_SERVERS).map(NodeId) {
            self.remove(id)?;
        }
        Ok(())
    }

    /// Removes a server's disk.
    fn remove(&self, id: NodeId) -> Result<(), String> {
        let disk = self.disk(id);
        match fs::remove_dir_all(&disk) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("{}: {why}", disk.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // Whatever cannot be removed stays, and is swept by the next laboratory.
            let _ = self.sweep();
            let _ = fs::remove_file(self.path.join(MARK));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// This folder, and those that are named after it.
fn beside(wanted: &Path) -> impl Iterator<Item = PathBuf> {
    (1..=FOLDERS).map(move |number| match number {
        1 => wanted.to_owned(),
        more => PathBuf::from(format!("{}-{more}", wanted.display().to_string().trim_end_matches('/'))),
    })
}

fn write(mark: &mut File, text: &str) -> std::io::Result<()> {
    mark.set_len(0)?;
    mark.rewind()?;
    mark.write_all(text.as_bytes())
}

/// The mark in this folder, locked, with what can be gone on with; `None` if the folder is somebody else's, or has disks
/// that are to be kept and whoever asks does not keep any. To whoever `keeps`, disks of which the mark does not tell are an
/// error: they are not gone on with, and not removed either.
fn claim(path: &Path, keeps: bool) -> std::io::Result<Option<(File, Option<Last>)>> {
    let is_new = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(path)?;
            true
        }
        Err(why) => return Err(why),
    };
    let mark = path.join(MARK);
    if !is_new && !mark.exists() {
        return Ok(None);
    }
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(mark)?;
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let mut text = String::new();
    let readable = file.read_to_string(&mut text).is_ok();
    let has_disks = (1..=MAX_SERVERS).any(|id| path.join(NodeId(id).to_string()).exists());
    // Whoever was killed before it could delete its disks left them, and nobody wants them.
    let left_over = readable && text.lines().any(|line| line == NOT_KEPT);
    if !has_disks || left_over {
        write(&mut file, WHAT)?;
        return Ok(Some((file, None)));
    }
    if !keeps {
        return Ok(None);
    }
    match Last::read(&text) {
        Some(last) => Ok(Some((file, Some(last)))),
        None => Err(std::io::Error::other(format!(
            "{MARK} does not say which servers have their disks here: put it right (`servers 5` and `ports 3000`, a line \
             each), give another --data-dir, or remove the folder"
        ))),
    }
}

impl Last {
    /// As it stands in a mark.
    fn written(self, kept: bool) -> String {
        let kept = if kept { "kept" } else { NOT_KEPT };
        format!("{WHAT}servers {}\nports {}\n{kept}\n", self.servers, self.base)
    }

    /// Out of a mark.
    fn read(text: &str) -> Option<Last> {
        let number = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        let (servers, base) = (number("servers "), number("ports "));
        let servers = servers.filter(|servers| (1..=MAX_SERVERS).contains(servers))?;
        Some(Last { servers, base: u16::try_from(base?).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_marked_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("lab-data");
        fs::create_dir_all(wanted.join("n1")).unwrap();
        let folder = Folder::take(Language::English, &wanted, false).unwrap();
        assert_eq!(folder.path(), dir.path().join("lab-data-2"));
        fs::create_dir_all(folder.disk(NodeId(1))).unwrap();
        drop(folder);
        assert!(wanted.join("n1").exists() && !dir.path().join("lab-data-2").exists());
    }

    #[test]
    fn two_laboratories_do_not_share_a_folder_and_a_kept_one_is_gone_on_with_by_who_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("lab-data");
        let mut first = Folder::take(Language::English, &wanted, true).unwrap();
        let noted = Last { servers: 3, base: 3_000 };
        first.note(noted).unwrap();
        let second = Folder::take(Language::English, &wanted, false).unwrap();
        assert_ne!(first.path(), second.path());
        fs::create_dir_all(first.disk(NodeId(2))).unwrap();
        drop(first);
        assert!(wanted.join("n2").exists(), "it was to be kept");
        let third = Folder::take(Language::English, &wanted, true).unwrap();
        assert_eq!((third.path(), third.last()), (wanted.as_path(), Some(noted)));
        assert!(wanted.join("n2").exists(), "it is gone on with");
    }

    #[test]
    fn whoever_keeps_nothing_leaves_kept_disks_alone_and_sweeps_what_a_killed_laboratory_left() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("lab-data");
        let mut first = Folder::take(Language::English, &wanted, true).unwrap();
        first.note(Last { servers: 3, base: 3_000 }).unwrap();
        fs::create_dir_all(first.disk(NodeId(2))).unwrap();
        drop(first);
        let mut second = Folder::take(Language::English, &wanted, false).unwrap();
        assert_eq!(second.path(), dir.path().join("lab-data-2"));
        second.note(Last { servers: 3, base: 3_000 }).unwrap();
        fs::create_dir_all(second.disk(NodeId(2))).unwrap();
        // As after `kill -9`: nobody deletes anything.
        second.keep = true;
        drop(second);
        let third = Folder::take(Language::English, &wanted, false).unwrap();
        assert_eq!(third.path(), dir.path().join("lab-data-2"));
        assert!(!third.disk(NodeId(2)).exists() && wanted.join("n2").exists());
    }

    #[test]
    fn other_servers_begin_beside_the_disks_that_were_kept() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("lab-data");
        let noted = Last { servers: 3, base: 3_000 };
        let mut first = Folder::take(Language::English, &wanted, true).unwrap();
        first.note(noted).unwrap();
        fs::create_dir_all(first.disk(NodeId(2)).join("log")).unwrap();
        assert_eq!(first.clear(), Ok(None), "its own disks");
        fs::create_dir_all(first.disk(NodeId(2)).join("log")).unwrap();
        drop(first);
        let mut second = Folder::take(Language::English, &wanted, true).unwrap();
        second.forget();
        let aside = dir.path().join("lab-data-2");
        assert_eq!(second.clear(), Ok(Some(aside.clone())));
        assert!(!second.disk(NodeId(2)).exists());
        assert_eq!(second.clear(), Ok(None), "it has none but its own any more");
        let third = Folder::take(Language::English, &aside, true).unwrap();
        assert!(third.last() == Some(noted) && third.disk(NodeId(2)).join("log").exists());
    }

    #[test]
    fn disks_that_were_kept_are_not_removed_because_their_mark_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = dir.path().join("lab-data");
        let mut first = Folder::take(Language::English, &wanted, true).unwrap();
        first.note(Last { servers: 3, base: 3_000 }).unwrap();
        fs::create_dir_all(first.disk(NodeId(2))).unwrap();
        drop(first);
        fs::write(wanted.join(MARK), "zzz\n").unwrap();
        let why = Folder::take(Language::English, &wanted, true).err().unwrap();
        assert!(why.contains("lab.txt does not say"), "{why}");
        assert!(wanted.join("n2").exists());
        assert_eq!(fs::read_to_string(wanted.join(MARK)).unwrap(), "zzz\n", "nor is what it said");
    }

    #[test]
    fn two_laboratories_do_not_share_ports() {
        let first = Ports::take(Language::English, 28_000).unwrap();
        let second = Ports::take(Language::English, first.base()).unwrap();
        assert!(second.base() >= first.base() + BLOCK);
        assert_eq!(first.client(NodeId(3)).port(), first.base() + 3);
        assert_eq!(first.peer(NodeId(3)).port(), first.base() + 13);
    }
}
