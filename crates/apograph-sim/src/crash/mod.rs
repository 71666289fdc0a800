//! The power is cut at every operation of a disk, in several ways, and what comes up again is checked.
//!
//! A run does its script on servers of which one has its data on a [`Disk`], and notes after which operation what was
//! promised. Then the log of the disk is replayed: for every number of operations, and every [`Survival`], the server is
//! started on what would be left. An image that was seen before is not started again: what the server showed then is
//! compared with what was promised since.

mod servers;

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::disk::survival::{Image, Replay, Survival};
use crate::disk::{Disk, Operation};

use crate::script::Script;

/// Which server's disk is cut off, and what it does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// A primary that takes edits.
    Primary,
    /// A replica that follows.
    Replica,
    /// A staging server that follows.
    Staging,
    /// A replica that synchronizes.
    Synchronizing,
}

/// What is run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Whose disk.
    pub victim: Victim,
    /// Of the database.
    pub partitions: u16,
    /// How long the script is.
    pub rounds: usize,
    /// Chooses what survives, where there is a choice.
    pub seed: u64,
    /// Only the crash after so many operations.
    pub only: Option<usize>,
    /// Threads that start servers.
    pub threads: usize,
}

/// What was looked at.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Operations of the disk: as many crash points, and one before the first.
    pub operations: usize,
    /// Of them, those that sync.
    pub syncs: usize,
    /// Crash points times kinds of survival.
    pub cuts: usize,
    /// Different disks among them: so many times a server was started.
    pub images: usize,
    /// What went wrong.
    pub faults: Vec<Fault>,
    /// How long it took.
    pub took: Duration,
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Fault {
    /// After so many operations.
    pub operations: usize,
    /// What survived.
    pub survival: Survival,
    /// The last operation, and the next.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

/// A run that is over: what may be asked of an image of its disk.
trait Run: Sync {
    /// Starts the server on `folder`, whose disk went through `operations` operations before the power was cut, and
    /// panics if a promise is broken. `thorough` asks for what takes longer.
    fn check(&self, folder: &Path, operations: usize, thorough: bool) -> Shown;

    /// What was promised after so many operations: it never grows less.
    fn promised(&self, operations: usize) -> Shown;
}

/// How far a server is: numbers that only grow. What is not there is zero.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Shown(Vec<u64>);

impl Shown {
    fn reaches(&self, promised: &Shown) -> bool {
        let of = |index: usize| self.0.get(index).copied().unwrap_or_default();
        promised.0.iter().enumerate().all(|(index, promised)| of(index) >= *promised)
    }
}

/// Why nothing was looked at.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no FUSE, or it is not allowed.
    #[error("no disk can be mounted here: {0}")]
    Mount(std::io::Error),
    /// The server did not come to the end of its script, with a disk that is well.
    #[error("the script broke off: {0}")]
    Script(String),
}

/// Runs it. Fails where the disk cannot be mounted.
fn run(plan: Plan) -> Result<Figures, std::io::Error> {
    let begun = Instant::now();
    let disk = Disk::new();
    let mount_point = tempfile::tempdir()?;
    let mounted = disk.mount(mount_point.path())?;
    let script = Script::new(plan.rounds);
    let run: Box<dyn Run> = match plan.victim {
        Victim::Primary => Box::new(servers::Edited::new(plan, &disk, mount_point.path(), &script)),
        Victim::Replica | Victim::Staging => {
            Box::new(servers::Followed::new(plan, &disk, mount_point.path(), &script))
        }
        Victim::Synchronizing => {
            Box::new(servers::Synchronized::new(plan, &disk, mount_point.path(), &script))
        }
    };
    let log = disk.log();
    drop(mounted);
    let mut figures = check_all(plan, &log, run.as_ref());
    figures.took = begun.elapsed();
    Ok(figures)
}

/// Runs many, some at the same time: while one server does its script, which is waiting for the most part, others are
/// started on what their disks held. `tell` hears of each when it is over.
pub fn run_all(plans: &[Plan], lanes: usize, tell: impl Fn(Plan, Result<Figures, RunError>) + Sync) {
    listen_to_panics();
    let next = AtomicUsize::new(0);
    let told = Mutex::new(());
    std::thread::scope(|scope| {
        for _ in 0..lanes.clamp(1, plans.len().max(1)) {
            scope.spawn(|| {
                while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                    let ran = match catch_unwind(AssertUnwindSafe(|| run(plan))) {
                        Ok(ran) => ran.map_err(RunError::Mount),
                        Err(_) => Err(RunError::Script(BROKEN.with(std::cell::RefCell::take))),
                    };
                    let _one_at_a_time = told.lock().unwrap();
                    tell(plan, ran);
                }
            });
        }
    });
}

/// Panics are faults: what they say is kept for the thread that catches them.
fn listen_to_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            BROKEN.with(|broken| *broken.borrow_mut() = panic.to_string());
        }));
    });
}

