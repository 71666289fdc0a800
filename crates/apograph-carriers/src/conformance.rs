//! What every carrier does, as checks that every carrier passes. They fail by panicking, as tests do.

#![allow(clippy::indexing_slicing, reason = "checks, not code that runs in a server")]

use std::time::Duration;

use bytes::BytesMut;

use apograph_format::{
    DatabaseId, Entry, EntryHeader, EntryKind, Frame, Hash, Participants, PartitionId, Position, Timestamp,
    View,
};
use apograph_replication::carrier::{Carrier, Chunks, JournalRequest, RefusalKind};

/// A source that does as it is told, at the other end of a carrier.
pub trait Source {
    /// The carrier that leads to it.
    type Carrier: Carrier;

    /// A way to it.
    fn carrier(&self) -> Self::Carrier;
    /// It has one more entry.
    fn append(&self, entry: Entry);
    /// It refuses every stream from now on.
    fn refuse(&self, kind: RefusalKind);
    /// Streams break after this many bytes.
    fn cut_after(&self, bytes: usize);
    /// It answers these bytes instead of a stream.
    fn babble(&self, bytes: &'static [u8]);
    /// It ends all streams in order, and is not there any more.
    fn go_away(&self);
    /// How many bytes left it so far.
    fn sent(&self) -> usize;
}

/// How long a check waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// All checks. `source` makes a new source every time.
///
/// # Panics
/// When a check fails.
pub async fn all<S: Source>(mut source: impl AsyncFnMut() -> S) {
    delivers_in_order(&source().await).await;
    resumes_midway(&source().await).await;
    delivers_what_comes_later(&source().await).await;
    for kind in RefusalKind::ALL {
        reports_refusals(&source().await, kind).await;
    }
    ends_with_the_source(&source().await).await;
    takes_nothing_half(&source().await).await;
    for babble in
        [b"<!doctype html><title>Welcome</title>".as_slice(), b"\x00\xff\x16\x03 no protocol at all\r\n\r\n"]
    {
        tells_strangers(&source().await, babble).await;
    }
    holds_back(&source().await).await;
}

async fn delivers_in_order<S: Source>(source: &S) {
    let entries = fill(source, 50, 300);
    assert_eq!(read(source, &beginning(), entries.len()).await, entries, "entries in order");
}

async fn resumes_midway<S: Source>(source: &S) {
    let entries = fill(source, 20, 300);
    for after in [0, 7, 18] {
        let (position, rest) = (entries[after].position(), &entries[after + 1..]);
        assert_eq!(read(source, &position, rest.len()).await, rest, "entries behind {position}");
    }
}

async fn delivers_what_comes_later<S: Source>(source: &S) {
    let mut chunks = source.carrier().open(&request(&beginning())).await.expect("the source is there");
    let entries = fill(source, 3, 10);
    assert_eq!(collect(&mut chunks, 3).await, entries, "entries that came after the stream was opened");
}

async fn reports_refusals<S: Source>(source: &S, kind: RefusalKind) {
    source.refuse(kind);
    let refusal = source.carrier().open(&request(&beginning())).await.err().expect("the source refuses");
    assert_eq!(refusal.kind, kind, "{refusal}");
}

async fn ends_with_the_source<S: Source>(source: &S) {
    let entries = fill(source, 2, 10);
    let carrier = source.carrier();
    let mut chunks = carrier.open(&request(&beginning())).await.expect("the source is there");
    assert_eq!(collect(&mut chunks, 2).await, entries);
    source.go_away();
    assert_eq!(in_time(chunks.next()).await, Ok(None), "an orderly end is no cut");
    let refusal = carrier.open(&request(&beginning())).await.err().expect("nobody is there");
    assert_eq!(refusal.kind, RefusalKind::Unavailable, "{refusal}");
}

async fn takes_nothing_half<S: Source>(source: &S) {
    let entries = fill(source, 3, 5_000);
    let whole: usize = entries.iter().take(2).map(|entry| entry.bytes().len()).sum();
    for cut in [whole + 1, whole + 100, whole + 4_000] {
        source.cut_after(cut);
        let mut chunks = source.carrier().open(&request(&beginning())).await.expect("the source is there");
        let mut buffer = BytesMut::new();
        while let Ok(piece) = in_time(chunks.next()).await {
            buffer.extend_from_slice(&piece.expect("a cut is no end"));
        }
        assert_eq!(frames(&mut buffer), entries[..2], "whole entries before the cut at {cut}");
        assert_eq!(buffer.len(), cut - whole, "the rest waits for more, and is nothing");
    }
}

async fn tells_strangers<S: Source>(source: &S, babble: &'static [u8]) {
    source.babble(babble);
    let refusal = source.carrier().open(&request(&beginning())).await.err().expect("a stranger answers");
    assert_eq!(refusal.kind, RefusalKind::NotApograph, "{refusal}");
}

/// A reader that does not ask holds the source back: what is on its way is bounded by buffers, not by the journal.
async fn holds_back<S: Source>(source: &S) {
    let entries = fill(source, 64, 1 << 20);
    let all: usize = entries.iter().map(|entry| entry.bytes().len()).sum();
    let mut chunks = source.carrier().open(&request(&beginning())).await.expect("the source is there");
    in_time(chunks.next()).await.expect("a first piece");
    let mut before = usize::MAX;
    // Until nothing moves any more.
    while before != source.sent() {
        before = source.sent();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(before < all / 2, "{before} of {all} bytes left the source before anybody asked for them");
}

/// `count` entries behind each other, each with facts of this size.
fn fill<S: Source>(source: &S, count: u64, facts_bytes: usize) -> Vec<Entry> {
    let mut after = beginning();
    let mut entries = Vec::new();
    for number in 1..=count {
        let facts = vec![u8::try_from(number % 251).expect("small"); facts_bytes];
        let entry = Entry::seal(header(&after, number), &facts, &[]);
        after = entry.position();
        source.append(entry.clone());
        entries.push(entry);
    }
    entries
}

fn header(after: &Position, number: u64) -> EntryHeader {
    EntryHeader {
        kind: EntryKind::Transaction,
        starts_segment: false,
        facts_bytes: 0,
        payloads: 0,
        payloads_bytes: 0,
        epoch: apograph_format::Epoch::FIRST,
        sequence: after.sequence + 1,
        timestamp: Timestamp(number * 10),
        previous_timestamp: Timestamp((number - 1) * 10),
        synced: after.sequence,
        participants: Participants(1),
        partition: PartitionId(0),
        previous_hash: after.hash,
        hash: Hash([0; 32]),
    }
}

fn beginning() -> Position {
    Position::beginning(DatabaseId([5; 16]).genesis(View::Full, PartitionId(0)))
}

fn request(from: &Position) -> JournalRequest {
    JournalRequest { partition: PartitionId(0), view: View::Full, from: *from, source: None }
}

async fn read<S: Source>(source: &S, from: &Position, count: usize) -> Vec<Entry> {
    let mut chunks = source.carrier().open(&request(from)).await.expect("the source is there");
    collect(&mut chunks, count).await
}

async fn collect<C: Chunks>(chunks: &mut C, count: usize) -> Vec<Entry> {
    let mut buffer = BytesMut::new();
    let mut entries = Vec::new();
    while entries.len() < count {
        let piece = in_time(chunks.next()).await.expect("no cut").expect("no end");
        buffer.extend_from_slice(&piece);
        entries.extend(frames(&mut buffer));
    }
    assert!(buffer.is_empty(), "nothing is sent twice");
    entries
}

fn frames(buffer: &mut BytesMut) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some(frame) = Frame::take(buffer).expect("bytes arrive as they were sent") {
        match frame {
            Frame::Entry(entry) => entries.push(entry),
            Frame::Heartbeat(heartbeat) => panic!("no source here sends {heartbeat:?}"),
        }
    }
    entries
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it comes in time")
}
