//! Synchronizations, as far as links, servers and people speak of them: what is asked for, why, how far it is.

use std::fmt;
use std::time::Duration;

use apograph_format::Timestamp;
use serde::{Deserialize, Serialize};

use crate::carrier::RefusalKind;

/// Newest versions of a document that one synchronization brings, unless told otherwise.
pub const MAX_VERSIONS: u64 = 10_000;
/// Rates are those of about this long: shorter ones jump, longer ones lag behind what an operator changed.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// How an operator bounds a synchronization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// Documents that were not changed since are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Newest versions of every document that are brought; zero brings all.
    #[serde(default = "max_versions")]
    pub max_versions: u64,
    /// Nothing that this copy has is believed: every document is read with all its bytes, and what is damaged comes anew.
    #[serde(default)]
    pub full: bool,
}

fn max_versions() -> u64 {
    MAX_VERSIONS
}

impl Default for SyncRequest {
    fn default() -> SyncRequest {
        SyncRequest { since: None, max_versions: MAX_VERSIONS, full: false }
    }
}

/// Why a copy synchronizes instead of following.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncReason {
    /// It is empty, and the source's journal does not reach back to the beginning.
    EmptyCopy,
    /// The source's journal does not reach back to where it is.
    OutOfWindow,
    /// The source does not know its position: the histories forked, or one of the two was restored from a backup.
    UnknownPosition,
    /// A checkpoint showed that it differs from its source.
    Diverged,
    /// A read found that documents of this copy are damaged.
    Damaged,
    /// What follows is whole, and this software does not understand it.
    NotUnderstood,
    /// An operator asked for it.
    Requested,
    /// One was interrupted by a restart of this server.
    Unfinished,
}

/// What a synchronization is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Takes a snapshot at the source and compares trees.
    Planning,
    /// Brings over what differs.
    Transferring,
    /// Replaces what readers see by what was brought over.
    Installing,
}

/// Why a synchronization ended without having installed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncFailure {
    /// The connection broke, or the source cannot answer now. It goes on where it was.
    Cut,
    /// The source no longer has the snapshot. What was brought over stays; the next round brings the rest.
    Expired,
    /// The source refuses.
    Refused(RefusalKind),
    /// This server cannot go on: disk, damage.
    Halted,
}

/// What a synchronization would bring over, without bringing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncMeasure {
    /// Documents that differ.
    pub documents: u64,
    /// Bytes that would come for them.
    pub bytes: u64,
    /// Documents that the source has.
    pub of_documents: u64,
    /// Requests that finding this out took.
    pub requests: u64,
}

/// How far a synchronization is.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncProgress {
    /// Which attempt to reach equality this is, from one; a snapshot that expired makes the next one.
    pub round: u32,
    /// What it is doing.
    pub phase: Phase,
    /// Why it was begun.
    pub reason: SyncReason,
    /// The state of the source that it brings over; zero while that is not known.
    pub snapshot: Timestamp,
    /// Documents that were brought over, in all attempts of this round.
    pub documents_done: u64,
    /// Documents that have to be brought over, as far as they are known: it grows while planning.
    pub documents_total: u64,
    /// Bytes that came, in all attempts of this round.
    pub bytes_received: u64,
    /// Bytes that have to come, if the source said.
    pub bytes_total: Option<u64>,
    /// Rate of the last seconds.
    pub documents_per_second: f64,
    /// Rate of the last seconds.
    pub bytes_per_second: f64,
    /// Seconds until everything is here at this rate.
    pub seconds_left: Option<u64>,
    /// Requests that were sent to the source.
    pub requests: u64,
    /// When it began, microseconds since 1970.
    pub since_us: i64,
}

