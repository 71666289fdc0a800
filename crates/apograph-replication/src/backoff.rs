//! How long to wait before the next attempt.

use std::time::Duration;

/// Wait before the first repetition: long enough not to spin, short enough that a restarted source is found at once.
pub const FIRST: Duration = Duration::from_millis(100);
/// Longest wait: an operator who repaired something sees it work within a breath.
pub const LONGEST: Duration = Duration::from_secs(5);

/// Doubling waits between [`FIRST`] and [`LONGEST`], reset by progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure. `jitter` is random, and spreads the waits of many copies over half the time.
    pub fn after_failure(&mut self, jitter: u16) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let half = whole / 2;
        half + half * u32::from(jitter) / u32::from(u16::MAX)
    }

    /// Something worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last progress.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over_after_progress() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.after_failure(u16::MAX).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.after_failure(u16::MAX), FIRST);
    }

    #[test]
    fn jitter_takes_away_half_at_most() {
        for jitter in [0, 1, 30_000, u16::MAX] {
            let wait = Backoff { failures: 3 }.after_failure(jitter);
            assert!((Duration::from_millis(400)..=Duration::from_millis(800)).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let mut backoff = Backoff { failures: u32::MAX };
        assert_eq!(backoff.after_failure(u16::MAX), LONGEST);
    }
}
