//! Merges take their time.
//!
//! A merge writes as fast as one processor can: some 200 MB a second. For as long as that lasts, the disk takes 50 to 300 ms
//! for the sync of a journal that takes 1 ms otherwise, and every commit of that time waits. Nobody waits for a merge, as
//! long as there is room above it. So it goes on piece by piece, at a rate far above what merges need in the long run; as
//! soon as writers could have to wait for it, it hurries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What a merge reads in a second. Measured: `docs/synchronization-runs.md`.
const BYTES_PER_SECOND: u64 = 32 << 20;
/// It is looked at the clock after so many bytes: 4 ms of a merge that takes its time.
const PIECE_BYTES: u64 = 128 << 10;

/// Of one merge.
#[derive(Debug)]
pub(super) struct Pace {
    /// Somebody wants it to end, or writers could have to wait for it.
    hurry: [Arc<AtomicBool>; 2],
    begun: Instant,
    /// Since then.
    bytes: u64,
    /// Since the clock was looked at.
    piece: u64,
}

impl Pace {
    pub(super) fn new(hurry: [Arc<AtomicBool>; 2]) -> Pace {
        Pace { hurry, begun: Instant::now(), bytes: 0, piece: 0 }
    }

    /// The merge took an entry of this size; waits while it is ahead.
    pub(super) fn took(&mut self, bytes: usize) {
        self.piece = self.piece.saturating_add(bytes as u64);
        if self.piece < PIECE_BYTES {
            return;
        }
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut self.piece));
        let due = Duration::from_micros(self.bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND);
        let is_hurried = self.hurry.iter().any(|hurry| hurry.load(Ordering::Relaxed));
        match due.checked_sub(self.begun.elapsed()) {
            Some(ahead) if !is_hurried => thread::sleep(ahead),
            // Haste is not waited for afterwards, nor delay made up for.
            _ => (self.begun, self.bytes) = (Instant::now(), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long so many pieces take.
    fn time(pace: &mut Pace, pieces: u64) -> Duration {
        let begun = Instant::now();
        for _ in 0..pieces * (PIECE_BYTES >> 10) {
            pace.took(1 << 10);
        }
        begun.elapsed()
    }

    #[test]
    fn a_merge_takes_its_time_until_somebody_waits() {
        let [stopping, pressed] = [(), ()].map(|()| Arc::new(AtomicBool::new(false)));
        let mut pace = Pace::new([Arc::clone(&stopping), Arc::clone(&pressed)]);
        let due = Duration::from_micros(50 * PIECE_BYTES * 1_000_000 / BYTES_PER_SECOND);
        assert!(time(&mut pace, 50) >= due);
        for hurry in [stopping, pressed] {
            hurry.store(true, Ordering::Relaxed);
            // No sleep at all, and a machine that is busy.
            assert!(time(&mut pace, 500) < due * 10);
            hurry.store(false, Ordering::Relaxed);
            assert!(time(&mut pace, 50) >= due, "haste of before is not made up for, nor gone on with");
        }
    }
}
