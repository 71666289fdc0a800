//! The source's side: snapshots, and answers about them, read from the store's past as they are asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apograph_format::digest::FAN_OUT;
use apograph_format::synchronize::{ErasedBody, Measured, WantedDocument, WantedPayloads};
use apograph_format::{
    Ask, ContentFact, Digest, Hash, Head, PartitionId, Payload, Position, State, SyncDocument, SyncFrame,
    SyncQuestion, SyncScope, Timestamp, Uri, VersionNames, VersionRef, View,
};
use apograph_store::{Documents, Known, Store, StoreError, TreeSnapshot, VersionRecord};
use bytes::{Bytes, BytesMut};

use super::{Snapshot, SnapshotError, SnapshotPartition};
use crate::Role;
use crate::database::committer::Committer;
use crate::database::worker::Worker;
use crate::database::{Database, Shared};

/// Contents up to this size come with their document when all documents come; larger ones are asked for.
const INLINE_BYTES_MAX: u64 = 256 << 10;
/// Names of contents that were sent with this answer already.
const SENT_MAX: usize = 16_384;
/// A measurement says that it is alive after so many documents.
const MEASURED_STEP: u64 = 4_096;
/// A search that finds nothing says that it is alive after so many documents.
const ALIVE_STEP: u64 = 1 << 18;
/// A snapshot that nobody asked about for so long is not held any more.
const PIN_IDLE: Duration = Duration::from_secs(120);
/// Trees kept in memory for copies that compare.
const TREES_MAX: usize = 64;

/// Snapshots that copies read, and trees of them.
#[derive(Default)]
pub(crate) struct Pins {
    used: Mutex<BTreeMap<Timestamp, Instant>>,
    trees: Mutex<Vec<CachedTree>>,
}

struct CachedTree {
    partition: PartitionId,
    view: View,
    at: Timestamp,
    used: Instant,
    tree: Arc<Mutex<TreeSnapshot>>,
}

/// One answer, frame by frame.
pub struct SyncAnswer {
    shared: Arc<Shared>,
    store: Arc<Store>,
    at: Timestamp,
    frames: Frames,
    /// What was read and is still to be sent.
    pending: VecDeque<Pending>,
    is_over: bool,
}

enum Pending {
    Frame(SyncFrame),
    /// The body of a version.
    Body(VersionRecord),
    /// A chunk of a content, and its length.
    Chunk(Hash, usize),
}

enum Frames {
    Nodes { tree: Arc<Mutex<TreeSnapshot>>, level: usize, nodes: std::vec::IntoIter<u32> },
    Leaves { store: Arc<Store>, view: View, buckets: std::vec::IntoIter<u32> },
    Documents { reader: Reader, wanted: std::vec::IntoIter<WantedDocument> },
    All { reader: Reader, documents: Documents, sent: BTreeSet<Hash> },
    Payloads { reader: Reader, hashes: std::vec::IntoIter<Hash> },
    Purged { documents: Documents, after: Timestamp, looked: u64 },
    Cursors { cursors: std::vec::IntoIter<(String, String, Timestamp)> },
    Measure { reader: Reader, of: Measure, measured: Measured },
}

enum Measure {
    Documents(std::vec::IntoIter<WantedDocument>),
    All(Documents),
}

/// Reads documents of a snapshot as a copy of a view may see them.
struct Reader {
    store: Arc<Store>,
    view: View,
    /// The view is derived from what this server holds.
    is_derived: bool,
    at: Timestamp,
    scope: SyncScope,
}

/// A document, and the versions of which bodies are to be sent with it.
struct Read {
    document: SyncDocument,
    bodies: Vec<VersionRecord>,
    is_purged: bool,
}

/// The newest state that a view shows, and where the partitions are.
struct Taken {
    at: Timestamp,
    reads_at: Timestamp,
    places: Vec<Place>,
}

