//! The digest of a view: a keyed hash tree over its documents, kept up to date with every transaction.
//!
//! Every document has a *leaf*: a keyed hash over its URI and what the view shows of it. The keyed hash of the URI
//! puts it into a *bucket*; a bucket is the sum of its leaves modulo 2^256, so that a change costs one subtraction and
//! one addition, whatever the number of documents. Above the buckets every node is the hash of its sixteen children.
//!
//! The key is a secret of the database, one per view. Sums of hashes can be forged by somebody who can try many
//! leaves offline (Wagner's generalized birthday); authors never see the key, so they cannot, and a copy that may
//! see only the published view cannot test guesses about the rest. Those who hold the key are compared by the
//! journal's chain as well, which has no such structure.

use crate::{Hash, Head, Partitioning, Uri, View};

/// Hash of the whole state of a view.
pub type Digest = Hash;

/// Children of a node.
pub const FAN_OUT: usize = 16;

/// How many buckets a tree has: a matter of the database, so that all copies agree.
///
/// 65,536 give 16 documents a bucket at a million, for 2 MiB of memory a tree. A database of many partitions has
/// smaller trees, so that all of them together stay within some 20 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeShape {
    bits: u32,
}

impl TreeShape {
    /// The trees of a database that is cut like this: 65,536 buckets up to four partitions, then 4,096.
    pub fn of(partitioning: Partitioning) -> TreeShape {
        TreeShape { bits: if partitioning.count() <= 4 { 16 } else { 12 } }
    }

    /// How many buckets.
    pub fn buckets(self) -> usize {
        1 << self.bits
    }

    /// Levels of nodes above the buckets, the root included.
    pub fn levels(self) -> usize {
        self.bits as usize / 4
    }

    /// How many bits of a place name its bucket.
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// The bucket of a leaf: the first bits of its place.
    pub fn bucket(self, leaf: &Leaf) -> usize {
        usize::from(u16::from_be_bytes([leaf.place[0], leaf.place[1]]) >> (16 - self.bits))
    }
}

/// The secret that keys all leaves of one view.
#[derive(Clone)]
pub struct DigestKey([u8; 32]);

/// What the tree holds for one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// Keyed hash of the URI: the place in the tree.
    pub place: [u8; 16],
    /// Keyed hash over what the view shows.
    pub hash: Hash,
}

impl DigestKey {
    /// The key of `view`, from the secret of the database.
    pub fn derive(secret: &[u8; 32], view: View) -> DigestKey {
        DigestKey(Hash::derive("apograph 2026 digest key", &[secret, &[view.tag()]]).0)
    }

    /// The key's bytes, to hand to a copy that may see this view.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// A key that was handed over.
    pub fn from_bytes(bytes: [u8; 32]) -> DigestKey {
        DigestKey(bytes)
    }

    /// Where `uri` stands in the tree.
    pub fn place(&self, uri: &Uri) -> [u8; 16] {
        let hash = self.keyed(b"place", &[uri.as_str().as_bytes()]);
        *hash.0.first_chunk().expect("a hash has 32 bytes")
    }

    /// The leaf of a document in the full view. Every URI that ever had a document has one.
    pub fn full_leaf(&self, uri: &Uri, head: &Head) -> Leaf {
        let hash = self.keyed(b"full", &[&uri_bytes(uri), &head.digest_bytes()]);
        Leaf { place: self.place(uri), hash }
    }

    /// The leaf of a document in the published view: none unless something is live.
    pub fn published_leaf(&self, uri: &Uri, head: &Head) -> Option<Leaf> {
        let live = head.live?;
        let kind = head.kind.as_str().as_bytes();
        let hash = self.keyed(b"published", &[&uri_bytes(uri), kind, &live.number.to_le_bytes(), &live.id.0]);
        Some(Leaf { place: self.place(uri), hash })
    }

    fn keyed(&self, domain: &[u8], pieces: &[&[u8]]) -> Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(domain);
        for piece in pieces {
            hasher.update(piece);
        }
        Hash(*hasher.finalize().as_bytes())
    }
}

impl std::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DigestKey(secret)")
    }
}

fn uri_bytes(uri: &Uri) -> Vec<u8> {
    let mut bytes = (uri.as_str().len() as u64).to_le_bytes().to_vec();
    bytes.extend(uri.as_str().as_bytes());
    bytes
}

/// The tree of one view of one partition, in memory. Nodes above the buckets are computed when asked for.
///
/// - equal sets of leaves give equal digests, in whatever order they came;
/// - `documents` is the number of leaves.
#[derive(Debug, Clone)]
pub struct DigestTree {
    shape: TreeShape,
    buckets: Vec<[u8; 32]>,
    levels: Vec<Vec<Hash>>,
    dirty: Vec<u16>,
    is_dirty: Vec<bool>,
    documents: u64,
}

