//! How long a source's journal keeps what a copy lacks, and what catching up would then cost.
//!
//! Everything is said as if the copy stood still from now on: of one that follows it says how long it may be away. The
//! journal gives up whole segments, so the real moment is later or earlier by what one of them holds.

use std::time::Duration;

/// Rates are averages of about this long: writing comes in bursts, and a forecast should not jump with each.
const RATE_WINDOW: Duration = Duration::from_secs(15 * 60);

/// What the source's journals are allowed to keep, each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Bytes; none keeps everything.
    pub bytes_max: Option<u64>,
    /// Age; none keeps everything.
    pub age_max: Option<Duration>,
}

/// One partition of the source's journal, and where the copy is in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// The journal reaches back to where the copy is.
    pub reaches: bool,
    /// Entries that the copy lacks.
    pub missing_entries: u64,
    /// Their bytes, if they are known.
    pub missing_bytes: Option<u64>,
    /// Bytes of an average entry.
    pub bytes_per_entry: f64,
    /// Age of the oldest entry that the copy lacks; none if it lacks nothing.
    pub oldest_missing_age: Option<Duration>,
    /// Bytes that are appended in a second.
    pub bytes_per_second: f64,
}

/// Which setting ends the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Its bytes.
    Bytes,
    /// Its age.
    Age,
}

/// When a copy leaves the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// It is out already: it has to synchronize.
    IsOut,
    /// After this long.
    In(Duration, Limit),
    /// Not at the rate of now.
    Never,
}

/// How long the source keeps what a copy lacks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// When the copy leaves the window.
    pub leaves: Leaves,
    /// Bytes that it lacks now.
    pub missing_bytes: u64,
    /// Bytes that it will lack when it leaves the window.
    pub cost_bytes: u64,
    /// They are estimated from the number of entries.
    pub is_estimate: bool,
    /// Bytes that the source appends in a second, over all partitions.
    pub bytes_per_second: f64,
}

/// The forecast for a copy, from all partitions of its source.
pub fn forecast(budget: Budget, windows: &[Window]) -> Forecast {
    let missing_bytes = windows.iter().map(Window::missing).fold(0, u64::saturating_add);
    let bytes_per_second: f64 = windows.iter().map(|window| window.bytes_per_second).sum();
    let leaves = windows.iter().map(|window| window.leaves(budget)).fold(Leaves::Never, earlier);
    let until = match leaves {
        Leaves::In(after, _) => after,
        Leaves::IsOut | Leaves::Never => Duration::ZERO,
    };
    Forecast {
        leaves,
        missing_bytes,
        cost_bytes: missing_bytes.saturating_add(whole(bytes_per_second * until.as_secs_f64())),
        is_estimate: windows.iter().any(Window::is_estimate),
        bytes_per_second,
    }
}

impl Window {
    /// What left the journal is counted in entries only.
    fn is_estimate(&self) -> bool {
        self.missing_entries > 0 && (self.missing_bytes.is_none() || !self.reaches)
    }

    fn missing(&self) -> u64 {
        match self.missing_bytes {
            Some(bytes) => bytes,
            None => whole(as_f64(self.missing_entries) * self.bytes_per_entry),
        }
    }

    fn leaves(&self, budget: Budget) -> Leaves {
        if !self.reaches {
            return Leaves::IsOut;
        }
        let is_written = self.bytes_per_second > 0.0;
        let by_bytes = budget.bytes_max.filter(|_| is_written).map(|bytes_max| {
            let left = as_f64(bytes_max.saturating_sub(self.missing()));
            Leaves::In(seconds(left / self.bytes_per_second), Limit::Bytes)
        });
        // Of what is not missing yet, the next entry is the first to grow old.
        let age = self.oldest_missing_age.or(is_written.then_some(Duration::ZERO));
        let by_age = budget.age_max.zip(age);
        let by_age = by_age.map(|(age_max, age)| Leaves::In(age_max.saturating_sub(age), Limit::Age));
        by_bytes.into_iter().chain(by_age).fold(Leaves::Never, earlier)
    }
}

fn earlier(one: Leaves, other: Leaves) -> Leaves {
    match (one, other) {
        (Leaves::IsOut, _) | (_, Leaves::IsOut) => Leaves::IsOut,
        (Leaves::Never, other) => other,
        (one, Leaves::Never) => one,
        (Leaves::In(first, _), Leaves::In(second, _)) => {
            if second < first {
                other
            } else {
                one
            }
        }
    }
}

/// How fast a number that only grows does so: an average that forgets. The clock comes in from outside.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateMeter {
    last: Option<(u64, Duration)>,
    /// Bytes and seconds seen, both forgotten alike: their quotient is unbiased from the first sample on.
    bytes: f64,
    seconds: f64,
}

impl RateMeter {
    /// The number is this now.
    pub fn sample(&mut self, value: u64, now: Duration) {
        let Some((before, at)) = self.last.replace((value, now)) else {
            return;
        };
        let passed = now.saturating_sub(at).as_secs_f64();
        let kept = (-passed / RATE_WINDOW.as_secs_f64()).exp();
        self.bytes = self.bytes * kept + as_f64(value.saturating_sub(before));
        self.seconds = self.seconds * kept + passed;
    }

    /// By how much it grows in a second.
    pub fn per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.bytes / self.seconds } else { 0.0 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates need no more than 53 bits")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts from floats saturate")]
