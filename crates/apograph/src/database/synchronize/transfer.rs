//! What a copy asks its source, and what it does with the answers, for one partition: a machine without a network. Who
//! drives it sends [`Transfer::next_question`] to the source, and hands over what comes back.
//!
//! All documents in order, if the partition is empty; then, from the root of the hash tree down, whatever differs. It
//! begins anew at any time without loss: what was installed does not differ any more.

mod arriving;

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::BytesMut;

use apograph_format::digest::FAN_OUT;
use apograph_format::synchronize::{ErasedBody, Measured, SyncFrameError, WantedDocument, WantedPayloads};
use apograph_format::{
    Ask, Digest, Hash, Leaf, PartitionId, SyncDocument, SyncFrame, SyncQuestion, SyncScope, Timestamp, Uri,
    View,
};
use apograph_store::Installment;

use super::{Own, Snapshot, SnapshotPartition, SyncError};
use crate::database::Database;

/// Nodes asked for at once: an answer of 2 MiB.
const NODES_MAX: usize = 4_096;
/// Documents whose leaves, or which themselves, are asked for at once.
const LEAVES_MAX: u64 = 8_192;
const DOCUMENTS_MAX: usize = 256;
/// Documents that await purges and are brought whole at once; others are asked for when it is certain that theirs does not come.
const AWAITING_MAX: usize = 4_096;
/// How often the tree is gone through before what differs is a failure.
const PASSES_MAX: u32 = 4;