impl SyncProgress {
    /// Nothing is known yet.
    pub fn begun(reason: SyncReason, round: u32, since_us: i64) -> SyncProgress {
        SyncProgress {
            round,
            phase: Phase::Planning,
            reason,
            snapshot: Timestamp::ZERO,
            documents_done: 0,
            documents_total: 0,
            bytes_received: 0,
            bytes_total: None,
            documents_per_second: 0.0,
            bytes_per_second: 0.0,
            seconds_left: None,
            requests: 0,
            since_us,
        }
    }
}

/// Rates and estimates from counts that grow. The clock comes in from outside, and never jumps.
#[derive(Debug, Clone, Default)]
pub struct SyncMeter {
    last: Option<Sample>,
    /// What came, and in which time, both forgotten alike: their quotient is unbiased from the first sample on.
    documents: f64,
    bytes: f64,
    seconds: f64,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    documents: u64,
    bytes: u64,
}

impl SyncMeter {
    /// These many documents and bytes came up to now. Counts that went back, as those of a new round, start anew.
    pub fn sample(&mut self, documents: u64, bytes: u64, now: Duration) {
        let sample = Sample { at: now, documents, bytes };
        let Some(last) = self.last.filter(|last| last.documents <= documents && last.bytes <= bytes) else {
            *self = SyncMeter { last: Some(sample), ..SyncMeter::default() };
            return;
        };
        let passed = now.saturating_sub(last.at).as_secs_f64();
        // Over time, not over samples: it does not matter how often somebody looks.
        let kept = (-passed / RATE_WINDOW.as_secs_f64()).exp();
        self.documents = self.documents * kept + as_f64(documents - last.documents);
        self.bytes = self.bytes * kept + as_f64(bytes - last.bytes);
        self.seconds = self.seconds * kept + passed;
        self.last = Some(sample);
    }

    /// Documents in a second.
    pub fn documents_per_second(&self) -> f64 {
        self.rate(self.documents)
    }

    /// Bytes in a second.
    pub fn bytes_per_second(&self) -> f64 {
        self.rate(self.bytes)
    }

    fn rate(&self, count: f64) -> f64 {
        if self.seconds > 0.0 { count / self.seconds } else { 0.0 }
    }

    /// Seconds until these totals are reached: by bytes where their total is known, by documents otherwise. Not known
    /// while nothing comes.
    pub fn seconds_left(&self, documents_total: u64, bytes_total: Option<u64>) -> Option<u64> {
        let last = self.last?;
        let (left, rate) = match bytes_total {
            Some(total) => (total.saturating_sub(last.bytes), self.bytes_per_second()),
            None => (documents_total.saturating_sub(last.documents), self.documents_per_second()),
        };
        if left == 0 {
            return Some(0);
        }
        (rate > 0.0).then(|| whole(as_f64(left) / rate))
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates need no more than 53 bits")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

/// Not before it is over; what is beyond all times stays there.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts from floats saturate")]
fn whole(seconds: f64) -> u64 {
    seconds.round().max(1.0) as u64
}

impl SyncReason {
    /// All of them.
    pub const ALL: [SyncReason; 8] = [
        SyncReason::EmptyCopy,
        SyncReason::OutOfWindow,
        SyncReason::UnknownPosition,
        SyncReason::Diverged,
        SyncReason::Damaged,
        SyncReason::NotUnderstood,
        SyncReason::Requested,
        SyncReason::Unfinished,
    ];

    /// The name, as in status.
    pub fn as_str(self) -> &'static str {
        match self {
            SyncReason::EmptyCopy => "empty-copy-out-of-window",
            SyncReason::OutOfWindow => "out-of-window",
            SyncReason::UnknownPosition => "unknown-position",
            SyncReason::Diverged => "diverged",
            SyncReason::Damaged => "damaged",
            SyncReason::NotUnderstood => "not-understood",
            SyncReason::Requested => "requested",
            SyncReason::Unfinished => "unfinished",
        }
    }

    /// In a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            SyncReason::EmptyCopy => {
                "this copy is empty and the source's journal no longer reaches back to the beginning"
            }
            SyncReason::OutOfWindow => "the source's journal no longer reaches back to where this copy is",
            SyncReason::UnknownPosition => {
                "the source does not know this copy's position: one of them was restored from a backup, or their histories forked"
            }
            SyncReason::Diverged => "a checkpoint showed that this copy differs from its source",
            SyncReason::Damaged => "documents of this copy are damaged; they come anew from the source",
            SyncReason::NotUnderstood => {
                "this software does not understand the next entry: documents come by comparison, and those that it does not understand are held back"
            }
            SyncReason::Requested => "an operator asked for it",
            SyncReason::Unfinished => "a synchronization was interrupted; it goes on where it was",
        }
    }
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 3] = [Phase::Planning, Phase::Transferring, Phase::Installing];

    /// The name, as in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Planning => "planning",
            Phase::Transferring => "transferring",
            Phase::Installing => "installing",
        }
    }
}

