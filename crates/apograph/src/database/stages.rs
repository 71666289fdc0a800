//! Where the time of writes goes: counted for operators, and told in the log when one is slow.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the worker of a database spends time with. A write passes the first four, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A write waits: for the worker, behind what came before it, or at the gate.
    Waiting,
    /// It is decided, and its entries are made.
    Planning,
    /// Its entries become durable.
    Syncing,
    /// It is applied to the stores, and shown.
    Applying,
    /// A checkpoint is written and made durable. Writes wait meanwhile, as for all that follows.
    Checkpoint,
    /// Retention, purged bytes, the horizon.
    Housekeeping,
    /// What a synchronization, a promotion, a backup or a rollback asks of the owner of the journals.
    Request,
}

impl Stage {
    /// All of them.
    pub const ALL: [Stage; 7] = [
        Stage::Waiting,
        Stage::Planning,
        Stage::Syncing,
        Stage::Applying,
        Stage::Checkpoint,
        Stage::Housekeeping,
        Stage::Request,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Waiting => "waiting",
            Stage::Planning => "planning",
            Stage::Syncing => "syncing",
            Stage::Applying => "applying",
            Stage::Checkpoint => "checkpoint",
            Stage::Housekeeping => "housekeeping",
            Stage::Request => "request",
        }
    }
}

/// Upper bounds of the buckets of [`StageTimes`], in microseconds. One more takes what is longer.
pub const BOUNDS_US: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// How long a stage took, since the database was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageTimes {
    /// Which.
    pub stage: Stage,
    /// All times together, in microseconds.
    pub sum_us: u64,
    /// How many times fell between a bound of [`BOUNDS_US`] and the one before; the last is what was longer than all.
    pub counts: [u64; BOUNDS_US.len() + 1],
}

/// Adds up the times of all stages. Written by the worker, read by anybody.
#[derive(Debug)]
pub(crate) struct Stages {
    times: PerStage<Times>,
    /// A write that takes as long is told in the log; zero tells none.
    slow: Duration,
}

#[derive(Debug, Default)]
struct Times {
    sum_us: AtomicU64,
    counts: [AtomicU64; BOUNDS_US.len() + 1],
}

impl Stages {
    pub(crate) fn new(slow: Duration) -> Stages {
        Stages { times: Default::default(), slow }
    }

