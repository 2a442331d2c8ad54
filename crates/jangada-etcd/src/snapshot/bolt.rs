//! A minimal writer of bbolt's file format, version 2: what etcd keeps its data in, and tools read its snapshots by.
//!
//! ```text
//! page 0, 1   meta: where the root is, how many pages there are; two alike but for a number, as after two commits
//! page 2      the list of free pages: none
//! page 3      the root: the buckets by name; all but one are so small that they lie here themselves
//! page 4…     the leaves of the one large bucket, in the order of their keys; a long item goes on over further pages
//! then        its branches, level by level; the last page is the top
//! ```
//! Everything is laid out by sizes before the first byte is written, so that a file can be sent while it is made: only
//! the part that is being written is in memory. Numbers are little endian, as bbolt writes them on the machines that
//! etcd supports.

/// The size of a page. Readers learn it from the meta page.
pub(crate) const PAGE_BYTES: usize = 4096;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;
const FREELIST: u16 = 0x10;
/// Of a leaf's element: its value is a bucket.
const IS_BUCKET: u32 = 0x01;
/// A page's number, kind, count of elements and count of further pages.
const HEAD_BYTES: usize = 16;
/// An element of a leaf or branch, without key and value.
const ELEMENT_BYTES: usize = 16;
/// Pages before the leaves.
const FIRST_LEAF: u64 = 4;
/// So many elements a page can count.
const MOST_ELEMENTS: usize = 0xFFFE;

/// A bucket that lies in the root itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct SmallBucket {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its keys, in order, with their values.
    pub(crate) items: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where everything will lie.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The leaves, then the branches of each level, from the lowest to the top.
    nodes: Vec<Node>,
    /// The pages of the whole file.
    pages: u64,
}

/// A leaf or a branch of the large bucket.
#[derive(Clone, Copy, Debug)]
struct Node {
    page: u64,
    pages: u64,
    is_leaf: bool,
    /// Of a leaf its first item, of a branch its first child.
    first: usize,
    count: usize,
    /// The first item below it.
    first_item: usize,
}

impl Layout {
    /// The layout of a large bucket with `items` items. `sizes` says how long the key and the value of each are.
    pub(crate) fn of(items: usize, sizes: impl Fn(usize) -> (usize, usize)) -> Layout {
        let mut layout = Layout { nodes: Vec::new(), pages: FIRST_LEAF };
        layout.level(true, 0..items, |item| (sum(sizes(item)), item));
        let mut level = 0..layout.nodes.len();
        while level.len() > 1 {
            let from = layout.nodes.len();
            let children: Vec<usize> = level.clone().map(|child| layout.nodes[child].first_item).collect();
            layout.level(false, level.clone(), |child| {
                let first_item = children[child - level.start];
                (sizes(first_item).0, first_item)
            });
            level = from..layout.nodes.len();
        }
        layout
    }

    /// Fills nodes with what is below them, one after the other. `below` says how many bytes one takes, and what its
    /// first item is.
    fn level(&mut self, is_leaf: bool, all: std::ops::Range<usize>, below: impl Fn(usize) -> (usize, usize)) {
        let mut at = all.start;
        while at < all.end {
            let first = at;
            let mut bytes = HEAD_BYTES;
            while at < all.end && at - first < MOST_ELEMENTS {
                let more = ELEMENT_BYTES + below(at).0;
                // One at least; of a branch two, or the levels would have no end.
                let enough = if is_leaf { 1 } else { 2 };
                if at - first >= enough && bytes + more > PAGE_BYTES {
                    break;
                }
                bytes += more;
                at += 1;
            }
            let pages = bytes.div_ceil(PAGE_BYTES) as u64;
            let (page, count, first_item) = (self.pages, at - first, below(first).1);
            self.nodes.push(Node { page, pages, is_leaf, first, count, first_item });
            self.pages += pages;
        }
    }