impl DigestTree {
    /// A tree without documents. All nodes of a level are equal then: one of each is computed.
    pub fn new(shape: TreeShape) -> DigestTree {
        let mut below = Hash([0; 32]);
        let levels = (0..shape.levels()).map(|level| {
            below = node_hash([below.0; FAN_OUT].iter());
            vec![below; shape.buckets() >> (4 * (level + 1))]
        });
        DigestTree {
            shape,
            buckets: vec![[0; 32]; shape.buckets()],
            levels: levels.collect(),
            dirty: Vec::new(),
            is_dirty: vec![false; shape.buckets() / FAN_OUT],
            documents: 0,
        }
    }

    /// Replaces the leaf of a document, adds it or takes it away. Answers the bucket and its new sum.
    pub fn replace(&mut self, old: Option<&Leaf>, new: Option<&Leaf>) -> Option<(usize, [u8; 32])> {
        let bucket = self.shape.bucket(new.or(old)?);
        let sum = self.buckets.get_mut(bucket)?;
        if let Some(old) = old {
            subtract(sum, &old.hash.0);
            self.documents -= 1;
        }
        if let Some(new) = new {
            add(sum, &new.hash.0);
            self.documents += 1;
        }
        let sum = *sum;
        self.touch(bucket);
        Some((bucket, sum))
    }

    /// Puts a bucket back as it was stored.
    pub fn restore_bucket(&mut self, bucket: usize, sum: [u8; 32]) {
        if let Some(place) = self.buckets.get_mut(bucket) {
            *place = sum;
            self.touch(bucket);
        }
    }

    /// The sum of a bucket.
    pub fn bucket(&self, bucket: usize) -> [u8; 32] {
        self.buckets.get(bucket).copied().unwrap_or_default()
    }

    /// Puts the number of documents back as it was stored.
    pub fn restore_documents(&mut self, documents: u64) {
        self.documents = documents;
    }

    /// How many documents.
    pub fn documents(&self) -> u64 {
        self.documents
    }

    /// The digest of the whole view: the root.
    pub fn digest(&mut self) -> Digest {
        let mut dirty: Vec<usize> = self.dirty.drain(..).map(usize::from).collect();
        for node in &dirty {
            if let Some(flag) = self.is_dirty.get_mut(*node) {
                *flag = false;
            }
        }
        for level in 0..self.shape.levels() {
            dirty.sort_unstable();
            dirty.dedup();
            for node in &mut dirty {
                self.rehash(level, *node);
                *node /= FAN_OUT;
            }
        }
        self.levels.last().and_then(|root| root.first()).copied().expect("the last level has one node")
    }

    /// The children of a node, for a comparison from the root down. Level 0 lies just above the buckets.
    pub fn children(&mut self, level: usize, node: usize) -> Vec<Hash> {
        self.digest();
        let range = node * FAN_OUT..(node + 1) * FAN_OUT;
        if level == 0 {
            self.buckets.get(range).unwrap_or_default().iter().copied().map(Hash).collect()
        } else {
            self.levels.get(level - 1).and_then(|below| below.get(range)).unwrap_or_default().to_vec()
        }
    }

    fn touch(&mut self, bucket: usize) {
        let node = bucket / FAN_OUT;
        if let Some(flag) = self.is_dirty.get_mut(node)
            && !std::mem::replace(flag, true)
        {
            self.dirty.push(u16::try_from(node).expect("there are 4,096 nodes above the buckets"));
        }
    }

    fn rehash(&mut self, level: usize, node: usize) {
        let range = node * FAN_OUT..(node + 1) * FAN_OUT;
        let hash = match level.checked_sub(1) {
            None => node_hash(self.buckets.get(range).unwrap_or_default().iter()),
            Some(below) => {
                let below = self.levels.get(below).and_then(|below| below.get(range)).unwrap_or_default();
                node_hash(below.iter().map(|child| &child.0))
            }
        };
        if let Some(place) = self.levels.get_mut(level).and_then(|nodes| nodes.get_mut(node)) {
            *place = hash;
        }
    }
}

/// The hash of a node over its children.
fn node_hash<'a>(children: impl Iterator<Item = &'a [u8; 32]>) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("apograph 2026 digest node");
    for child in children {
        hasher.update(child);
    }
    Hash(*hasher.finalize().as_bytes())
}

/// Digest of a database: over the digests of its partitions, in order.
pub fn combine<'a>(digests: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("apograph 2026 digest of partitions");
    for digest in digests {
        hasher.update(&digest.0);
    }
    Hash(*hasher.finalize().as_bytes())
}

fn add(sum: &mut [u8; 32], leaf: &[u8; 32]) {
    let mut carry = 0;
    for (byte, other) in sum.iter_mut().zip(leaf) {
        let total = u16::from(*byte) + u16::from(*other) + carry;
        *byte = total.to_le_bytes()[0];
        carry = total >> 8;
    }
}

