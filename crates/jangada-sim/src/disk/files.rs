//! Contents and names: what a process sees, and how to get back to what is durable.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::damage::Past;
use super::tape::Item;

/// A change that a power loss may undo.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Bytes were written.
    Write {
        file: usize,
        offset: usize,
        length: usize,
        /// The file's length before.
        old_length: usize,
        /// What they overwrote, in `Files::overwritten`.
        old: Range<usize>,
    },
    /// A file lost a name, got one, or both at once.
    Name { from: Option<String>, to: Option<(String, usize)> },
}

#[derive(Default)]
struct File {
    cached: Vec<u8>,
    /// What is on the disk, if that cannot be told from the changes: a sync has failed.
    durable: Option<Vec<u8>>,
}

/// All files.
#[derive(Default)]
pub(crate) struct Files {
    pub(crate) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    files: Vec<File>,
    /// In the order of their happening.
    pub(crate) changes: Vec<Change>,
    overwritten: Vec<u8>,
    /// What the latest syncs have overwritten, if somebody wants to know.
    pub(super) past: Option<VecDeque<Past>>,
    /// Sectors that cannot be read.
    pub(super) unreadable: Vec<(usize, Range<usize>)>,
}

/// So many writes of the past are kept.
const MAX_PAST: usize = 256;

impl Files {
    pub(crate) fn add(&mut self) -> usize {
        self.files.push(File::default());
        self.files.len() - 1
    }

    pub(super) fn content(&self, file: usize) -> &[u8] {
        &self.files[file].cached
    }

    pub(super) fn content_mut(&mut self, file: usize) -> &mut Vec<u8> {
        &mut self.files[file].cached
    }

    /// Keeps what is overwritten, from now on.
    pub(super) fn keep_past(&mut self) {
        self.past = Some(VecDeque::new());
    }

    /// Some of these bytes cannot be read.
    pub(super) fn cannot_read(&self, file: usize, offset: u64, length: usize) -> bool {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let hit = |sector: &Range<usize>| sector.start < from.saturating_add(length) && from < sector.end;
        self.unreadable.iter().any(|(other, sector)| *other == file && hit(sector))
    }

    pub(crate) fn length(&self, file: usize) -> u64 {
        self.files[file].cached.len() as u64
    }

    pub(crate) fn cached_from(&self, file: usize, offset: usize) -> &[u8] {
        &self.files[file].cached[offset..]
    }

    pub(crate) fn read(&self, file: usize, offset: u64, buffer: &mut [u8]) -> usize {
        let content = &self.files[file].cached;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let count = buffer.len().min(content.len() - start);
        buffer[..count].copy_from_slice(&content[start..start + count]);
        count
    }

    pub(crate) fn write(&mut self, file: usize, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let offset = usize::try_from(offset).expect("a simulated disk is small");
        let written = offset..offset + data.len();
        // A sector that is written anew can be read again.
        self.unreadable.retain(|(other, sector)| {
            *other != file || sector.start >= written.end || written.start >= sector.end
        });
        let content = &mut self.files[file].cached;
        let old_length = content.len();
        let start = self.overwritten.len();
        let covered = offset.min(old_length)..(offset + data.len()).min(old_length);
        self.overwritten.extend_from_slice(&content[covered]);
        put(content, offset, data);
        self.changes.push(Change::Write {
            file,
            offset,
            length: data.len(),
            old_length,
            old: start..self.overwritten.len(),
        });
    }

    pub(crate) fn change_name(&mut self, from: Option<&str>, to: Option<(&str, usize)>) {
        let (from, to) = (from.map(str::to_owned), to.map(|(name, file)| (name.to_owned(), file)));
        rename(&mut self.names, &from, &to);
        self.changes.push(Change::Name { from, to });
    }

    pub(crate) fn sync_names(&mut self) {
        self.changes.retain(|change| matches!(change, Change::Write { .. }));
        self.durable_names.clone_from(&self.names);
    }