    /// How long the file will be.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.pages * PAGE_BYTES as u64
    }

    /// The first four pages. `large` is the name of the large bucket.
    pub(crate) fn head(&self, large: &'static str, small: &[SmallBucket]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(usize::try_from(FIRST_LEAF).expect("it is 4") * PAGE_BYTES);
        for number in 0..2 {
            bytes.extend(page(number, META, 0, 1, &self.meta(number)));
        }
        bytes.extend(page(2, FREELIST, 0, 1, &[]));
        let mut buckets: Vec<(Vec<u8>, Vec<u8>)> =
            small.iter().map(|bucket| (bucket.name.into(), inline(&bucket.items))).collect();
        let root = match self.nodes.last() {
            None => inline(&[]),
            Some(top) => [top.page.to_le_bytes(), [0; 8]].concat(),
        };
        buckets.push((large.into(), root));
        buckets.sort();
        let body = leaf_body(&buckets, IS_BUCKET);
        assert!(HEAD_BYTES + body.len() <= PAGE_BYTES, "the small buckets fit into the root");
        bytes.extend(page(3, LEAF, buckets.len(), 1, &body));
        bytes
    }

    /// How many parts follow the head.
    pub(crate) fn parts(&self) -> usize {
        self.nodes.len()
    }

    /// A part of the file behind the head: whole pages. `item` gives an item's key and value, as long as it was said.
    pub(crate) fn part(&self, part: usize, item: impl Fn(usize) -> (Vec<u8>, Vec<u8>)) -> Vec<u8> {
        let node = self.nodes[part];
        let range = node.first..node.first + node.count;
        if node.is_leaf {
            let items: Vec<_> = range.map(item).collect();
            return page(node.page, LEAF, items.len(), node.pages, &leaf_body(&items, 0));
        }
        let children: Vec<(Vec<u8>, u64)> = range
            .map(|child| &self.nodes[child])
            .map(|child| (item(child.first_item).0, child.page))
            .collect();
        page(node.page, BRANCH, children.len(), node.pages, &branch_body(&children))
    }

    fn meta(&self, transaction: u64) -> Vec<u8> {
        let mut meta = Vec::with_capacity(64);
        for number in [MAGIC, VERSION, u32::try_from(PAGE_BYTES).expect("it is 4096"), 0] {
            meta.extend(number.to_le_bytes());
        }
        // The root bucket and its sequence, the list of free pages, the end, and how many commits there were.
        for number in [3, 0, 2, self.pages, transaction] {
            meta.extend(number.to_le_bytes());
        }
        let checksum = fnv1a(&meta);
        meta.extend(checksum.to_le_bytes());
        meta
    }
}

fn sum((key, value): (usize, usize)) -> usize {
    key + value
}

/// A page, or several for one body.
fn page(number: u64, kind: u16, count: usize, pages: u64, body: &[u8]) -> Vec<u8> {
    let whole = usize::try_from(pages).expect("it was counted in memory") * PAGE_BYTES;
    let mut bytes = Vec::with_capacity(whole);
    bytes.extend(head(number, kind, count, pages));
    bytes.extend(body);
    assert!(bytes.len() <= whole, "a body fits into the pages that were counted for it");
    bytes.resize(whole, 0);
    bytes
}

fn head(number: u64, kind: u16, count: usize, pages: u64) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&number.to_le_bytes());
    head[8..10].copy_from_slice(&kind.to_le_bytes());
    head[10..12].copy_from_slice(&u16::try_from(count).expect("a page has at most 65,534").to_le_bytes());
    let further = u32::try_from(pages - 1).expect("an item has at most 4 GiB");
    head[12..].copy_from_slice(&further.to_le_bytes());
    head
}

/// Elements first, then keys and values; an element says how far behind it its key begins.
fn leaf_body(items: &[(Vec<u8>, Vec<u8>)], flags: u32) -> Vec<u8> {
    let mut body = Vec::new();
    let mut data = Vec::new();
    for (at, (key, value)) in items.iter().enumerate() {
        let behind = ELEMENT_BYTES * (items.len() - at) + data.len();
        for number in [flags, short(behind), short(key.len()), short(value.len())] {
            body.extend(number.to_le_bytes());
        }
        data.extend_from_slice(key);
        data.extend_from_slice(value);
    }
    body.append(&mut data);
    body
}

fn branch_body(children: &[(Vec<u8>, u64)]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut data = Vec::new();
    for (at, (key, page)) in children.iter().enumerate() {
        let behind = ELEMENT_BYTES * (children.len() - at) + data.len();
        body.extend(short(behind).to_le_bytes());
        body.extend(short(key.len()).to_le_bytes());
        body.extend(page.to_le_bytes());
        data.extend_from_slice(key);
    }
    body.append(&mut data);
    body
}

