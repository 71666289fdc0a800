//! Servers as processes, with clients that write, while networks, disks and processes fail as a seed draws.
//!
//! A primary, its replica and a staging server run as they are shipped. Between them, and between clients and the
//! primary, are lines of ours ([`apograph_bench::network`]); one lives in a network namespace
//! ([`apograph_bench::namespace`]); one has its data on a disk that lies ([`crate::disk::Disk::lying`]), one on a small
//! one that is soon full. When everything is well again, copies must become exact, and what clients saw is judged. A
//! seed draws what goes wrong, when and for how long; what happens meanwhile inside of the servers it does not decide:
//! a run that found something is repeated by luck, with the same faults.

mod fault;
mod judge;
mod place;
mod plan;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

pub use plan::Plan;

use stage::Stage;

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What is wrong; nothing, if all is well.
    pub faults: Vec<String>,
    /// What was done.
    pub figures: Figures,
}

/// What was done in runs.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// How many runs.
    pub runs: u64,
    /// What went wrong, by its kind.
    pub drawn: BTreeMap<&'static str, u64>,
    /// What was drawn and cannot be done here.
    pub skipped: BTreeMap<String, u64>,
    /// Times that a server ended, or was ended.
    pub ends: u64,
    /// Connections that trouble ended.
    pub broken: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Transactions that clients were told of as saved.
    pub acknowledged: u64,
    /// Transactions of which they were told that they were not done.
    pub refused: u64,
    /// Transactions of which they were told nothing.
    pub unknown: u64,
    /// Reads of lists, and of what was just written.
    pub reads: u64,
    /// Largest resident memory of a server, in MiB.
    pub resident_mib_max: u64,
    /// From the last fault until all copies were exact.
    pub settled_max: Duration,
    /// How long it all took.
    pub took: Duration,
}

/// One run, with its servers below this folder.
pub fn run(plan: &Plan, folder: &Path) -> Outcome {
    let began = Instant::now();
    let mut figures = Figures { runs: 1, ..Figures::default() };
    let ran = catch_unwind(AssertUnwindSafe(|| play(plan, folder, &mut figures)));
    let faults = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        vec![text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()]
    });
    figures.took = began.elapsed();
    Outcome { faults, figures }
}

fn play(plan: &Plan, folder: &Path, figures: &mut Figures) -> Vec<String> {
    let mut stage = Stage::set_up(plan, folder, figures);
    let clients = stage.clients();
    stage.undisturbed();
    let mut found = Vec::new();
    for episode in &plan.episodes {
        found.extend(stage.play(episode, figures));
    }
    stage.heal();
    let healed = Instant::now();
    stage.undisturbed();
    let transactions = clients.stop();
    found.extend(judge::judge(&stage, &transactions, figures, healed));
    found
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.runs += other.runs;
        other.drawn.into_iter().for_each(|(kind, count)| *self.drawn.entry(kind).or_default() += count);
        other.skipped.into_iter().for_each(|(what, count)| *self.skipped.entry(what).or_default() += count);
        self.ends += other.ends;
        self.broken += other.broken;
        self.failed_syncs += other.failed_syncs;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.reads += other.reads;
        self.resident_mib_max = self.resident_mib_max.max(other.resident_mib_max);
        self.settled_max = self.settled_max.max(other.settled_max);
        self.took += other.took;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.drawn.values().sum();
        let kinds: Vec<String> = self.drawn.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        write!(
            f,
            "processes: {} runs, {faults} faults drawn ({}), {} ends of servers, {} connections broken, {} syncs failed, \
             {} operations checked ({} transactions acknowledged, {} refused, {} without an answer, {} reads), \
             at most {} MiB resident, exact after at most {:.1} s, {:.0} s",
            self.runs,
            kinds.join(", "),
            self.ends,
            self.broken,
            self.failed_syncs,
            self.acknowledged + self.refused + self.unknown + self.reads,
            self.acknowledged,
            self.refused,
            self.unknown,
            self.reads,
            self.resident_mib_max,
            self.settled_max.as_secs_f64(),
            self.took.as_secs_f64(),
        )
    }
}

impl Figures {
    /// What was drawn and could not be done, each with its reason.
    pub fn skipped(&self) -> BTreeSet<String> {
        self.skipped.iter().map(|(what, count)| format!("{what} ({count} times)")).collect()
    }
}
