//! Whether looks into a store are quick: then they happen on the async threads, and save the way to another thread and
//! back, which costs more than the look. As soon as one is slow, because it needs the disk, all go to threads of their
//! own for a while: many can wait for the disk at once there, and nobody else waits with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::limits::{LOOK_QUICK_MAX, LOOKS_ELSEWHERE};

/// Shared by all looks of a server.
#[derive(Debug)]
pub(crate) struct Pace {
    begun: Instant,
    /// Until then, in microseconds after `begun`, looks go to threads.
    elsewhere_until: AtomicU64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { begun: Instant::now(), elsewhere_until: AtomicU64::new(0) }
    }
}

impl Pace {
    /// May the next look happen here?
    pub(crate) fn is_quick(&self) -> bool {
        self.now() >= self.elsewhere_until.load(Ordering::Relaxed)
    }

    /// A look that happened here took this long.
    pub(crate) fn took(&self, time: Duration) {
        if time > LOOK_QUICK_MAX {
            let until = self.now() + micros(LOOKS_ELSEWHERE);
            self.elsewhere_until.fetch_max(until, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        micros(self.begun.elapsed())
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_look_sends_the_next_elsewhere_for_a_while() {
        let mut pace = Pace::default();
        pace.took(LOOK_QUICK_MAX);
        assert!(pace.is_quick());
        pace.took(LOOK_QUICK_MAX * 2);
        assert!(!pace.is_quick());
        pace.begun -= LOOKS_ELSEWHERE * 2;
        assert!(pace.is_quick());
    }
}