    /// So many writes, or pieces of other work, took so long each.
    pub(super) fn note(&self, stage: Stage, took: Duration, times: u64) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        let of = &self.times[stage];
        of.sum_us.fetch_add(us.saturating_mul(times), Ordering::Relaxed);
        if let Some(count) = of.counts.get(bucket) {
            count.fetch_add(times, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<StageTimes> {
        let of = |stage: Stage| {
            let times = &self.times[stage];
            let counts = times.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
            StageTimes { stage, sum_us: times.sum_us.load(Ordering::Relaxed), counts }
        };
        Stage::ALL.map(of).into()
    }
}

/// Something of every stage.
#[derive(Debug, Clone, Default)]
struct PerStage<T>([T; Stage::ALL.len()]);

#[expect(clippy::indexing_slicing, reason = "there is one for every stage")]
impl<T> Index<Stage> for PerStage<T> {
    type Output = T;

    fn index(&self, stage: Stage) -> &T {
        &self.0[stage as usize]
    }
}

#[expect(clippy::indexing_slicing, reason = "there is one for every stage")]
impl<T> IndexMut<Stage> for PerStage<T> {
    fn index_mut(&mut self, stage: Stage) -> &mut T {
        &mut self.0[stage as usize]
    }
}

/// The worker's own account of one group of writes, and of what it did between groups.
#[derive(Debug)]
pub(super) struct Stopwatch {
    lap: Instant,
    took: PerStage<Duration>,
    told: Option<Instant>,
}

/// Slow writes are told no more often.
const TELL_PAUSE: Duration = Duration::from_secs(10);

impl Stopwatch {
    pub(super) fn new() -> Stopwatch {
        Stopwatch { lap: Instant::now(), took: Default::default(), told: None }
    }

    /// What follows is the next stage.
    pub(super) fn begin(&mut self) {
        self.lap = Instant::now();
    }

    /// A stage ended, the next one begins.
    pub(super) fn lap(&mut self, stage: Stage) {
        let now = Instant::now();
        self.took[stage] += now.duration_since(self.lap);
        self.lap = now;
    }

    /// Counts work that is no write.
    pub(super) fn other(&mut self, stages: &Stages, stage: Stage) {
        let now = Instant::now();
        let took = now.duration_since(self.lap);
        self.lap = now;
        self.took[stage] += took;
        stages.note(stage, took, 1);
    }

    /// A group is answered: counts its stages, tells of a slow one, and begins a new account. `waited` is how long each of
    /// its writes did.
    pub(super) fn answered(&mut self, stages: &Stages, database: &str, waited: &[Duration]) {
        let writes = waited.len() as u64;
        for waited in waited {
            stages.note(Stage::Waiting, *waited, 1);
        }
        for stage in [Stage::Planning, Stage::Syncing, Stage::Applying] {
            stages.note(stage, self.took[stage], writes);
        }
        self.took[Stage::Waiting] = waited.iter().copied().max().unwrap_or_default();
        let took = Took(std::mem::take(&mut self.took));
        let is_slow = !stages.slow.is_zero() && took.total() >= stages.slow;
        if is_slow && self.told.is_none_or(|told| told.elapsed() >= TELL_PAUSE) {
            self.told = Some(Instant::now());
            tracing::warn!(database, writes, stages = %took, "a write was slow");
        }
    }
}

/// Times of the stages of one group.
struct Took(PerStage<Duration>);

impl Took {
    /// As long as the slowest write took. What the worker did before it began is a part of its waiting.
    fn total(&self) -> Duration {
        [Stage::Waiting, Stage::Planning, Stage::Syncing, Stage::Applying]
            .map(|stage| self.0[stage])
            .iter()
            .sum()
    }
}

/// `12.3 ms: waiting 9.0 (behind housekeeping 8.1), planning 0.1, syncing 3.0, applying 0.2`.
impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |stage: Stage| self.0[stage].as_secs_f64() * 1_000.0;
        write!(f, "{:.1} ms: waiting {:.1}", self.total().as_secs_f64() * 1_000.0, ms(Stage::Waiting))?;
        let others = [Stage::Checkpoint, Stage::Housekeeping, Stage::Request];
        let longest = others.into_iter().max_by_key(|stage| self.0[*stage]);
        if let Some(longest) = longest.filter(|longest| !self.0[*longest].is_zero()) {
            write!(f, " (behind {} {:.1})", longest.as_str(), ms(longest))?;
        }
        for stage in [Stage::Planning, Stage::Syncing, Stage::Applying] {
            write!(f, ", {} {:.1}", stage.as_str(), ms(stage))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_falls_into_the_bucket_of_its_bound() {
        let stages = Stages::new(Duration::ZERO);
        for (us, times) in [(0, 1), (100, 2), (101, 4), (10_000_000, 8), (10_000_001, 16)] {
            stages.note(Stage::Syncing, Duration::from_micros(us), times);
        }
        let found = stages.snapshot().into_iter().find(|times| times.stage == Stage::Syncing).unwrap();
        let mut expected = [0; BOUNDS_US.len() + 1];
        (expected[0], expected[1], expected[14], expected[15]) = (3, 4, 8, 16);
        assert_eq!(found.counts, expected);
        assert_eq!(found.sum_us, 200 + 404 + 80_000_000 + 160_000_016);
    }

    #[test]
    fn a_slow_group_says_where_its_time_went() {
        let ms = Duration::from_millis;
        let mut took = PerStage::<Duration>::default();
        took[Stage::Waiting] = ms(9);
        took[Stage::Syncing] = ms(3);
        assert_eq!(
            Took(took.clone()).to_string(),
            "12.0 ms: waiting 9.0, planning 0.0, syncing 3.0, applying 0.0"
        );
        took[Stage::Housekeeping] = ms(8);
        let told = Took(took).to_string();
        assert!(told.starts_with("12.0 ms: waiting 9.0 (behind housekeeping 8.0), planning"), "{told}");
    }
}