impl SyncFailure {
    /// The name, as in status.
    pub fn as_str(self) -> &'static str {
        match self {
            SyncFailure::Cut => "cut",
            SyncFailure::Expired => "snapshot-expired",
            SyncFailure::Refused(kind) => kind.as_str(),
            SyncFailure::Halted => "halted",
        }
    }
}

impl fmt::Display for SyncReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SyncFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn nothing_is_estimated_before_anything_came() {
        let mut meter = SyncMeter::default();
        assert_eq!(meter.seconds_left(10, Some(100)), None);
        meter.sample(0, 0, at(0));
        assert_eq!(meter.seconds_left(10, Some(100)), None);
        meter.sample(0, 0, at(5));
        assert_eq!(meter.seconds_left(10, Some(100)), None, "it stands still");
    }

    #[test]
    fn a_steady_rate_is_that_rate_however_often_it_is_looked_at() {
        for step in [1, 2, 5] {
            let mut meter = SyncMeter::default();
            for second in (0..=60).step_by(step) {
                meter.sample(10 * second, 1000 * second, at(second));
            }
            assert!((meter.bytes_per_second() - 1000.0).abs() < 1e-6);
            assert!((meter.documents_per_second() - 10.0).abs() < 1e-6);
            assert_eq!(meter.seconds_left(1200, None), Some(60));
            assert_eq!(meter.seconds_left(1200, Some(60_500)), Some(1), "bytes say more than documents");
            assert_eq!(meter.seconds_left(1200, Some(60_000)), Some(0));
        }
    }

    #[test]
    fn a_rate_follows_what_changed() {
        let mut meter = SyncMeter::default();
        for second in 0..=10 {
            meter.sample(0, 1_000_000 * second, at(second));
        }
        for second in 11..=60 {
            meter.sample(0, 10_000_000 + 1000 * (second - 10), at(second));
        }
        let rate = meter.bytes_per_second();
        assert!((1000.0..20_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn a_short_wait_at_the_beginning_is_soon_forgotten() {
        let mut meter = SyncMeter::default();
        meter.sample(0, 0, Duration::ZERO);
        meter.sample(0, 0, Duration::from_millis(100));
        meter.sample(0, 1_000_000, Duration::from_millis(1100));
        assert!((900_000.0..1_000_000.0).contains(&meter.bytes_per_second()), "{}", meter.bytes_per_second());
    }

    #[test]
    fn a_new_round_starts_anew() {
        let mut meter = SyncMeter::default();
        meter.sample(0, 0, at(0));
        meter.sample(10, 1000, at(1));
        meter.sample(0, 0, at(2));
        assert!(meter.bytes_per_second() == 0.0 && meter.seconds_left(10, Some(100)).is_none());
    }

    #[test]
    fn two_samples_of_one_moment_are_no_infinite_rate() {
        let mut meter = SyncMeter::default();
        meter.sample(0, 0, at(1));
        meter.sample(10, 1000, at(1));
        assert!(meter.bytes_per_second() == 0.0);
    }
}
