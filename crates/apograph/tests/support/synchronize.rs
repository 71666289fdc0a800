//! Synchronizing without a network.

use apograph::Database;
use apograph::format::{SyncFrame, SyncQuestion, SyncScope};
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
    let Some(question) = transfer.next_question().unwrap() else { return false };
    let question = SyncQuestion::decode(question.encode().into()).unwrap();
    let mut answer = source.answer(transfer.partition(), question).unwrap();
    let mut buffer = BytesMut::new();
    cost.requests += 1;
    for _ in 0..pieces {
        let Some(piece) = answer.next(256 << 10).unwrap() else { break };
        cost.bytes += piece.len() as u64;
        buffer.extend_from_slice(&piece);
        while let Some((frame, raw)) = SyncFrame::take(&mut buffer).unwrap() {
            if transfer.take(frame, raw.len() as u64).unwrap() {
                return true;
            }
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
