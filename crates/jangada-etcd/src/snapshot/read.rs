//! Reading a snapshot: bbolt's format, etcd's buckets, and out of them every key as it was at the end.
//!
//! The file may be ours or etcd's. Nothing in it is trusted: what points out of the file, or around in it, is an error and
//! never a panic.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use sha2::{Digest, Sha256};

use super::{Mortal, USERS_LEFT_OUT};
use crate::mvccpb;

const MAGIC: u32 = 0xED0C_DAED;
const BRANCH: u64 = 0x01;
const LEAF: u64 = 0x02;
const HEAD_BYTES: usize = 16;
const ELEMENT_BYTES: usize = 16;
/// bbolt's trees are never as deep.
const DEEPEST: usize = 32;
const SHA_BYTES: usize = 32;
/// A file is whole pages, or whole blocks of this size at least: what is left over is its SHA-256.
const BLOCK_BYTES: usize = 512;

/// What a snapshot holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotFile {
    /// The revision of the store.
    pub revision: i64,
    /// The newest revision that a key was written or deleted in, as far as the file has that, which etcd's tools call the
    /// file's: 0 without any.
    pub newest_key_revision: i64,
    /// The keys as they were at that revision, by name.
    pub kvs: Vec<mvccpb::KeyValue>,
    /// Those of them that have a deadline of their own, not a lease's: only our own file tells.
    pub mortal: BTreeSet<Vec<u8>>,
    /// Items of all buckets.
    pub total_items: u64,
    /// CRC-32C of the names and items of all buckets, as `etcdctl snapshot status` has it.
    pub hash: u32,
    /// Whether users were asked who they are.
    pub auth_enabled: bool,
}

/// Checks the SHA-256 at the end of a file, and returns what stands before it.
///
/// # Errors
/// A sentence: there is none, or it is another file's.
pub fn checked(file: &[u8]) -> Result<&[u8], String> {
    if file.len() % BLOCK_BYTES != SHA_BYTES {
        return Err("the file has no SHA-256 at its end: it is no snapshot, or was cut short".to_owned());
    }
    let (content, sha) = file.split_at(file.len() - SHA_BYTES);
    match Sha256::digest(content).as_slice() == sha {
        true => Ok(content),
        false => Err("the SHA-256 at the end of the file is not that of the file: it is damaged".to_owned()),
    }
}

/// Reads the content of a file, without its SHA-256.
///
/// # Errors
/// A sentence about what is wrong with it.
pub fn read(content: &[u8]) -> Result<SnapshotFile, String> {
    let bolt = Bolt::open(content).ok_or("the file is no database of bbolt's")?;
    let damaged = || "the file is damaged: its pages do not fit together".to_owned();
    let buckets = bolt.items(Place::Page(bolt.root)).ok_or_else(damaged)?;
    let mut snapshot = SnapshotFile::default();
    let mut newest: BTreeMap<Vec<u8>, Option<mvccpb::KeyValue>> = BTreeMap::new();
    for (name, bucket) in buckets {
        let items = bolt.bucket(bucket).and_then(|place| bolt.items(place)).ok_or_else(damaged)?;
        snapshot.hash = crc32c::crc32c_append(snapshot.hash, name);
        for (key, value) in items {
            snapshot.hash = crc32c::crc32c_append(crc32c::crc32c_append(snapshot.hash, key), value);
            snapshot.total_items += 1;
            match name {
                b"key" => {
                    let (revision, is_tombstone) = revision(key).ok_or_else(damaged)?;
                    snapshot.newest_key_revision = snapshot.newest_key_revision.max(revision);
                    let kv = mvccpb::KeyValue::decode(value).map_err(|error| format!("a key: {error}"))?;
                    let is_mortal = Mortal::decode(value).is_ok_and(|mortal| mortal.has_deadline);
                    match is_mortal && !is_tombstone {
                        true => snapshot.mortal.insert(kv.key.to_vec()),
                        false => snapshot.mortal.remove(kv.key.as_ref()),
                    };
                    newest.insert(kv.key.to_vec(), (!is_tombstone).then_some(kv));
                }
                // The newest revision may have been a deletion that was compacted since.
                b"meta" if key == b"finishedCompactRev" || key == b"scheduledCompactRev" => {
                    let (revision, _) = revision(value).ok_or_else(damaged)?;
                    snapshot.revision = snapshot.revision.max(revision);
                }
                b"auth" if key == b"authEnabled" || key == USERS_LEFT_OUT => {
                    snapshot.auth_enabled |= value == [1];
                }
                _ => {}
            }
        }
    }
    snapshot.revision = snapshot.revision.max(snapshot.newest_key_revision).max(1);
    snapshot.kvs = newest.into_values().flatten().collect();
    Ok(snapshot)
}