fn whole(value: f64) -> u64 {
    value as u64
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;
    const HOUR: Duration = Duration::from_secs(3600);

    fn window(missing_bytes: u64, bytes_per_second: f64) -> Window {
        Window {
            reaches: true,
            missing_entries: missing_bytes / 1000,
            missing_bytes: Some(missing_bytes),
            bytes_per_entry: 1000.0,
            oldest_missing_age: (missing_bytes > 0).then_some(Duration::from_secs(60)),
            bytes_per_second,
        }
    }

    fn bytes(max: u64) -> Budget {
        Budget { bytes_max: Some(max), age_max: None }
    }

    /// What it is about; budget, windows; when the copy leaves, bytes missing, what catching up costs.
    type Row = (&'static str, Budget, Vec<Window>, Leaves, u64, u64);

    #[test]
    fn the_table() {
        let nothing = Budget::default();
        let both = Budget { bytes_max: Some(100 * MB), age_max: Some(HOUR) };
        let age = Budget { bytes_max: None, age_max: Some(HOUR) };
        let gone = Window { reaches: false, missing_bytes: None, ..window(5 * MB, 1000.0) };
        let s = Duration::from_secs;
        let table: [Row; 12] = [
            ("everything is kept", nothing, vec![window(MB, 1000.0)], Leaves::Never, MB, MB),
            ("nobody writes", bytes(MB), vec![window(0, 0.0)], Leaves::Never, 0, 0),
            (
                "nobody writes, something is missing",
                bytes(MB),
                vec![window(MB / 2, 0.0)],
                Leaves::Never,
                MB / 2,
                MB / 2,
            ),
            (
                "it follows",
                bytes(100 * MB),
                vec![window(0, 10_000.0)],
                Leaves::In(s(10_000), Limit::Bytes),
                0,
                100 * MB,
            ),
            (
                "it is behind",
                bytes(100 * MB),
                vec![window(90 * MB, 10_000.0)],
                Leaves::In(s(1000), Limit::Bytes),
                90 * MB,
                100 * MB,
            ),
            (
                "the budget is spent",
                bytes(MB),
                vec![window(2 * MB, 1.0)],
                Leaves::In(s(0), Limit::Bytes),
                2 * MB,
                2 * MB,
            ),
            (
                "the partition that leaves first counts",
                bytes(MB),
                vec![window(0, 100.0), window(0, 1000.0)],
                Leaves::In(s(1000), Limit::Bytes),
                0,
                1_100_000,
            ),
            ("age, it follows", age, vec![window(0, 1.0)], Leaves::In(HOUR, Limit::Age), 0, 3600),
            ("age, it is behind", age, vec![window(MB, 0.0)], Leaves::In(s(3540), Limit::Age), MB, MB),
            (
                "age comes before bytes",
                both,
                vec![window(MB, 1.0)],
                Leaves::In(s(3540), Limit::Age),
                MB,
                MB + 3540,
            ),
            (
                "bytes come before age",
                both,
                vec![window(99 * MB, 10_000.0)],
                Leaves::In(s(100), Limit::Bytes),
                99 * MB,
                100 * MB,
            ),
            ("it left", bytes(MB), vec![window(0, 1.0), gone], Leaves::IsOut, 5 * MB, 5 * MB),
        ];
        for (what, budget, windows, leaves, missing, cost) in table {
            let found = forecast(budget, &windows);
            assert_eq!(
                (found.leaves, found.missing_bytes, found.cost_bytes),
                (leaves, missing, cost),
                "{what}"
            );
            assert_eq!(found.is_estimate, matches!(leaves, Leaves::IsOut), "{what}");
        }
    }

    #[test]
    fn what_is_counted_in_entries_is_an_estimate() {
        let derived = Window { missing_bytes: None, ..window(5 * MB, 10.0) };
        let found = forecast(bytes(10 * MB), &[derived]);
        assert!(found.is_estimate);
        assert_eq!(found.missing_bytes, 5 * MB);
        let none = Window { missing_entries: 0, ..derived };
        assert!(!forecast(bytes(10 * MB), &[none]).is_estimate, "nothing is known exactly");
    }

    #[test]
    fn no_number_overflows() {
        let window =
            Window { missing_bytes: Some(u64::MAX), bytes_per_second: f64::MIN_POSITIVE, ..window(0, 0.0) };
        let found = forecast(Budget { bytes_max: Some(u64::MAX), age_max: None }, &[window, window]);
        assert_eq!(found.missing_bytes, u64::MAX);
        let rare = Window { missing_bytes: Some(0), ..window };
        let found = forecast(bytes(u64::MAX), &[rare]);
        assert_eq!(found.leaves, Leaves::In(Duration::MAX, Limit::Bytes));
    }

    #[test]
    fn a_rate_is_right_from_the_second_sample_on_and_forgets() {
        let mut meter = RateMeter::default();
        assert!(meter.per_second() == 0.0);
        meter.sample(1000, Duration::from_secs(5));
        meter.sample(3000, Duration::from_secs(7));
        assert!((meter.per_second() - 1000.0).abs() < 1e-9);
        for minute in 1..=60 {
            meter.sample(3000, Duration::from_secs(7 + 60 * minute));
        }
        assert!(meter.per_second() < 1.0, "{}", meter.per_second());
        meter.sample(0, Duration::from_secs(7 + 60 * 61));
        assert!(meter.per_second() >= 0.0, "a journal that was replaced does not write backwards");
    }
}