/// Where a partition was at a timestamp.
pub(super) struct Place {
    pub(super) partition: PartitionId,
    /// The last entry of this server's journal then.
    pub(super) here: Position,
    /// In a derived journal: the source entry it stands for.
    pub(super) source: Option<Position>,
    pub(super) last_published: Timestamp,
    /// Bytes of journal up to there.
    pub(super) appended: u64,
}

impl Database {
    /// The newest state of this server, for a copy that shows nothing newer than `above`. A primary whose newest state
    /// leaves the copy no room for its batches writes a checkpoint that does. Blocks.
    pub fn snapshot(&self, view: View, above: Timestamp) -> Result<Snapshot, SnapshotError> {
        if self.view() == View::Published && view == View::Full {
            return Err(SnapshotError::NoSuchView { view });
        }
        let taken = self.on_worker(move |worker| worker.snapshot(view, above));
        let Taken { at, reads_at, places } =
            taken.map_err(|error| SnapshotError::Stopped { reason: error.to_string() })??;
        if self.shared.file().is_cut(self.epoch(), at) {
            let reason =
                "it holds history that a later epoch cut off, and has to synchronize itself".to_owned();
            return Err(SnapshotError::Stopped { reason });
        }
        // Trees are read from the past, beside the worker: commits do not wait for them.
        let mut partitions = Vec::with_capacity(places.len());
        for place in places {
            partitions.push(self.snapshot_partition(place, view, at, reads_at)?);
        }
        Ok(Snapshot { at, reads_at, view, partitions })
    }

    /// Does a copy of this one, which asked for a snapshot above `above`, need something newer than what is here? Then this
    /// one's source is to be asked for it, up to the primary: only that can write it.
    pub fn lacks_room(&self, above: Timestamp, answered: &Result<Snapshot, SnapshotError>) -> bool {
        let newest = match answered {
            Ok(snapshot) => snapshot.at,
            Err(SnapshotError::NotNewer { visible, .. }) => *visible,
            Err(_) => return false,
        };
        self.role() != Role::Primary && above > Timestamp::ZERO && !Committer::is_room(above, newest)
    }

    pub(super) fn snapshot_partition(
        &self,
        place: Place,
        view: View,
        at: Timestamp,
        reads_at: Timestamp,
    ) -> Result<SnapshotPartition, SnapshotError> {
        let Place { partition, here, source, last_published, appended } = place;
        let no_partition = SnapshotError::NoSuchPartition { partition: partition.0 };
        let tree = self.shared.pins.tree(
            self.shared.store(partition).ok_or(no_partition)?,
            partition,
            view,
            reads_at,
        )?;
        let (digest, documents): (Digest, u64) = lock(&tree).digest();
        Ok(if view == self.view() {
            let (position, journal_bytes) = (here, appended);
            SnapshotPartition {
                partition,
                position,
                source,
                last_published,
                journal_bytes,
                digest,
                documents,
            }
        } else {
            let (position, source) = (derived_beginning(self.id(), partition, here), Some(here));
            SnapshotPartition {
                partition,
                position,
                source,
                last_published: at,
                journal_bytes: 0,
                digest,
                documents,
            }
        })
    }

