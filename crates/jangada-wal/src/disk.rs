//! What the log asks of a disk, and nothing more.
//!
//! A [`Disk`] is one flat directory. The rules that the log relies on, which are also what a simulated disk
//! must imitate and may exploit:
//! - What was written is durable only after [`Disk::sync_data`] on that file; until then any part of it may
//!   survive a crash, in any order, down to single bytes.
//! - A creation, rename or removal is durable only after [`Disk::sync_dir`].
//! - Overwriting bytes with the same bytes changes nothing, even if the write is torn.
//! - An open file can still be read after its name is removed or reused.
//!
//! Read `file_disk.rs` and `mem_disk.rs` for the two implementations.

use std::io;

/// A flat directory of files. Cloning gives another handle on the same directory.
///
/// Names are plain: no separators, never empty. Each error is the operating system's (or its imitation);
/// the caller adds what was being done, to which file and where.
pub trait Disk: Clone {
    /// An open file.
    type File;

    /// How a person would find the file: for error messages only.
    fn path(&self, name: &str) -> String;

    /// The names of all files, in no particular order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Creates an empty file; an existing one is an error (`AlreadyExists`).
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, replacing a file that has this name already.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all creations, renames and removals so far durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self, file: &Self::File) -> io::Result<u64>;

    /// Reads at `offset` until `buffer` is full or the file ends; returns the number of bytes read.
    fn read_at(&self, file: &Self::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `data` at `offset`; the file grows if need be.
    fn write_at(&self, file: &Self::File, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes the file's content and length durable (`fdatasync`).
    fn sync_data(&self, file: &Self::File) -> io::Result<()>;
}
