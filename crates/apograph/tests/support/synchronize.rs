//! Synchronizing without a network.

use apograph::Database;
use apograph::format::{SyncQuestion, SyncScope};
use apograph::synchronize::{Snapshot, SyncMarker, SyncOutcome, SyncPhase, Transfer};
use bytes::BytesMut;

/// What went over the wire that is not there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    pub bytes: u64,
    pub requests: u64,
}

pub fn begin(
    source: &Database,
    copy: &Database,
    reason: &str,
    scope: SyncScope,
) -> (Database, Vec<Transfer>) {
    let snapshot = source.snapshot(copy.view(), copy.sync_floor()).unwrap();
    begin_at(source, copy, reason, scope, snapshot)
}

pub fn begin_at(
    source: &Database,
    copy: &Database,
    reason: &str,
    scope: SyncScope,
    snapshot: Snapshot,
) -> (Database, Vec<Transfer>) {
    let marker = SyncMarker {
        phase: SyncPhase::Transferring,
        reason: reason.into(),
        round: 1,
        began: 0,
        snapshot,
        keep_journals: false,
        since: scope.since,
        max_versions: scope.max_versions,
        documents: 0,
        bytes: 0,
        equal: false,
        left_out: 0,
    };
    copy.begin_sync(marker.clone()).unwrap();
    resume(source, copy, &marker)
}

pub fn resume(source: &Database, copy: &Database, marker: &SyncMarker) -> (Database, Vec<Transfer>) {
    let snapshot: &Snapshot = &marker.snapshot;
    let scope = SyncScope { since: marker.since, max_versions: marker.max_versions };
    let transfers =
        snapshot.partitions.iter().map(|of| copy.transfer(snapshot, of, scope).unwrap()).collect();
    (source.clone(), transfers)
}

/// One question of each partition; `false` when nobody has any more.
pub fn step(source: &Database, transfers: &mut [Transfer], cost: &mut Cost) -> bool {
    let mut is_more = false;
    for transfer in transfers {
        is_more |= step_pieces(source, transfer, usize::MAX, cost);
    }
    is_more
}

/// One question, of whose answer only so many pieces of 256 KiB arrive.
pub fn step_pieces(source: &Database, transfer: &mut Transfer, pieces: usize, cost: &mut Cost) -> bool {
    step_altered(source, transfer, pieces, cost, |_| ())
}

/// One question, whose answer is another when it arrives.
pub fn step_altered(
    source: &Database,
    transfer: &mut Transfer,
    pieces: usize,
    cost: &mut Cost,
    alter: impl Fn(&mut [u8]),
) -> bool {
    let Some(question) = transfer.next_question().unwrap() else { return false };
    let question = SyncQuestion::decode(question.encode().into()).unwrap();
    let mut answer = source.answer(transfer.partition(), question).unwrap();
    let mut buffer = BytesMut::new();
    cost.requests += 1;
    for _ in 0..pieces {
        let Some(piece) = answer.next(256 << 10).unwrap() else { break };
        cost.bytes += piece.len() as u64;
        let mut piece = piece.to_vec();
        alter(&mut piece);
        buffer.extend_from_slice(&piece);
        if transfer.take(&mut buffer).unwrap() {
            return true;
        }
    }
    true
}

pub fn synchronize(source: &Database, copy: &Database, reason: &str, cost: &mut Cost) -> SyncOutcome {
    synchronize_scoped(source, copy, reason, SyncScope::default(), cost)
}

pub fn synchronize_scoped(
    source: &Database,
    copy: &Database,
    reason: &str,
    scope: SyncScope,
    cost: &mut Cost,
) -> SyncOutcome {
    let (source, mut transfers) = begin(source, copy, reason, scope);
    while step(&source, &mut transfers, cost) {}
    let left_out = transfers.iter().map(|transfer| transfer.progress().left_out).sum();
    copy.finish_sync(left_out).unwrap()
}

/// Whole frames of an answer, as if the source knew kinds of documents that nobody here knows: that of the document.
pub fn with_an_unknown_kind(frames: &mut [u8], uri: &str) {
    let mut rest = frames;
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
        let (frame, behind) = rest.split_at_mut(12 + length);
        let (header, body) = frame.split_at_mut(12);
        // The URI is the first field of a document, its head is the second, the kind the first of that.
        let field = [&[0x0a, uri.len() as u8], uri.as_bytes(), &[0x12]].concat();
        if let Some(at) = body.windows(field.len()).position(|window| window == field) {
            let kind = body[at + field.len()..].iter().position(|byte| *byte == 0x08).unwrap();
            body[at + field.len() + kind + 1] = 0x7f;
            header[8..].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        }
        rest = behind;
    }
}
