//! Flushes and merges take their time.
//!
//! A merge writes as fast as one processor can, some 200 MB a second, a flush 600. For as long as that lasts, the disk takes 50
//! to 300 ms for the sync of a journal that takes 1 ms otherwise, and every commit of that time waits. Nobody waits for them, as
//! long as there is room above. So they go on piece by piece, at a rate far above what is needed in the long run; as soon as
//! writers could have to wait, they hurry.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// It is looked at the clock after so many bytes: 3 to 4 ms of one that takes its time.
const PIECE_BYTES: u64 = 128 << 10;
/// So soon it notices that somebody waits.
const NAP: Duration = Duration::from_millis(5);

/// Of one flush or merge.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    /// Somebody waits for its end, or writers could have to.
    hurry: Vec<Arc<AtomicBool>>,
    begun: Instant,
    /// Since then.
    bytes: u64,
    /// Since the clock was looked at.
    piece: u64,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Pace {
        Pace { bytes_per_second, hurry: Vec::new(), begun: Instant::now(), bytes: 0, piece: 0 }
    }

    /// As long as this flag is set, it does not wait.
    pub(super) fn unless(mut self, hurry: &Arc<AtomicBool>) -> Pace {
        self.hurry.push(Arc::clone(hurry));
        self
    }

    /// It took an entry of this size; waits while it is ahead.
    pub(super) fn took(&mut self, bytes: usize) {
        self.piece = self.piece.saturating_add(bytes as u64);
        if self.piece < PIECE_BYTES {
            return;
        }
        self.bytes = self.bytes.saturating_add(std::mem::take(&mut self.piece));
        let due = self.bytes.saturating_mul(1_000_000) / self.bytes_per_second.max(1);
        let due = Duration::from_micros(due);
        let mut is_ahead = false;
        while !self.is_hurried()
            && let Some(ahead) = due.checked_sub(self.begun.elapsed())
        {
            is_ahead = true;
            thread::sleep(ahead.min(NAP));
        }
        if !is_ahead || self.is_hurried() {
            // Haste is not waited for afterwards, nor delay made up for.
            (self.begun, self.bytes) = (Instant::now(), 0);
        }
    }

    fn is_hurried(&self) -> bool {
        self.hurry.iter().any(|hurry| hurry.load(Ordering::Relaxed))
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
        let rate = 32 << 20;
        let mut pace = Pace::new(rate).unless(&stopping).unless(&pressed);
        let due = Duration::from_micros(50 * PIECE_BYTES * 1_000_000 / rate);
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