/// The revision that a version of a key is named by, and whether it is a tombstone.
fn revision(name: &[u8]) -> Option<(i64, bool)> {
    let main = i64::try_from(number::<8>(name, 0)?.swap_bytes()).ok()?;
    match name.get(8..)? {
        [b'_', rest @ ..] if rest.len() == 8 => Some((main, false)),
        [b'_', rest @ .., b't'] if rest.len() == 8 => Some((main, true)),
        _ => None,
    }
}

/// A file of pages.
struct Bolt<'a> {
    file: &'a [u8],
    page_bytes: usize,
    root: u64,
}

/// Where the top of a tree is.
enum Place<'a> {
    Page(u64),
    /// In the value of an item.
    Inline(&'a [u8]),
}

type Items<'a> = Vec<(&'a [u8], &'a [u8])>;

impl<'a> Bolt<'a> {
    /// The newer one of the two meta pages that are whole.
    fn open(file: &'a [u8]) -> Option<Bolt<'a>> {
        // The first is at 0; the size of a page, which tells where the second is, stands in each.
        let size = |at: usize| usize::try_from(number::<4>(file, at + HEAD_BYTES + 8)?).ok();
        let first = Bolt::meta(file, 0);
        let second_at = size(0).filter(|size| size.is_power_of_two() && *size >= BLOCK_BYTES).unwrap_or(4096);
        let second = Bolt::meta(file, second_at);
        let (_, root, page_bytes) = first.into_iter().chain(second).max_by_key(|(commit, _, _)| *commit)?;
        Some(Bolt { file, page_bytes, root })
    }

    fn meta(file: &[u8], at: usize) -> Option<(u64, u64, usize)> {
        let meta = file.get(at + HEAD_BYTES..at + HEAD_BYTES + 64)?;
        let is_whole = number::<4>(meta, 0)? == u64::from(MAGIC)
            && number::<8>(meta, 56)? == super::bolt::fnv1a(&meta[..56]);
        let page_bytes = usize::try_from(number::<4>(meta, 8)?).ok()?;
        is_whole.then_some((number::<8>(meta, 48)?, number::<8>(meta, 16)?, page_bytes))
    }

    /// The tree of a bucket, out of the item that stands for it.
    fn bucket(&self, value: &'a [u8]) -> Option<Place<'a>> {
        match number::<8>(value, 0)? {
            0 => Some(Place::Inline(value.get(16..)?)),
            page => Some(Place::Page(page)),
        }
    }

    fn items(&self, place: Place<'a>) -> Option<Items<'a>> {
        let mut items = Vec::new();
        // Each page is met once; whoever points around in the file runs out of them.
        let mut left = self.file.len() / self.page_bytes.max(1) + 1;
        self.collect(&place, DEEPEST, &mut left, &mut items)?;
        Some(items)
    }

    fn collect(
        &self,
        place: &Place<'a>,
        depth: usize,
        left: &mut usize,
        items: &mut Items<'a>,
    ) -> Option<()> {
        *left = left.checked_sub(1)?;
        let page = match place {
            Place::Inline(page) => page,
            Place::Page(number) => {
                self.file.get(usize::try_from(*number).ok()?.checked_mul(self.page_bytes)?..)?
            }
        };
        let (kind, count) = (number::<2>(page, 8)?, usize::try_from(number::<2>(page, 10)?).ok()?);
        for element in 0..count {
            let at = HEAD_BYTES + element * ELEMENT_BYTES;
            let field = |offset: usize| usize::try_from(number::<4>(page, at + offset)?).ok();
            if kind & LEAF != 0 {
                let key = at.checked_add(field(4)?)?;
                let value = key.checked_add(field(8)?)?;
                items.push((page.get(key..value)?, page.get(value..value.checked_add(field(12)?)?)?));
            } else if kind & BRANCH != 0 {
                let child = Place::Page(number::<8>(page, at + 8)?);
                self.collect(&child, depth.checked_sub(1)?, left, items)?;
            } else {
                return None;
            }
        }
        Some(())
    }
}

/// A number of `N` bytes, little endian.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let mut number = [0; 8];
    number[..N].copy_from_slice(bytes.get(at..at.checked_add(N)?)?);
    Some(u64::from_le_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::bolt::{Layout, SmallBucket};
    use crate::snapshot::name;

    /// A file with versions of keys: the revision, the number within it, the key, and a value unless it was deleted.
    fn file(versions: &[(u64, u64, &str, Option<&str>)]) -> Vec<u8> {
        let items: Vec<(Vec<u8>, Vec<u8>)> = versions
            .iter()
            .map(|(revision, sub, key, value)| {
                let mut name = name(*revision, *sub);
                name.extend(value.is_none().then_some(b't'));
                let kv = mvccpb::KeyValue {
                    key: key.as_bytes().to_vec().into(),
                    value: value.unwrap_or_default().as_bytes().to_vec().into(),
                    mod_revision: i64::try_from(*revision).unwrap(),
                    ..mvccpb::KeyValue::default()
                };
                (name, kv.encode_to_vec())
            })
            .collect();
        let layout = Layout::of(items.len(), |item| (items[item].0.len(), items[item].1.len()));
        let meta = SmallBucket { name: "meta", items: vec![(b"finishedCompactRev".to_vec(), name(9, 0))] };
        let mut file = layout.head("key", &[meta]);
        for part in 0..layout.parts() {
            file.extend(layout.part(part, |item| items[item].clone()));
        }
        file
    }

    #[test]
    fn of_each_key_the_newest_version_is_read() {
        let versions =
            [(2, 0, "a", Some("1")), (3, 0, "b", Some("1")), (3, 1, "a", Some("2")), (4, 0, "b", None)];
        let read = read(&file(&versions)).unwrap();
        let kvs: Vec<_> = read.kvs.iter().map(|kv| (kv.key.as_ref(), kv.value.as_ref())).collect();
        assert_eq!((kvs, read.revision, read.total_items), (vec![(&b"a"[..], &b"2"[..])], 9, 5));
    }

    #[test]
    fn many_pages_are_read() {
        let value = "v".repeat(300);
        let keys: Vec<String> = (0..20_000).map(|number| format!("{number:05}")).collect();
        let versions: Vec<_> = keys
            .iter()
            .zip(2..)
            .map(|(key, revision)| (revision, 0, key.as_str(), Some(value.as_str())))
            .collect();
        let read = read(&file(&versions)).unwrap();
        assert_eq!((read.kvs.len(), read.revision), (20_000, 20_001));
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        let mut whole = file(&[(2, 0, "a", Some("1")), (3, 0, "b", Some("2"))]);
        let sha = Sha256::digest(&whole);
        whole.extend_from_slice(&sha);
        assert!(read(checked(&whole).unwrap()).is_ok());
        assert!(checked(&whole[..whole.len() - 1]).is_err());
        whole[5_000] ^= 1;
        assert!(checked(&whole).is_err());
        // Whatever stands in it: it is read, or it is an error.
        let good = file(&[(2, 0, "a", Some("1")), (3, 0, "b", Some("2"))]);
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _either = read(&bad);
            }
        }
        for length in 0..200 {
            assert!(read(&good[..length * 64]).is_err() || length * 64 >= 16_384);
        }
    }
}