    /// Answers what a copy asks about a snapshot.
    pub fn answer(
        &self,
        partition: PartitionId,
        question: SyncQuestion,
    ) -> Result<SyncAnswer, SnapshotError> {
        if self.view() == View::Published && question.view == View::Full {
            return Err(SnapshotError::NoSuchView { view: question.view });
        }
        let store = self.shared.store(partition);
        let no_partition = || match self.partitioning().everyone().contains(partition) {
            true => SnapshotError::Read(self.shared.elsewhere(partition)),
            false => SnapshotError::NoSuchPartition { partition: partition.0 },
        };
        let store = Arc::clone(store.ok_or_else(no_partition)?);
        self.shared.check_snapshot(question.at)?;
        let (at, view) = (question.at, question.view);
        let reader = Reader {
            store: Arc::clone(&store),
            view,
            is_derived: self.view() != view,
            at,
            scope: question.scope,
        };
        let frames = match question.ask {
            Ask::Documents { wanted } if question.measure => {
                let of = Measure::Documents(wanted.into_iter());
                Frames::Measure { reader, of, measured: Measured::default() }
            }
            Ask::All { after } if question.measure => {
                let of = Measure::All(store.documents("", after.as_ref(), at));
                Frames::Measure { reader, of, measured: Measured::default() }
            }
            Ask::Nodes { level, nodes } => {
                let tree = self.shared.pins.tree(&store, partition, view, at)?;
                Frames::Nodes { tree, level: level as usize, nodes: nodes.into_iter() }
            }
            Ask::Leaves { buckets } => {
                Frames::Leaves { store: Arc::clone(&store), view, buckets: buckets.into_iter() }
            }
            Ask::Documents { wanted } => Frames::Documents { reader, wanted: wanted.into_iter() },
            Ask::All { after } => {
                let documents = store.documents("", after.as_ref(), at);
                Frames::All { reader, documents, sent: BTreeSet::new() }
            }
            Ask::Payloads { wanted } => {
                let of = |wanted| reader.shown_payloads(wanted);
                let hashes: Vec<Vec<Hash>> = wanted.into_iter().map(of).collect::<Result<_, _>>()?;
                let hashes = hashes.into_iter().flatten().collect::<Vec<_>>().into_iter();
                Frames::Payloads { reader, hashes }
            }
            Ask::Purged { after } => {
                Frames::Purged { documents: store.documents("", None, at), after, looked: 0 }
            }
            Ask::Cursors if view == View::Published => Frames::Cursors { cursors: Vec::new().into_iter() },
            Ask::Cursors => {
                let cursors: Vec<_> = store.cursors(at).collect::<Result<_, _>>()?;
                Frames::Cursors { cursors: cursors.into_iter() }
            }
        };
        let shared = Arc::clone(&self.shared);
        Ok(SyncAnswer { shared, store, at, frames, pending: VecDeque::new(), is_over: false })
    }
}

impl Worker {
    /// The newest state that the view shows, and where the partitions are then.
    fn snapshot(&mut self, view: View, above: Timestamp) -> Result<Taken, SnapshotError> {
        if self.shared.sync_marker().is_some() {
            return Err(SnapshotError::Synchronizing);
        }
        if let Some(reason) = self.shared.stopped() {
            return Err(SnapshotError::Stopped { reason });
        }
        let mut at = self.newest(view)?;
        if !Committer::is_room(above, at) && self.shared.role() == Role::Primary {
            self.committer.go_beyond(above);
            self.write_checkpoint_now();
            at = self.newest(view)?;
        }
        if at <= above {
            return Err(SnapshotError::NotNewer { above, visible: at });
        }
        let reads_at = self.shared.visible();
        self.shared.pins.touch(reads_at);
        let partitions = self.shared.held.iter().zip(&self.shared.stores).zip(&self.journals);
        let mut places = Vec::new();
        for ((partition, store), journal) in partitions {
            let genesis = Position::beginning(self.shared.id().genesis(self.shared.view(), partition));
            let progress = store.progress_at(reads_at)?;
            places.push(Place {
                partition,
                here: progress.as_ref().map_or(genesis, |progress| progress.position),
                source: progress.as_ref().and_then(|progress| progress.source),
                last_published: progress.map(|progress| progress.last_published).unwrap_or_default(),
                appended: journal.bytes_appended(),
            });
        }
        Ok(Taken { at, reads_at, places })
    }

    /// The commit timestamp of the newest change that the view shows.
    fn newest(&self, view: View) -> Result<Timestamp, StoreError> {
        let visible = self.shared.visible();
        if view == self.shared.view() {
            return Ok(visible);
        }
        let mut newest = Timestamp::ZERO;
        for store in &self.shared.stores {
            let published = store.progress_at(visible)?.map(|progress| progress.last_published);
            newest = newest.max(published.unwrap_or_default());
        }
        Ok(newest)
    }
}

