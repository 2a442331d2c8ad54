//! A disk in memory: for tests of everything that stands on the log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::disk::Disk;

/// A disk in memory. Clones are handles on the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemDisk {
    directory: Rc<RefCell<BTreeMap<String, MemFile>>>,
}

/// An open file of a [`MemDisk`].
#[derive(Clone, Debug, Default)]
pub struct MemFile(Rc<RefCell<Vec<u8>>>);

impl MemDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> MemDisk {
        MemDisk::default()
    }

    /// A file's content, if there is such a file.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.directory.borrow().get(name).map(|file| file.0.borrow().clone())
    }

    /// Flips one bit of a file, as a decaying disk would.
    ///
    /// # Panics
    /// If the file does not exist or is too short.
    pub fn flip_bit(&self, name: &str, bit: u64) {
        let directory = self.directory.borrow();
        let file = directory.get(name).expect("the test names a file that exists");
        let byte = usize::try_from(bit / 8).expect("the test names a bit within the file");
        file.0.borrow_mut()[byte] ^= 1 << (bit % 8);
    }
}

impl Disk for MemDisk {
    type File = MemFile;

    fn path(&self, name: &str) -> String {
        format!("mem:{name}")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.directory.borrow().keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<MemFile> {
        self.directory.borrow().get(name).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn create(&self, name: &str) -> io::Result<MemFile> {
        let mut directory = self.directory.borrow_mut();
        if directory.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        Ok(directory.entry(name.to_owned()).or_default().clone())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut directory = self.directory.borrow_mut();
        let file = directory.remove(from).ok_or(ErrorKind::NotFound)?;
        directory.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.borrow_mut().remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self, file: &MemFile) -> io::Result<u64> {
        Ok(file.0.borrow().len() as u64)
    }

    fn read_at(&self, file: &MemFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let content = file.0.borrow();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let count = buffer.len().min(content.len() - start);
        buffer[..count].copy_from_slice(&content[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, file: &MemFile, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut content = file.0.borrow_mut();
        let start = usize::try_from(offset).expect("a test disk is small");
        let end = start + data.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(data);
        Ok(())
    }

    fn sync_data(&self, _file: &MemFile) -> io::Result<()> {
        Ok(())
    }
}