/// Every image once.
fn check_all(plan: Plan, log: &[Operation], run: &dyn Run) -> Figures {
    let figures = Mutex::new(Figures {
        operations: log.len(),
        syncs: log.iter().filter(|operation| matches!(operation, Operation::Sync { .. })).count(),
        ..Figures::default()
    });
    let done = AtomicUsize::new(0);
    let source = Mutex::new(Source { replay: Replay::new(), at: 0, ways: Vec::new(), seen: HashMap::new() });
    let shown = Mutex::new(HashMap::new());
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(|| {
                loop {
                    // Not in the head of the loop: the others take theirs while this one is started.
                    let next = source.lock().unwrap().next(plan, log, &figures);
                    let Some((at, survival, image, hash)) = next else { break };
                    let thorough =
                        done.fetch_add(1, Ordering::Relaxed).is_multiple_of(8) || plan.only.is_some();
                    match check_one(run, &image, at, thorough) {
                        Ok(found) => drop(shown.lock().unwrap().insert(hash, found)),
                        Err(what) => {
                            let mut place = place(log, at);
                            if plan.only.is_some() {
                                place = format!("{place}, kept in {}", keep(&image));
                            }
                            figures.lock().unwrap().faults.push(Fault {
                                operations: at,
                                survival,
                                place,
                                what,
                            });
                        }
                    }
                }
            });
        }
    });
    let mut figures = figures.into_inner().unwrap();
    let shown = shown.into_inner().unwrap();
    for (hash, (at, survival)) in source.into_inner().unwrap().seen {
        let (Some(shown), promised) = (shown.get(&hash), run.promised(at)) else { continue };
        if !shown.reaches(&promised) {
            let what = format!("{promised:?} was promised, and it shows {shown:?}");
            figures.faults.push(Fault { operations: at, survival, place: place(log, at), what });
        }
    }
    figures.faults.sort_by_key(|fault| (fault.operations, fault.survival));
    figures
}

thread_local! {
    /// What the last panic said, and where.
    static BROKEN: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Makes one image after the other.
struct Source {
    replay: Replay,
    at: usize,
    ways: Vec<Survival>,
    /// Images by their hash, and after how many operations each was last what could be left.
    seen: HashMap<[u8; 32], (usize, Survival)>,
}

impl Source {
    fn next(
        &mut self,
        plan: Plan,
        log: &[Operation],
        figures: &Mutex<Figures>,
    ) -> Option<(usize, Survival, Image, [u8; 32])> {
        loop {
            while let Some(survival) = self.ways.pop() {
                // The way is advanced before: `at` operations were done.
                let at = self.at - 1;
                let seed = plan.seed ^ (at as u64) << 8 ^ survival as u64;
                let image = self.replay.image(survival, seed);
                let mut figures = figures.lock().unwrap();
                figures.cuts += 1;
                let hash = image.hash();
                if self.seen.insert(hash, (at, survival)).is_none() {
                    figures.images += 1;
                    return Some((at, survival, image, hash));
                }
            }
            if self.at > log.len() {
                return None;
            }
            if self.at > 0 {
                self.replay.apply(&log[self.at - 1]);
            }
            if plan.only.is_none_or(|only| only == self.at) {
                self.ways = Survival::ALL.to_vec();
            }
            self.at += 1;
        }
    }
}

fn check_one(run: &dyn Run, image: &Image, at: usize, thorough: bool) -> Result<Shown, String> {
    let dir = scratch().map_err(|error| error.to_string())?;
    image.write(dir.path()).map_err(|error| error.to_string())?;
    let checked = catch_unwind(AssertUnwindSafe(|| run.check(dir.path(), at, thorough)));
    checked.map_err(|_| BROKEN.with(std::cell::RefCell::take))
}

/// For a person to look at.
fn keep(image: &Image) -> String {
    let kept = scratch().and_then(|dir| image.write(dir.path()).map(|()| dir.keep()));
    kept.map_or_else(|error| error.to_string(), |path| path.display().to_string())
}

/// In memory, where there is such a place: syncs cost nothing there.
fn scratch() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

fn place(log: &[Operation], at: usize) -> String {
    let show = |operation: Option<&Operation>| match operation {
        Some(Operation::Write { node, offset, bytes }) => {
            format!("Write {{ node: {node}, offset: {offset}, {} bytes }}", bytes.len())
        }
        Some(operation) => format!("{operation:?}"),
        None => "nothing".to_owned(),
    };
    let before = at.checked_sub(1).and_then(|before| log.get(before));
    format!("behind {}, before {}", show(before), show(log.get(at)))
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Victim::Primary => "primary",
            Victim::Replica => "replica",
            Victim::Staging => "staging",
            Victim::Synchronizing => "synchronizing",
        })
    }
}

impl Victim {
    /// All of them.
    pub const ALL: [Victim; 4] = [Victim::Primary, Victim::Replica, Victim::Staging, Victim::Synchronizing];
}
