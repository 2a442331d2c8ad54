//! A directory of the operating system as a [`Disk`]: the only file of this crate that touches `std::fs`.
//!
//! The directory is created with mode 0700 and its files with 0600. A [`FileDisk`] holds the directory's
//! lock for as long as one of its clones lives, so that two processes cannot write the same log.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::{Action, Error};

/// The name of the lock file. It holds the process id of whoever has the lock.
pub const LOCK_FILE: &str = "LOCK";

/// A locked directory.
#[derive(Clone, Debug)]
pub struct FileDisk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// The directory itself, for `sync_dir`.
    directory: File,
    /// Locked until it is closed.
    _lock: File,
}

impl FileDisk {
    /// Opens a directory, creating it if there is none, and takes its lock.
    ///
    /// # Errors
    /// [`Error::Locked`] with the holder's process id if another process has it; [`Error::Exposed`] if the
    /// directory is there and its group or everybody may write to it; otherwise the operating system's refusal.
    pub fn open(path: &Path) -> Result<FileDisk, Error> {
        let refused = |action, path: &Path| {
            let path = path.display().to_string();
            move |source| Error::Io { action, path, offset: None, source }
        };
        let new: Vec<&Path> = path.ancestors().take_while(|path| is_missing(path)).collect();
        if !new.is_empty() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(path).map_err(refused(Action::Create, path))?;
        }
        // The directories' own names must survive a power loss too.
        for made in &new {
            sync_parent(made).map_err(refused(Action::SyncDir, made))?;
        }
        if new.is_empty() {
            // Whoever made it may have died before that. A parent that this process may not read is another's to keep, and
            // where names cannot be synced they are none that anybody has just made.
            match sync_parent(path) {
                Err(why) if matches!(why.kind(), PermissionDenied | InvalidInput | Unsupported) => {}
                synced => synced.map_err(refused(Action::SyncDir, path))?,
            }
        }
        let directory = File::open(path).map_err(refused(Action::Open, path))?;
        let mode = directory.metadata().map_err(refused(Action::Open, path))?.permissions().mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(Error::Exposed { path: path.display().to_string(), mode });
        }
        let lock = lock(&path.join(LOCK_FILE))?;
        Ok(FileDisk { shared: Arc::new(Shared { path: path.to_owned(), directory, _lock: lock }) })
    }

    fn full_path(&self, name: &str) -> PathBuf {
        assert!(!name.is_empty() && !name.contains('/'), "a disk is flat: names have no separators");
        self.shared.path.join(name)
    }
}

/// `""` stands for the working directory.
fn is_missing(path: &Path) -> bool {
    !path.as_os_str().is_empty() && !path.is_dir()
}

/// Makes the name of a directory durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Takes the lock and writes our process id into the file, for whoever comes too late.
fn lock(path: &Path) -> Result<File, Error> {
    let refused =
        |source| Error::Io { action: Action::Lock, path: path.display().to_string(), offset: None, source };
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(refused)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
            return Err(Error::Locked { path: path.display().to_string(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(refused(source)),
    }
    file.set_len(0).map_err(refused)?;
    file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0).map_err(refused)?;
    Ok(file)
}

impl Disk for FileDisk {
    type File = File;

    fn path(&self, name: &str) -> String {
        self.shared.path.join(name).display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.shared.path)? {
            // A name that is not UTF-8 is not one of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.full_path(name))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.full_path(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.full_path(from), self.full_path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.full_path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.shared.directory.sync_all()
    }

    fn len(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn read_at(&self, file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
        file.write_all_at(data, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_second_opener_learns_who_holds_the_directory() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("n1");
        let first = FileDisk::open(&path).unwrap();
        let error = FileDisk::open(&path).unwrap_err();
        assert!(matches!(error, Error::Locked { holder: Some(pid), .. } if pid == std::process::id()));
        assert!(error.to_string().starts_with(&format!("process {} uses", std::process::id())));
        drop(first);
        FileDisk::open(&path).unwrap();
    }

    #[test]
    fn directory_and_files_are_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let disk = FileDisk::open(&path).unwrap();
        disk.create("x").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("x")), 0o600);
        assert_eq!(mode(&path.join(LOCK_FILE)), 0o600);
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let set = |mode| std::fs::set_permissions(parent.path(), PermissionsExt::from_mode(mode)).unwrap();
        for mode in [0o775, 0o720, 0o757, 0o1777] {
            set(mode);
            let error = FileDisk::open(parent.path()).unwrap_err();
            assert!(matches!(error, Error::Exposed { mode: found, .. } if found == mode));
            let remedy =
                format!("(mode {mode:o}), and so replace what it remembers; take that away: chmod go-w /");
            assert!(error.to_string().contains(&remedy), "{error}");
            assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0, "nothing was made there");
        }
        // As a person makes it, with the usual umask, and as we do.
        for mode in [0o755, 0o750, 0o700] {
            set(mode);
            drop(FileDisk::open(parent.path()).unwrap());
        }
    }

    #[test]
    fn reads_stop_at_the_end_and_creation_is_exclusive() {
        let parent = tempfile::tempdir().unwrap();
        let disk = FileDisk::open(parent.path()).unwrap();
        let file = disk.create("x").unwrap();
        disk.write_at(&file, 3, b"abc").unwrap();
        let mut buffer = [9; 8];
        assert_eq!(disk.read_at(&file, 1, &mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"\0\0abc");
        assert_eq!(disk.len(&file).unwrap(), 6);
        assert_eq!(disk.create("x").unwrap_err().kind(), ErrorKind::AlreadyExists);
        disk.rename("x", "y").unwrap();
        disk.sync_dir().unwrap();
        let mut names = disk.list().unwrap();
        names.sort();
        assert_eq!(names, [LOCK_FILE, "y"]);
    }
}
