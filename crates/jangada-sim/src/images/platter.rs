//! A disk as a tape leaves it: what is durable, and what waits for a sync. Crash images are cut from it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use crate::disk::tape::Item;
use crate::observed::hash;

/// A change that a power loss may undo.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Bytes that were written.
    Write { file: usize, offset: usize, data: Rc<[u8]> },
    /// A file lost a name, got one, or both at once.
    Name { from: Option<String>, to: Option<(String, usize)> },
}

/// What survives of one change: ranges within its data. Of a change of names, anything or nothing.
pub(crate) type Survival = Vec<Range<usize>>;

/// All files of a disk that somebody may find.
pub(crate) type Image = BTreeMap<String, Content>;

/// What stands in a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) bytes: Rc<Vec<u8>>,
    /// A hash of the bytes.
    number: u64,
}

impl Content {
    fn of(bytes: Vec<u8>) -> Content {
        Content { number: hash(0, &bytes), bytes: Rc::new(bytes) }
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        put(Rc::make_mut(&mut self.bytes), offset, data);
        self.number = hash(0, &self.bytes);
    }
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Platter {
    names: BTreeMap<String, usize>,
    files: Vec<Content>,
    /// In the order of their happening.
    pub(crate) unsynced: Vec<Change>,
}

impl Platter {
    /// A disk that holds this, durably. Its files have the numbers that `SimDisk::holding` gives them.
    pub(crate) fn holding(image: &Image) -> Platter {
        let names = image.keys().cloned().zip(0..).collect();
        Platter { names, files: image.values().cloned().collect(), unsynced: Vec::new() }
    }

    /// The next thing on the tape was done.
    pub(crate) fn done(&mut self, item: &Item) {
        match item {
            Item::Write { file, offset, data } => {
                let change = Change::Write { file: *file, offset: *offset, data: data.as_slice().into() };
                self.unsynced.push(change);
            }
            Item::Name { from, to } => {
                if let Some((_, file)) = to {
                    self.files.resize(self.files.len().max(file + 1), Content::default());
                }
                self.unsynced.push(Change::Name { from: from.clone(), to: to.clone() });
            }
            Item::Sync(synced) => {
                let Platter { files, unsynced, .. } = self;
                unsynced.retain(|change| match change {
                    Change::Write { file, offset, data } if file == synced => {
                        files[*file].write(*offset, data);
                        false
                    }
                    Change::Write { .. } | Change::Name { .. } => true,
                });
            }
            Item::SyncNames => {
                let Platter { names, unsynced, .. } = self;
                unsynced.retain(|change| match change {
                    Change::Name { from, to } => {
                        rename(names, from, to);
                        false
                    }
                    Change::Write { .. } => true,
                });
            }
            Item::PowerLoss { names, contents } => {
                self.unsynced.clear();
                self.names = names.iter().cloned().collect();
                for (file, content) in contents {
                    self.files[*file] = Content::of(content.clone());
                }
            }
            Item::Note(_) => {}
        }
    }

    /// What is found if this survives of each change.
    pub(crate) fn image(&self, survivals: &[Survival]) -> Image {
        let (mut names, mut files) = (self.names.clone(), BTreeMap::new());
        for (change, survival) in self.unsynced.iter().zip(survivals) {
            match change {
                Change::Write { file, offset, data } => {
                    for range in survival {
                        let content = files.entry(*file).or_insert_with(|| self.files[*file].bytes.to_vec());
                        put(content, offset + range.start, &data[range.clone()]);
                    }
                }
                Change::Name { from, to } if !survival.is_empty() => rename(&mut names, from, to),
                Change::Name { .. } => {}
            }
        }
        let files: BTreeMap<usize, Content> =
            files.into_iter().map(|(file, content)| (file, Content::of(content))).collect();
        let content = |file: usize| files.get(&file).unwrap_or(&self.files[file]).clone();
        names.into_iter().map(|(name, file)| (name, content(file))).collect()
    }

    /// All files, by their numbers, and their names, as a process sees them: nothing is lost yet.
    pub(crate) fn cached(&self) -> (Vec<Vec<u8>>, BTreeMap<String, usize>) {
        let mut names = self.names.clone();
        let mut files: Vec<Vec<u8>> = self.files.iter().map(|content| content.bytes.to_vec()).collect();
        for change in &self.unsynced {
            match change {
                Change::Write { file, offset, data } => put(&mut files[*file], *offset, data),
                Change::Name { from, to } => rename(&mut names, from, to),
            }
        }
        (files, names)
    }

    /// What a write overwrites.
    pub(crate) fn durable(&self, file: usize) -> &[u8] {
        &self.files[file].bytes
    }
}

/// Equal images have equal numbers.
pub(crate) fn number(image: &Image) -> u64 {
    image.iter().fold(0, |number, (name, content)| hash(number ^ content.number, name.as_bytes()))
}

fn rename(names: &mut BTreeMap<String, usize>, from: &Option<String>, to: &Option<(String, usize)>) {
    if let Some(from) = from {
        names.remove(from);
    }
    if let Some((to, file)) = to {
        names.insert(to.clone(), *file);
    }
}

fn put(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(data);
}
