//! A bound on bytes per second: a token bucket that may go into debt, so that a piece of any size passes whole.

use std::time::Duration;

/// A link that was idle may send this much of a second's bytes at once.
const BURST: Duration = Duration::from_millis(250);

/// Counts bytes, and says how long to wait before the next ones. The clock comes in from outside, and never jumps.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    bytes_per_second: Option<u64>,
    /// Up to this time everything is paid for; it may lie in the future.
    paid_until: Duration,
}

impl Bucket {
    /// A bound, or none.
    pub fn new(bytes_per_second: Option<u64>) -> Bucket {
        Bucket { bytes_per_second, paid_until: Duration::ZERO }
    }

    /// The bound, if there is one.
    pub fn bytes_per_second(&self) -> Option<u64> {
        self.bytes_per_second
    }

    /// From now on this bound holds. What the old one still asked to wait for is forgiven.
    pub fn set(&mut self, bytes_per_second: Option<u64>) {
        *self = Bucket::new(bytes_per_second);
    }

    /// These bytes passed.
    pub fn take(&mut self, bytes: usize, now: Duration) {
        let Some(rate) = self.bytes_per_second else {
            return;
        };
        let micros = u128::try_from(bytes).unwrap_or(u128::MAX).saturating_mul(1_000_000);
        let micros = u64::try_from(micros / u128::from(rate.max(1))).unwrap_or(u64::MAX);
        let paid_until = self.paid_until.max(now.saturating_sub(BURST));
        self.paid_until = paid_until.saturating_add(Duration::from_micros(micros));
    }

    /// How long the next bytes should wait.
    pub fn wait(&self, now: Duration) -> Duration {
        self.paid_until.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that pass in `seconds` in pieces of this size, when everybody waits as told.
    fn passed(bucket: &mut Bucket, piece: usize, from: Duration, seconds: u64) -> usize {
        let (mut now, mut bytes) = (from, 0);
        while now < from + Duration::from_secs(seconds) {
            bytes += piece;
            bucket.take(piece, now);
            now += bucket.wait(now).max(Duration::from_micros(1));
        }
        bytes
    }

    #[test]
    fn the_rate_holds_for_small_pieces_and_for_pieces_larger_than_a_second() {
        for piece in [100, 10_000, 300_000] {
            let bytes = passed(&mut Bucket::new(Some(100_000)), piece, Duration::from_secs(9), 60);
            assert!((6_000_000..=6_325_000 + piece).contains(&bytes), "{piece}: {bytes}");
        }
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let mut bucket = Bucket::new(Some(1000));
        bucket.take(1000, Duration::from_secs(1));
        let bytes = passed(&mut bucket, 100, Duration::from_secs(1000), 10);
        assert!(bytes <= 10_000 + 250 + 100, "{bytes}");
    }

    #[test]
    fn without_a_bound_nobody_waits_and_a_new_bound_forgives() {
        let mut bucket = Bucket::new(None);
        bucket.take(usize::MAX, Duration::ZERO);
        assert_eq!(bucket.wait(Duration::ZERO), Duration::ZERO);
        bucket.set(Some(1));
        bucket.take(1_000_000, Duration::ZERO);
        assert!(bucket.wait(Duration::ZERO) > Duration::from_secs(100_000));
        bucket.set(Some(1_000_000));
        bucket.take(10, Duration::ZERO);
        assert!(bucket.wait(Duration::ZERO) < Duration::from_millis(1));
    }

    #[test]
    fn no_number_overflows() {
        let mut bucket = Bucket::new(Some(1));
        bucket.take(usize::MAX, Duration::MAX);
        bucket.take(usize::MAX, Duration::MAX);
        assert_eq!(bucket.wait(Duration::MAX), Duration::ZERO);
    }
}
