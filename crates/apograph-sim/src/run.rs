//! Runs seeds: each in a thread of its own, as many at once as there are processors.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::world::{self, Figures, Mishap, Outcome, Plan};

thread_local! {
    /// What the last panic said, and where.
    static BROKEN: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What is kept and shown of runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Showing {
    /// All lines are kept.
    pub keeps: bool,
    /// Lines are printed as they come.
    pub prints: bool,
}

/// What came of many runs.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// How many runs.
    pub seeds: u64,
    /// Runs that ended with a fault, by seed.
    pub faults: BTreeMap<u64, Outcome>,
    /// Of all runs.
    pub figures: Figures,
    /// Longest time from the last fault until all was equal.
    pub settled_us_max: u64,
    /// How long it took.
    pub took: Duration,
    /// Seeds that were run before one with a lower number came to its end.
    ahead: BTreeSet<u64>,
    /// All seeds below were run.
    pub next: u64,
}

/// Runs one seed.
pub fn one(seed: u64, showing: Showing) -> Outcome {
    listen_to_panics();
    let folder = scratch().expect("there is a folder for the disks");
    in_thread(seed, folder.path(), showing, &|| ())
}

/// Runs one seed on disks that stay, below a folder that is empty or not there.
pub fn one_kept(seed: u64, showing: Showing, folder: &Path) -> std::io::Result<Outcome> {
    listen_to_panics();
    std::fs::create_dir_all(folder)?;
    Ok(in_thread(seed, &std::fs::canonicalize(folder)?, showing, &|| ()))
}

/// Runs many seeds; `stops` is asked before each whether it is enough, `before` is called in the thread of each.
pub fn many(
    seeds: Range<u64>,
    threads: usize,
    stops: impl Fn(&Summary) -> bool + Sync,
    before: impl Fn() + Sync,
) -> Summary {
    listen_to_panics();
    let begun = Instant::now();
    let summary = Mutex::new(Summary { next: seeds.start, ..Summary::default() });
    let left = Mutex::new(seeds);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let folder = scratch().expect("there is a folder for the disks");
                loop {
                    if stops(&summary.lock().expect("nobody panics here")) {
                        return;
                    }
                    let Some(seed) = left.lock().expect("nobody panics here").next() else { return };
                    let below = folder.path().join(seed.to_string());
                    std::fs::create_dir(&below).expect("there is a folder for the disks");
                    let outcome = in_thread(seed, &below, Showing::default(), &before);
                    let _ = std::fs::remove_dir_all(&below);
                    summary.lock().expect("nobody panics here").take(outcome);
                }
            });
        }
    });
    let mut summary = summary.into_inner().expect("nobody panics here");
    summary.took = begun.elapsed();
    summary
}

impl Summary {
    fn take(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.ahead.insert(outcome.seed);
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
        let (all, one) = (&mut self.figures, outcome.figures);
        all.virtual_us += one.virtual_us;
        all.acknowledged += one.acknowledged;
        all.large += one.large;
        all.parts += one.parts;
        all.introduced += one.introduced;
        all.elsewhere += one.elsewhere;
        all.reads += one.reads;
        all.crashes += one.crashes;
        all.faults += one.faults;
        all.promotions += one.promotions;
        all.synchronizations += one.synchronizations;
        all.operations += one.operations;
        all.syncs += one.syncs;
        for (all, one) in all.mishaps.iter_mut().zip(one.mishaps) {
            *all += one;
        }
        self.settled_us_max = self.settled_us_max.max(one.settled_us);
        if outcome.fault.is_some() {
            self.faults.insert(outcome.seed, outcome);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = &self.figures;
        write!(
            f,
            "simulation: {} seeds ({} with a copy of a part, {} of them introduced), {:.2} virtual hours, {} faults drawn, {} crashes, {} promotions, {} synchronizations, \
             {} writes acknowledged, {} large texts sent, {} reads compared, {} refused elsewhere, {} disk operations ({} syncs), settled after at most {} s, \
             {} seeds with a broken promise, {:.0} s",
            self.seeds,
            of.parts,
            of.introduced,
            Duration::from_micros(of.virtual_us).as_secs_f64() / 3_600.0,
            of.faults,
            of.crashes,
            of.promotions,
            of.synchronizations,
            of.acknowledged,
            of.large,
            of.reads,
            of.elsewhere,
            of.operations,
            of.syncs,
            self.settled_us_max / 1_000_000,
            self.faults.len(),
            self.took.as_secs_f64(),
        )?;
        let named = |(mishap, name): (Mishap, &str)| format!("{} {name}", of.mishaps[mishap as usize]);
        write!(f, "; of the faults: {}", Mishap::ALL.map(named).join(", "))
    }
}

fn in_thread(seed: u64, folder: &Path, showing: Showing, before: &(impl Fn() + Sync)) -> Outcome {
    let plan = Plan::draw(seed);
    let run = || {
        before();
        let ran = catch_unwind(AssertUnwindSafe(|| world::run(&plan, folder, showing.keeps, showing.prints)));
        ran.unwrap_or_else(|_| Outcome {
            seed,
            fault: Some(BROKEN.with(RefCell::take)),
            fingerprint: String::new(),
            lines: Vec::new(),
            figures: Figures::default(),
        })
    };
    std::thread::scope(|scope| scope.spawn(run).join().expect("panics were caught"))
}

fn listen_to_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            BROKEN.with(|broken| *broken.borrow_mut() = panic.to_string());
        }));
    });
}

/// In memory, where there is such a place.
fn scratch() -> std::io::Result<tempfile::TempDir> {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("apograph-sim-").tempdir_in(place)
}