/// Where a derived journal begins that was not derived from the beginning: the same wherever it is asked for.
fn derived_beginning(
    database: apograph_format::DatabaseId,
    partition: PartitionId,
    source: Position,
) -> Position {
    let (epoch, sequence) = (source.epoch.bits().to_le_bytes(), source.sequence.to_le_bytes());
    let pieces: [&[u8]; 5] =
        [database.as_bytes(), &partition.0.to_le_bytes(), &epoch, &sequence, &source.hash.0];
    Position { hash: Hash::derive("apograph 2026 synchronized beginning", &pieces), ..source }
}

impl Shared {
    /// Can the snapshot still be read? Then it is held for a while longer.
    pub(super) fn check_snapshot(&self, at: Timestamp) -> Result<(), SnapshotError> {
        let horizon = self.stores.iter().map(|store| store.horizon()).max().unwrap_or_default();
        if at < horizon || at > self.visible() {
            return Err(SnapshotError::Expired { at, horizon });
        }
        self.pins.touch(at);
        Ok(())
    }
}

impl Pins {
    /// Somebody reads the state of this time: it is kept for a while.
    pub(crate) fn touch(&self, at: Timestamp) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(at, Instant::now());
    }

    /// The oldest snapshot that a copy reads: history is kept from there on. Those of copies that went away are not.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, used| used.elapsed() < PIN_IDLE);
        used.keys().next().copied()
    }

    fn tree(
        &self,
        store: &Store,
        partition: PartitionId,
        view: View,
        at: Timestamp,
    ) -> Result<Arc<Mutex<TreeSnapshot>>, SnapshotError> {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        trees.retain(|cached| cached.used.elapsed() < PIN_IDLE);
        let is_it =
            |cached: &&mut CachedTree| (cached.partition, cached.view, cached.at) == (partition, view, at);
        if let Some(cached) = trees.iter_mut().find(is_it) {
            cached.used = Instant::now();
            return Ok(Arc::clone(&cached.tree));
        }
        let tree = store.tree_at(view, at)?.ok_or(SnapshotError::NoSuchView { view })?;
        let tree = Arc::new(Mutex::new(tree));
        if trees.len() >= TREES_MAX {
            let oldest = trees.iter().enumerate().min_by_key(|(_, cached)| cached.used);
            if let Some(index) = oldest.map(|(index, _)| index) {
                trees.swap_remove(index);
            }
        }
        trees.push(CachedTree { partition, view, at, used: Instant::now(), tree: Arc::clone(&tree) });
        Ok(tree)
    }
}

impl SyncAnswer {
    /// The next whole frames, at least one, `bytes_max` or somewhat more; `None` behind the last.
    pub fn next(&mut self, bytes_max: usize) -> Result<Option<Bytes>, SnapshotError> {
        // While it is read the snapshot stays.
        self.shared.check_snapshot(self.at)?;
        let mut gathered = BytesMut::new();
        while gathered.len() < bytes_max && !self.is_over {
            let frame = match self.pending.pop_front() {
                Some(Pending::Frame(frame)) => frame,
                Some(Pending::Body(record)) => read_body(&self.store, record)?,
                Some(Pending::Chunk(hash, length)) => read_payload(&self.store, hash, length, false)?,
                None if self.advance()? => continue,
                None => {
                    self.is_over = true;
                    SyncFrame::End
                }
            };
            gathered.extend_from_slice(&frame.encode());
        }
        Ok((!gathered.is_empty()).then(|| gathered.freeze()))
    }