/// Brings one partition to a snapshot.
pub struct Transfer {
    database: Database,
    own: Own,
    partition: PartitionId,
    /// What the copy stands at afterwards.
    target: Timestamp,
    question: SyncQuestion,
    expected: Digest,
    documents: u64,
    stage: Stage,
    passes: u32,
    batch: Installment,
    /// Bytes of its payloads.
    batch_bytes: u64,
    in_batch: HashSet<Hash>,
    /// The last document was not understood: its payloads are of no use.
    passes_over: bool,
    lost: HashMap<Hash, String>,
    /// Documents that came once as the source's own tree does not have them.
    doubted: HashSet<Uri>,
    /// Bodies of the documents at hand that a purge took.
    erased: HashMap<Hash, ErasedBody>,
    /// Payloads that the answer still has to bring, or say that they are lost.
    awaited: HashSet<Hash>,
    /// What is here is not believed: documents that are damaged come.
    checks_payloads: bool,
    /// Documents whose old versions were left out before.
    cut: Cut,
    /// In the published view, documents that the copy shows no more: the tree does not tell that they were purged.
    unshown: Cut,
    /// Only measures: the sum of what would come.
    measured: Option<Measured>,
    /// What the present answer measured so far.
    answer: Measured,
    progress: TransferProgress,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransferProgress {
    /// Documents that came since this transfer was made, or would come.
    pub documents: u64,
    /// Documents known to come: grows while differences are found.
    pub documents_total: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// Documents that the operator leaves out, in the last pass.
    pub left_out: u64,
    /// Requests made.
    pub requests: u64,
}

/// What an answer that is not what was asked for means.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The source says something that does not fit what it was asked.
    #[error("the source answers something else than it was asked: {reason}")]
    Unexpected {
        /// What.
        reason: String,
    },
    /// What came is no answer, or was damaged on its way.
    #[error(transparent)]
    Frame(#[from] SyncFrameError),
    /// This server cannot go on.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

impl From<apograph_store::StoreError> for TransferError {
    fn from(error: apograph_store::StoreError) -> TransferError {
        TransferError::Sync(error.into())
    }
}

enum Stage {
    /// Everything, in order. The document whose payloads are coming.
    All {
        held: Option<Box<SyncDocument>>,
    },
    Cursors,
    /// Nodes still to be asked for at this level, those asked for now, and those below that differ.
    Nodes {
        level: usize,
        left: VecDeque<u32>,
        asked: Vec<u32>,
        below: VecDeque<u32>,
    },
    /// Buckets whose leaves are still to be compared.
    Leaves {
        left: VecDeque<u32>,
        asked: HashSet<u32>,
        wanted: VecDeque<Different>,
    },
    /// Documents come.
    Documents(Group),
    /// What those documents name and is not here.
    Payloads {
        group: Group,
        missing: Vec<WantedPayloads>,
    },
    Done,
}

/// Which documents of a list are still to be looked at.
enum Cut {
    /// Those behind a URI.
    From(Option<Uri>),
    /// None any more.
    Done,
}

/// A document that differs, and the hash of its leaf at the source, if that is known.
type Different = (WantedDocument, Option<Hash>);

/// Documents that are asked for together.
#[derive(Default)]
struct Group {
    /// Buckets to be compared afterwards.
    buckets: VecDeque<u32>,
    /// Documents still to be asked for.
    wanted: VecDeque<Different>,
    /// The leaves that those asked for now should have.
    asked: HashMap<[u8; 16], Option<Hash>>,
    came: Vec<SyncDocument>,
    purged: Vec<Uri>,
}

impl Database {
    /// Brings a partition to the snapshot that was begun. Blocks now and then, as all of [`Transfer`].
    pub fn transfer(
        &self,
        snapshot: &Snapshot,
        of: &SnapshotPartition,
        scope: SyncScope,
    ) -> Result<Transfer, SyncError> {
        let own = self.own(of.partition)?;
        let syncing = self.syncing(of.partition).ok_or(SyncError::NotBegun)?;
        let mut transfer = self.new_transfer(own, snapshot, of, scope, syncing.is_bulk);
        if syncing.is_bulk {
            transfer.progress.documents_total = of.documents.saturating_sub(syncing.documents);
        } else if self.sync_marker().is_some_and(|marker| marker.is_requested()) {
            transfer.cut = Cut::From(None);
        }
        Ok(transfer)
    }

    fn new_transfer(
        &self,
        own: Own,
        snapshot: &Snapshot,
        of: &SnapshotPartition,
        scope: SyncScope,
        is_bulk: bool,
    ) -> Transfer {
        let view = self.view();
        Transfer {
            database: self.clone(),
            own,
            partition: of.partition,
            target: snapshot.at,
            question: SyncQuestion { view, at: snapshot.reads_at, scope, measure: false, ask: Ask::Cursors },
            expected: of.digest,
            documents: of.documents,
            stage: if is_bulk { Stage::All { held: None } } else { Stage::Cursors },
            passes: 0,
            batch: Installment::default(),
            batch_bytes: 0,
            in_batch: HashSet::new(),
            passes_over: false,
            awaited: HashSet::new(),
            lost: HashMap::new(),
            doubted: HashSet::new(),
            erased: HashMap::new(),
            checks_payloads: false,
            cut: Cut::Done,
            unshown: if view == View::Published { Cut::From(None) } else { Cut::Done },
            measured: None,
            answer: Measured::default(),
            progress: TransferProgress {
                documents_total: if is_bulk { of.documents } else { 0 },
                ..TransferProgress::default()
            },
        }
    }

    /// Finds out what a transfer would bring, and brings nothing: nothing has to be begun.
    pub fn measure(
        &self,
        snapshot: &Snapshot,
        of: &SnapshotPartition,
        scope: SyncScope,
    ) -> Result<Transfer, SyncError> {
        let own = self.own(of.partition)?;
        let is_empty = own.digest().is_some_and(|(_, documents)| documents == 0);
        let mut transfer = self.new_transfer(own, snapshot, of, scope, is_empty);
        transfer.measured = Some(Measured::default());
        (transfer.cut, transfer.unshown) = (Cut::From(None), Cut::Done);
        if let Stage::Cursors = transfer.stage {
            transfer.stage = transfer.root();
        }
        Ok(transfer)
    }
}

impl Transfer {
    /// What it would bring, as far as it knows.
    pub fn measured(&self) -> Measured {
        self.measured.unwrap_or_default()
    }

    /// Which partition.
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// How far it is.
    pub fn progress(&self) -> TransferProgress {
        self.progress
    }

    /// Does it bring documents, or still find out what differs?
    pub fn is_planning(&self) -> bool {
        matches!(self.stage, Stage::Cursors | Stage::Nodes { .. } | Stage::Leaves { .. })
    }

    /// What to ask next; `None` when the partition has the digest of the snapshot, or all but what is left out or held
    /// back. The answer goes to [`take`](Self::take), up to its end.
    pub fn next_question(&mut self) -> Result<Option<SyncQuestion>, TransferError> {
        loop {
            let ask = match &mut self.stage {
                Stage::All { .. } => {
                    let after = self.database.syncing(self.partition).and_then(|syncing| syncing.after);
                    Ask::All { after }
                }
                Stage::Cursors => Ask::Cursors,
                Stage::Nodes { level, left, asked, .. } => {
                    *asked = left.drain(..left.len().min(NODES_MAX)).collect();
                    Ask::Nodes { level: u32::try_from(*level).unwrap_or(u32::MAX), nodes: asked.clone() }
                }
                Stage::Leaves { left, asked, wanted } => {
                    if !wanted.is_empty() {
                        let (buckets, wanted) = (std::mem::take(left), std::mem::take(wanted));
                        self.stage = Stage::documents(buckets, wanted);
                        continue;
                    }
                    if left.is_empty() {
                        let cut = self.cut_before()?;
                        let unshown = if cut.is_empty() { self.unshown_before()? } else { cut };
                        if !unshown.is_empty() {
                            self.stage = Stage::documents(VecDeque::new(), unshown);
                            continue;
                        }
                        if self.is_over()? {
                            self.stage = Stage::Done;
                            return Ok(None);
                        }
                        self.stage = self.root();
                        continue;
                    }
                    let per_bucket = (self.documents / self.own.shape().buckets() as u64).max(1);
                    let count = usize::try_from(LEAVES_MAX / per_bucket).unwrap_or(1).clamp(1, 1_024);
                    let buckets: Vec<u32> = left.drain(..left.len().min(count)).collect();
                    *asked = buckets.iter().copied().collect();
                    Ask::Leaves { buckets }
                }
                Stage::Documents(group) => {
                    if group.wanted.is_empty() {
                        self.stage = Stage::Leaves {
                            left: std::mem::take(&mut group.buckets),
                            asked: HashSet::new(),
                            wanted: VecDeque::new(),
                        };
                        continue;
                    }
                    let now: Vec<_> = group.wanted.drain(..group.wanted.len().min(DOCUMENTS_MAX)).collect();
                    group.asked = now.iter().map(|(wanted, hash)| (wanted.place, *hash)).collect();
                    Ask::Documents { wanted: now.into_iter().map(|(wanted, _)| wanted).collect() }
                }
                Stage::Payloads { missing, .. } => Ask::Payloads { wanted: std::mem::take(missing) },
                Stage::Done => return Ok(None),
            };
            self.progress.requests += 1;
            self.awaited.clear();
            if let Ask::Payloads { wanted } = &ask {
                self.awaited.extend(wanted.iter().flat_map(|wanted| &wanted.hashes));
            }
            let measure = self.measured.is_some() && matches!(ask, Ask::All { .. } | Ask::Documents { .. });
            return Ok(Some(SyncQuestion { ask, measure, ..self.question.clone() }));
        }
    }

    /// Takes the next whole frames of the answer from the front of `buffer`. Answers whether the answer is over.
    pub fn take(&mut self, buffer: &mut BytesMut) -> Result<bool, TransferError> {
        loop {
            let before = buffer.len();
            let taken = SyncFrame::take(buffer);
            let length = (before - buffer.len()) as u64;
            self.progress.bytes += length;
            self.batch.bytes += length;
            match taken {
                Ok(None) => return Ok(false),
                Ok(Some((SyncFrame::End, _))) => return self.end().map(|()| true),
                Ok(Some((frame, _))) => self.take_frame(frame)?,
                Err(SyncFrameError::Document { uri, reason }) => self.hold_back(uri, reason)?,
                Err(error) => return Err(error.into()),
            }
            self.flush_if_full()?;
        }
    }

    fn end(&mut self) -> Result<(), TransferError> {
        self.check_all_came()?;
        self.passes_over = false;
        if self.measured.is_some() {
            return self.end_measuring();
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::All { held } => {
                self.complete(held)?;
                self.batch.all_came = true;
                self.flush()?;
                Stage::Cursors
            }
            Stage::Cursors => {
                self.flush()?;
                // What is known to be damaged is brought whole, whatever the digests say.
                let suspects = self.suspects()?;
                if suspects.is_empty() { self.root() } else { Stage::documents(VecDeque::new(), suspects) }
            }
            Stage::Nodes { level, left, asked: _, below } => self.descend(level, left, below),
            Stage::Leaves { left, asked, wanted } => {
                if let Some(bucket) = asked.iter().next() {
                    return Err(unexpected(format!("nothing about bucket {bucket}")));
                }
                Stage::Leaves { left, asked, wanted }
            }
            Stage::Documents(group) => {
                let missing = self.missing(&group.came)?;
                if missing.is_empty() { self.put(group)? } else { Stage::Payloads { group, missing } }
            }
            Stage::Payloads { group, .. } => self.put(group)?,
            Stage::Done => Stage::Done,
        };
        Ok(())
    }

    /// What is known to be damaged, and what came without what a purge had erased: if that purge was cut off, digests do not show it.
    fn suspects(&mut self) -> Result<VecDeque<Different>, TransferError> {
        let mut suspects = self.database.suspects_of(self.partition);
        suspects.extend(self.own.awaiting_purges(AWAITING_MAX)?);
        suspects.sort_unstable();
        suspects.dedup();
        self.checks_payloads = !suspects.is_empty();
        Ok(self.whole(suspects))
    }

    /// The next documents that lack bodies which an earlier synchronization left out, and this one does not: digests do
    /// not show them.
    fn cut_before(&mut self) -> Result<VecDeque<Different>, TransferError> {
        let Cut::From(after) = std::mem::replace(&mut self.cut, Cut::Done) else {
            return Ok(VecDeque::new());
        };
        let (cut, next) = self.own.cut_below(self.question.scope.max_versions, after, DOCUMENTS_MAX)?;
        if let Some(next) = next {
            self.cut = Cut::From(Some(next));
        }
        Ok(self.whole(cut))
    }

    /// The next documents that are shown no more here. The source says of them whether they were purged since, also if
    /// they were begun anew after that.
    fn unshown_before(&mut self) -> Result<VecDeque<Different>, TransferError> {
        let Cut::From(after) = std::mem::replace(&mut self.unshown, Cut::Done) else {
            return Ok(VecDeque::new());
        };
        let (found, next) = self.own.shown_no_more(after, DOCUMENTS_MAX)?;
        if let Some(next) = next {
            self.unshown = Cut::From(Some(next));
        }
        Ok(found.into_iter().map(|wanted| (wanted, None)).collect())
    }

    /// Documents that come as if nothing of them were here.
    fn whole(&mut self, documents: Vec<Uri>) -> VecDeque<Different> {
        self.progress.documents_total += documents.len() as u64;
        let wanted =
            |uri: Uri| (WantedDocument { place: self.own.place(&uri), have: None, uri: Some(uri) }, None);
        documents.into_iter().map(wanted).collect()
    }

    fn end_measuring(&mut self) -> Result<(), TransferError> {
        let answer = std::mem::take(&mut self.answer);
        let sum = self.measured.get_or_insert_default();
        sum.documents += answer.documents;
        sum.bytes += answer.bytes;
        sum.left_out += answer.left_out;
        let stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Nodes { level, left, below, .. } => self.descend(level, left, below),
            Stage::Leaves { left, wanted, .. } => Stage::Leaves { left, asked: HashSet::new(), wanted },
            Stage::Documents(group) => Stage::documents(group.buckets, group.wanted),
            _ => Stage::Done,
        };
        self.stage = stage;
        Ok(())
    }

    /// The next nodes of this level, the next level, or the leaves; nothing when there is no difference.
    fn descend(&self, level: usize, left: VecDeque<u32>, below: VecDeque<u32>) -> Stage {
        if !left.is_empty() {
            Stage::Nodes { level, left, asked: Vec::new(), below }
        } else if level == 0 || below.is_empty() {
            Stage::Leaves { left: below, asked: HashSet::new(), wanted: VecDeque::new() }
        } else {
            Stage::Nodes { level: level - 1, left: below, asked: Vec::new(), below: VecDeque::new() }
        }
    }

    /// From the root on, unless there is no difference at all.
    fn root(&mut self) -> Stage {
        self.checks_payloads = false;
        self.passes += 1;
        self.progress.left_out = 0;
        let is_equal = self.own.digest().is_some_and(|(digest, _)| digest == self.expected);
        let left = if is_equal { VecDeque::new() } else { VecDeque::from([0]) };
        if is_equal {
            return Stage::Leaves { left, asked: HashSet::new(), wanted: VecDeque::new() };
        }
        let level = self.own.shape().levels() - 1;
        Stage::Nodes { level, left, asked: Vec::new(), below: VecDeque::new() }
    }

    fn is_over(&self) -> Result<bool, TransferError> {
        if self.measured.is_some() {
            return Ok(true);
        }
        let is_equal = self.own.digest().is_some_and(|(digest, _)| digest == self.expected);
        // What is left out or held back differs as often as it is looked for.
        let is_known = self.passes > 0 && (self.progress.left_out > 0 || self.own.holds_back()?);
        Ok(is_equal || is_known || self.passes >= PASSES_MAX)
    }

    fn take_hashes(&mut self, hashes: &[Hash]) -> Result<(), TransferError> {
        let Stage::Nodes { level, asked, below, .. } = &mut self.stage else {
            return Err(unexpected("hashes"));
        };
        if hashes.len() != asked.len() * FAN_OUT {
            return Err(unexpected(format!("{} hashes of {} nodes", hashes.len(), asked.len())));
        }
        let fan_out = u32::try_from(FAN_OUT).unwrap_or(u32::MAX);
        for (node, theirs) in asked.iter().zip(hashes.chunks(FAN_OUT)) {
            let ours = self.own.children(*level, *node as usize);
            for (child, (ours, theirs)) in (0u32..).zip(ours.iter().zip(theirs)) {
                if ours != theirs {
                    below.push_back(node * fan_out + child);
                }
            }
        }
        Ok(())
    }

    fn take_leaves(&mut self, bucket: u32, leaves: &[Leaf]) -> Result<(), TransferError> {
        let Stage::Leaves { asked, wanted, .. } = &mut self.stage else {
            return Err(unexpected("leaves"));
        };
        if !asked.remove(&bucket) {
            return Err(unexpected(format!("leaves of bucket {bucket}")));
        }
        let theirs: HashMap<[u8; 16], Hash> = leaves.iter().map(|leaf| (leaf.place, leaf.hash)).collect();
        for different in self.own.compare(bucket, leaves)? {
            let hash = theirs.get(&different.place).copied();
            self.progress.documents_total += 1;
            wanted.push_back((different, hash));
        }
        Ok(())
    }
}

impl Stage {
    fn documents(buckets: VecDeque<u32>, wanted: VecDeque<Different>) -> Stage {
        Stage::Documents(Group { buckets, wanted, ..Group::default() })
    }
}

fn unexpected(what: impl Into<String>) -> TransferError {
    TransferError::Unexpected { reason: what.into() }
}