fn subtract(sum: &mut [u8; 32], leaf: &[u8; 32]) {
    let mut borrow = false;
    for (byte, other) in sum.iter_mut().zip(leaf) {
        let (first, under) = byte.overflowing_sub(*other);
        let (second, under_again) = first.overflowing_sub(u8::from(borrow));
        *byte = second;
        borrow = under || under_again;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::sample_head;

    fn key() -> DigestKey {
        DigestKey::derive(&[3; 32], View::Full)
    }

    fn shape() -> TreeShape {
        TreeShape::of(Partitioning::new(1).unwrap())
    }

    #[test]
    fn many_partitions_have_small_trees() {
        let shape = TreeShape::of(Partitioning::new(64).unwrap());
        let mut tree = DigestTree::new(shape);
        let empty = tree.digest();
        assert_eq!((shape.buckets(), shape.levels()), (4096, 3));
        for n in 0..500 {
            let (bucket, _) = tree.replace(None, Some(&leaf(n))).unwrap();
            assert!(bucket < shape.buckets());
        }
        assert_ne!(tree.digest(), empty);
        for n in 0..500 {
            tree.replace(Some(&leaf(n)), None);
        }
        assert_eq!(tree.digest(), empty);
    }

    /// An empty tree is made of one node of each level; as if all its nodes had been computed.
    #[test]
    fn an_empty_tree_is_what_all_its_nodes_come_to() {
        for partitions in [1, 64] {
            let shape = TreeShape::of(Partitioning::new(partitions).unwrap());
            let (mut made, mut computed) = (DigestTree::new(shape), DigestTree::new(shape));
            computed.levels.iter_mut().flatten().for_each(|node| *node = Hash([7; 32]));
            (0..shape.buckets()).for_each(|bucket| computed.restore_bucket(bucket, [0; 32]));
            assert_eq!(made.digest(), computed.digest());
            assert_eq!(made.levels, computed.levels);
        }
    }

    fn leaf(n: u32) -> Leaf {
        key().full_leaf(&Uri::parse(&format!("/{n}")).unwrap(), &sample_head())
    }

    #[test]
    fn order_does_not_matter_and_content_does() {
        let (mut forward, mut backward) = (DigestTree::new(shape()), DigestTree::new(shape()));
        let empty = forward.digest();
        for n in 0..500 {
            forward.replace(None, Some(&leaf(n)));
            backward.replace(None, Some(&leaf(499 - n)));
        }
        assert_eq!(forward.digest(), backward.digest());
        assert_ne!(forward.digest(), empty);
        backward.replace(Some(&leaf(7)), None);
        assert_ne!(forward.digest(), backward.digest());
        forward.replace(Some(&leaf(7)), None);
        assert_eq!(forward.digest(), backward.digest());
        for n in (0..500).filter(|n| *n != 7) {
            forward.replace(Some(&leaf(n)), None);
        }
        assert_eq!((forward.digest(), forward.documents()), (empty, 0));
    }

    #[test]
    fn every_field_of_a_head_counts() {
        let uri = Uri::parse("/a").unwrap();
        let base = key().full_leaf(&uri, &sample_head());
        let alterations: [fn(&mut Head); 9] = [
            |h| h.kind = crate::Kind::Node,
            |h| h.state = crate::State::Working,
            |h| h.working = None,
            |h| h.live = None,
            |h| h.lock = None,
            |h| h.history = Hash::of(b"other"),
            |h| h.versions += 1,
            |h| h.changed.0 += 1,
            |h| h.r#type = "b".into(),
        ];
        for alter in alterations {
            let mut head = sample_head();
            alter(&mut head);
            assert_ne!(key().full_leaf(&uri, &head), base);
        }
        assert_ne!(DigestKey::derive(&[3; 32], View::Published).full_leaf(&uri, &sample_head()), base);
    }

    #[test]
    fn a_descent_finds_the_difference() {
        let (mut one, mut other) = (DigestTree::new(shape()), DigestTree::new(shape()));
        for n in 0..300 {
            one.replace(None, Some(&leaf(n)));
            other.replace(None, Some(&leaf(n)));
        }
        other.replace(Some(&leaf(42)), None);
        let mut nodes = vec![0];
        for level in (0..shape().levels()).rev() {
            nodes = nodes
                .into_iter()
                .flat_map(|node| {
                    let (a, b) = (one.children(level, node), other.children(level, node));
                    (0..FAN_OUT)
                        .filter(move |child| a[*child] != b[*child])
                        .map(move |child| node * FAN_OUT + child)
                })
                .collect();
        }
        assert_eq!(nodes, [shape().bucket(&leaf(42))]);
    }

    #[test]
    fn a_tree_put_back_from_its_buckets_is_the_same() {
        let mut tree = DigestTree::new(shape());
        let mut copy = DigestTree::new(shape());
        for n in 0..100 {
            if let Some((bucket, sum)) = tree.replace(None, Some(&leaf(n))) {
                copy.restore_bucket(bucket, sum);
            }
        }
        copy.restore_documents(tree.documents());
        assert_eq!((copy.digest(), copy.documents()), (tree.digest(), tree.documents()));
    }
}