    /// Reads the next thing asked for; `false` when there is nothing more.
    fn advance(&mut self) -> Result<bool, SnapshotError> {
        let pending = &mut self.pending;
        let mut send = |frame: SyncFrame| pending.push_back(Pending::Frame(frame));
        match &mut self.frames {
            Frames::Nodes { tree, level, nodes } => {
                let mut tree = lock(tree);
                let mut hashes = Vec::new();
                for node in nodes.by_ref() {
                    let mut children = tree.children(*level, node as usize);
                    children.resize(FAN_OUT, Hash([0; 32]));
                    hashes.extend(children);
                }
                if hashes.is_empty() {
                    return Ok(false);
                }
                send(SyncFrame::Hashes(hashes));
            }
            Frames::Leaves { store, view, buckets } => {
                let Some(bucket) = buckets.next() else { return Ok(false) };
                let leaves = store.leaves(*view, bucket as usize, self.at);
                let leaves = leaves.map(|leaf| leaf.map(|(leaf, _)| leaf)).collect::<Result<_, _>>()?;
                send(SyncFrame::Leaves { bucket, leaves });
            }
            Frames::Documents { reader, wanted } => {
                let Some(wanted) = wanted.next() else { return Ok(false) };
                let Some(uri) = reader.uri_of(&wanted)? else { return Ok(true) };
                let read = reader.read(&uri, wanted.have.as_ref())?;
                let is_gone = reader.view == View::Published && read.document.head.is_none();
                if is_gone && (read.is_purged || reader.lost(&uri, wanted.have.as_ref())?) {
                    send(SyncFrame::Purged(uri));
                } else {
                    queue(pending, read);
                }
            }
            Frames::All { reader, documents, sent } => {
                let Some(item) = documents.next() else { return Ok(false) };
                let (uri, head) = item?;
                if reader.is_derived && head.live.is_none() {
                    return Ok(true);
                }
                let read = reader.read_head(&uri, Some(head), None)?;
                let contents = read.document.contents.clone();
                queue(pending, read);
                for content in contents.iter().filter(|content| content.bytes <= INLINE_BYTES_MAX) {
                    if sent.len() >= SENT_MAX {
                        sent.clear();
                    }
                    if sent.insert(content.hash) {
                        let chunks = content.chunks.iter().enumerate();
                        pending.extend(
                            chunks.map(|(index, chunk)| Pending::Chunk(*chunk, content.chunk_bytes(index))),
                        );
                    }
                }
            }
            Frames::Payloads { reader, hashes } => {
                let Some(hash) = hashes.next() else { return Ok(false) };
                send(read_payload(&reader.store, hash, 0, false)?);
            }
            Frames::Purged { documents, after, looked } => loop {
                let Some(item) = documents.next() else { return Ok(false) };
                let (uri, head) = item?;
                *looked += 1;
                if head.state == State::Purged && head.ever_live && head.changed > *after {
                    send(SyncFrame::Purged(uri));
                    break;
                }
                if *looked % ALIVE_STEP == 0 {
                    // Nothing was found for long: this says that the source is alive.
                    send(SyncFrame::Measured(Measured::default()));
                    break;
                }
            },
            Frames::Cursors { cursors } => {
                let Some((name, position, since)) = cursors.next() else { return Ok(false) };
                send(SyncFrame::Cursor { name, position, since });
            }
            Frames::Measure { reader, of, measured } => {
                let before = measured.documents + measured.left_out;
                let is_more = measure(reader, of, measured)?;
                if !is_more
                    || before / MEASURED_STEP != (measured.documents + measured.left_out) / MEASURED_STEP
                {
                    send(SyncFrame::Measured(*measured));
                }
                return Ok(is_more);
            }
        }
        Ok(true)
    }
}

fn queue(pending: &mut VecDeque<Pending>, read: Read) {
    pending.push_back(Pending::Frame(SyncFrame::Document(Box::new(read.document))));
    pending.extend(read.bodies.into_iter().map(Pending::Body));
}

/// A payload that cannot be read here is not sent: the copy holds the document back, and says so. Neither is one said to be
/// purged that something still names.
fn read_payload(store: &Store, hash: Hash, length: usize, erasable: bool) -> Result<SyncFrame, StoreError> {
    match store.payload(&hash) {
        Ok(Some(bytes)) => Ok(SyncFrame::Payload(Payload { hash, erased: false, bytes })),
        Ok(None) if !erasable && store.is_named_now(&hash)? => {
            let reason = "the source's own bytes of it are lost".to_owned();
            tracing::error!(%hash, "a payload is missing here; a copy that asked for it holds its document back");
            Ok(SyncFrame::Lost { hash, reason })
        }
        Ok(None) => Ok(SyncFrame::Payload(Payload::erased(hash, length))),
        Err(StoreError::Payload { .. }) => {
            let reason = "the source's own bytes of it are damaged".to_owned();
            tracing::error!(%hash, "a payload is damaged here; a copy that asked for it holds its document back");
            Ok(SyncFrame::Lost { hash, reason })
        }
        Err(error) => Err(error),
    }
}