    /// The file's changes are durable; `tell` gets the bytes of each write, in order.
    pub(crate) fn sync(&mut self, file: usize, mut tell: impl FnMut(&[u8])) {
        let Files { files, changes, overwritten, past, .. } = self;
        let File { cached, durable } = &mut files[file];
        changes.retain(|change| match change {
            Change::Write { file: other, offset, length, old, .. } if *other == file => {
                let data = &cached[*offset..*offset + *length];
                if let Some(past) = past {
                    if past.len() == MAX_PAST {
                        past.pop_front();
                    }
                    let (place, old) = (*offset..*offset + *length, overwritten[old.clone()].to_vec());
                    past.push_back(Past { file, place, old });
                }
                if let Some(durable) = durable {
                    put(durable, *offset, data);
                }
                tell(data);
                false
            }
            Change::Write { .. } | Change::Name { .. } => true,
        });
        if changes.is_empty() {
            overwritten.clear();
        }
    }

    /// A sync of the file has failed: its changes will never be durable, and the cache shows them all the same.
    pub(crate) fn lose(&mut self, file: usize) {
        if self.files[file].durable.is_none() {
            self.files[file].durable = Some(self.durable_content(file));
        }
        self.changes.retain(|change| !matches!(change, Change::Write { file: other, .. } if *other == file));
    }

    /// What the disk holds of a file.
    pub(crate) fn durable_content(&self, file: usize) -> Vec<u8> {
        if let Some(durable) = &self.files[file].durable {
            return durable.clone();
        }
        let mut content = self.files[file].cached.clone();
        for change in self.changes.iter().rev() {
            if let Change::Write { file: other, offset, old_length, old, .. } = change
                && *other == file
            {
                put(&mut content, *offset, &self.overwritten[old.clone()]);
                content.truncate(*old_length);
            }
        }
        content
    }

    /// What each unsynced write wrote, in order (nothing for changes of names).
    pub(super) fn written(&self) -> Vec<Vec<u8>> {
        // Later writes may have gone over earlier ones: take them back one by one.
        let mut written = vec![Vec::new(); self.changes.len()];
        let mut contents: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
        for (number, change) in self.changes.iter().enumerate().rev() {
            if let Change::Write { file, offset, length, old_length, old } = change {
                let content = contents.entry(*file).or_insert_with(|| self.files[*file].cached.clone());
                written[number] = content[*offset..*offset + *length].to_vec();
                put(content, *offset, &self.overwritten[old.clone()]);
                content.truncate(*old_length);
            }
        }
        written
    }

    /// The files have these contents now, durably; nothing waits for a sync.
    pub(super) fn reset(&mut self, names: BTreeMap<String, usize>, contents: Vec<Option<Vec<u8>>>) {
        for (file, content) in self.files.iter_mut().zip(contents) {
            if let Some(content) = content {
                *file = File { cached: content, durable: None };
            } else if let Some(durable) = file.durable.take() {
                file.cached = durable;
            }
        }
        self.durable_names.clone_from(&names);
        self.names = names;
        self.changes.clear();
        self.overwritten.clear();
    }

    /// These files, durably.
    pub(super) fn holding(files: Vec<Vec<u8>>, names: BTreeMap<String, usize>) -> Files {
        let files = files.into_iter().map(|cached| File { cached, durable: None }).collect();
        Files { files, durable_names: names.clone(), names, ..Files::default() }
    }

    /// Everything that a power loss has left.
    pub(super) fn as_left(&self) -> Item {
        let names: Vec<(String, usize)> =
            self.names.iter().map(|(name, file)| (name.clone(), *file)).collect();
        let contents = names.iter().map(|(_, file)| (*file, self.files[*file].cached.clone())).collect();
        Item::PowerLoss { names, contents }
    }

    pub(super) fn count(&self) -> usize {
        self.files.len()
    }
}

pub(super) fn rename(
    names: &mut BTreeMap<String, usize>,
    from: &Option<String>,
    to: &Option<(String, usize)>,
) {
    if let Some(from) = from {
        names.remove(from);
    }
    if let Some((to, file)) = to {
        names.insert(to.clone(), *file);
    }
}

pub(super) fn put(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(data);
}