/// A bucket as the value of an item: no page of its own, a sequence, and a leaf.
fn inline(items: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0; 16];
    bytes.extend(head(0, LEAF, items.len(), 1));
    bytes.extend(leaf_body(items, 0));
    bytes
}

fn short(number: usize) -> u32 {
    u32::try_from(number).expect("an item has at most 4 GiB")
}

/// FNV-1a of 64 bits.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number<const N: usize>(file: &[u8], at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&file[at..at + N]);
        u64::from_le_bytes(bytes)
    }

    fn place(page: u64) -> usize {
        usize::try_from(page).unwrap() * PAGE_BYTES
    }

    /// Reads a tree as bbolt does: from the page down, left to right; and counts the pages that it meets.
    fn read(file: &[u8], page: u64, items: &mut Vec<(Vec<u8>, Vec<u8>)>, pages: &mut u64) {
        let start = place(page);
        assert_eq!(number::<8>(file, start), page, "each page knows its number");
        *pages += 1 + number::<4>(file, start + 12);
        read_elements(file, start, items, pages);
    }

    fn read_elements(file: &[u8], start: usize, items: &mut Vec<(Vec<u8>, Vec<u8>)>, pages: &mut u64) {
        let (kind, count) = (number::<2>(file, start + 8), number::<2>(file, start + 10));
        for element in 0..usize::try_from(count).unwrap() {
            let at = start + HEAD_BYTES + element * ELEMENT_BYTES;
            let at_of = |field: usize| usize::try_from(number::<4>(file, at + field)).unwrap();
            if kind == u64::from(LEAF) {
                let key = at + at_of(4);
                let value = key + at_of(8);
                items.push((file[key..value].to_vec(), file[value..value + at_of(12)].to_vec()));
            } else {
                assert_eq!(kind, u64::from(BRANCH));
                let key = at + at_of(0);
                let before = items.len();
                read(file, number::<8>(file, at + 8), items, pages);
                assert_eq!(items[before].0, file[key..key + at_of(4)], "a branch names the first key below");
            }
        }
    }

    fn check(items: &[(Vec<u8>, Vec<u8>)]) {
        let layout = Layout::of(items.len(), |item| (items[item].0.len(), items[item].1.len()));
        let small = [
            SmallBucket { name: "meta", items: vec![(b"k".to_vec(), b"v".to_vec())] },
            SmallBucket { name: "alarm", items: vec![] },
        ];
        let mut file = layout.head("key", &small);
        for part in 0..layout.parts() {
            file.extend(layout.part(part, |item| items[item].clone()));
        }
        assert_eq!(file.len() as u64, layout.file_bytes());
        for meta in [0, PAGE_BYTES] {
            assert_eq!(number::<8>(&file, meta + 72), fnv1a(&file[meta + 16..meta + 72]));
            assert_eq!(number::<8>(&file, meta + 56), layout.pages, "the end");
        }
        let (mut buckets, mut pages) = (Vec::new(), 0);
        read(&file, 3, &mut buckets, &mut pages);
        let names: Vec<&[u8]> = buckets.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [&b"alarm"[..], b"key", b"meta"]);
        let (mut meta, mut key) = (Vec::new(), Vec::new());
        read_elements(&buckets[2].1, 16, &mut meta, &mut 0);
        assert_eq!(meta, small[0].items);
        if !items.is_empty() {
            read(&file, number::<8>(&buckets[1].1, 0), &mut key, &mut pages);
        }
        assert_eq!(key, items);
        assert_eq!(pages + 3, layout.pages, "every page is reached: metas and free list are the other three");
    }

    #[test]
    fn what_is_written_is_read_in_bbolts_way() {
        let item = |number: usize, value: usize| (number.to_be_bytes().to_vec(), vec![b'v'; value]);
        check(&[]);
        check(&[item(1, 0)]);
        check(&(0..100).map(|number| item(number, number)).collect::<Vec<_>>());
        check(&(0..30_000).map(|number| item(number, 300)).collect::<Vec<_>>());
        check(&(0..50).map(|number| item(number, number * 1_000)).collect::<Vec<_>>());
        let long_keys = (0..40).map(|number: u8| (vec![number; 3_000], vec![number]));
        check(&long_keys.collect::<Vec<_>>());
    }
}