/// Of a body that a purge took, what its version named is left.
fn read_body(store: &Store, record: VersionRecord) -> Result<SyncFrame, StoreError> {
    let frame = read_payload(store, record.id, record.body_bytes as usize, !record.came())?;
    match &frame {
        SyncFrame::Payload(payload) if payload.erased && record.known != Known::Nothing => {
            let bytes = record.body_bytes;
            let names = VersionNames { id: record.id, content: record.content, r#type: record.r#type };
            Ok(SyncFrame::Erased(ErasedBody { names, bytes }))
        }
        _ => Ok(frame),
    }
}

/// Measures one more document; `false` when there is none.
fn measure(reader: &Reader, of: &mut Measure, measured: &mut Measured) -> Result<bool, SnapshotError> {
    let read = match of {
        Measure::Documents(wanted) => {
            let Some(wanted) = wanted.next() else { return Ok(false) };
            let Some(uri) = reader.uri_of(&wanted)? else { return Ok(true) };
            reader.read(&uri, wanted.have.as_ref())?
        }
        Measure::All(documents) => {
            let Some(item) = documents.next() else { return Ok(false) };
            let (uri, head) = item?;
            if reader.is_derived && head.live.is_none() {
                return Ok(true);
            }
            reader.read_head(&uri, Some(head), None)?
        }
    };
    if read.document.left_out {
        measured.left_out += 1;
    } else {
        let contents = read.document.contents.iter().map(|content| content.bytes);
        measured.documents += 1;
        measured.bytes += read.bodies.iter().map(|record| u64::from(record.body_bytes)).sum::<u64>()
            + contents.sum::<u64>();
    }
    Ok(true)
}

impl Reader {
    /// The document at a place, by the tree of this server, else by what the copy says it has there.
    fn uri_of(&self, wanted: &WantedDocument) -> Result<Option<Uri>, StoreError> {
        let leaf = self.store.leaf(self.view, &wanted.place, self.at)?;
        Ok(leaf.map(|(_, uri)| uri).or_else(|| wanted.uri.clone()))
    }

    fn read(&self, uri: &Uri, have: Option<&VersionRef>) -> Result<Read, StoreError> {
        self.read_head(uri, self.store.head(uri, self.at)?, have)
    }

    /// Is the version that a copy has none of this document's here? Then it was purged, and perhaps begun anew since; or
    /// it is of a history that was cut off; or, where this is a staging server, it did not come here. No copy keeps it.
    fn lost(&self, uri: &Uri, have: Option<&VersionRef>) -> Result<bool, StoreError> {
        let Some(have) = have else { return Ok(false) };
        let record = self.store.version(uri, have.number, self.at)?;
        Ok(record.is_none_or(|record| record.id != have.id))
    }

    fn read_head(
        &self,
        uri: &Uri,
        head: Option<Head>,
        have: Option<&VersionRef>,
    ) -> Result<Read, StoreError> {
        let is_purged = head.as_ref().is_some_and(|head| head.state == State::Purged);
        let head = head.filter(|head| !self.is_derived || head.live.is_some());
        let mut document = SyncDocument {
            uri: uri.clone(),
            head: None,
            extends: false,
            versions: Vec::new(),
            kept_from: 0,
            contents: Vec::new(),
            left_out: false,
            erased: Vec::new(),
        };
        let mut read = Read { document: document.clone(), bodies: Vec::new(), is_purged };
        let Some(head) = head else { return Ok(read) };
        if self.scope.since > Timestamp::ZERO && head.changed < self.scope.since {
            read.document.left_out = true;
            return Ok(read);
        }
        document.extends = match have {
            Some(have) => {
                let record = self.store.version(uri, have.number, self.at)?;
                record.is_some_and(|record| record.id == have.id)
            }
            None => false,
        };
        let first = have.filter(|_| document.extends).map_or(0, |have| have.number + 1);
        let records = if self.is_derived { self.live(uri, &head, first)? } else { self.records(uri, first)? };
        document.kept_from = self.kept_from(uri, &records)?;
        for (number, record) in records {
            let is_live = head.live.is_some_and(|live| live.number == number);
            document.versions.push(VersionRef { number, id: record.id });
            if number < document.kept_from && !is_live {
                continue;
            }
            if let Some(content) = record.content
                && !document.contents.iter().any(|known| known.hash == content)
            {
                document.contents.extend(self.content(&content)?);
            }
            read.bodies.push(record);
        }
        document.head = Some(if self.is_derived { self.derive_head(uri, head)? } else { head });
        read.document = document;
        Ok(read)
    }

    fn content(&self, hash: &Hash) -> Result<Option<ContentFact>, StoreError> {
        self.store.content(hash)
    }

    /// Those of the payloads that the document shows in this view. A name is no permission: whoever asks for one that
    /// a document does not show gets nothing.
    fn shown_payloads(&self, wanted: WantedPayloads) -> Result<Vec<Hash>, StoreError> {
        if !self.is_derived {
            return Ok(wanted.hashes);
        }
        let read = self.read(&wanted.uri, None)?;
        let bodies = read.bodies.iter().map(|record| record.id);
        let chunks = read.document.contents.iter().flat_map(|content| content.chunks.iter().copied());
        let shown: BTreeSet<Hash> = bodies.chain(chunks).collect();
        Ok(wanted.hashes.into_iter().filter(|hash| shown.contains(hash)).collect())
    }

    fn records(&self, uri: &Uri, first: u64) -> Result<Vec<(u64, VersionRecord)>, StoreError> {
        self.store.versions(uri, first, u64::MAX, self.at).collect()
    }

    /// The one version that the published view shows.
    fn live(&self, uri: &Uri, head: &Head, first: u64) -> Result<Vec<(u64, VersionRecord)>, StoreError> {
        let Some(live) = head.live.filter(|live| live.number >= first) else { return Ok(Vec::new()) };
        let record = self.store.version(uri, live.number, self.at)?;
        Ok(record.into_iter().map(|record| (live.number, record)).collect())
    }

    /// The first version whose body comes: not before the first that this server has itself.
    fn kept_from(&self, uri: &Uri, records: &[(u64, VersionRecord)]) -> Result<u64, StoreError> {
        let held_from = self.store.cut_versions(uri, self.at)?.map_or(0, |cut| cut.kept_from);
        let kept = usize::try_from(self.scope.max_versions).unwrap_or(usize::MAX);
        if kept == 0 || records.len() <= kept {
            return Ok(held_from);
        }
        let wanted_from = records.get(records.len() - kept).map_or(0, |(number, _)| *number);
        Ok(wanted_from.max(held_from))
    }

    /// What the published view shows of a head: as a publication derives it, but for the time of the publication, which
    /// nobody remembers; that of the snapshot stands in its place.
    fn derive_head(&self, uri: &Uri, head: Head) -> Result<Head, StoreError> {
        let live = head.live;
        let record = match live {
            Some(live) => self.store.version(uri, live.number, self.at)?,
            None => None,
        };
        Ok(Head {
            kind: head.kind,
            state: State::Published,
            working: live,
            live,
            lock: None,
            history: Head::NO_HISTORY,
            versions: live.map_or(0, |live| live.number),
            moved_to: None,
            changed: self.at,
            r#type: record.map(|record| record.r#type).unwrap_or_default(),
            ever_live: true,
        })
    }
}

fn lock(tree: &Mutex<TreeSnapshot>) -> std::sync::MutexGuard<'_, TreeSnapshot> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}
