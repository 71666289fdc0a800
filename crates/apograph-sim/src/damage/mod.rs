//! Files of a data folder are altered, cut off, lost and confused, one at a time; then its server is started and asked for
//! everything that it has.
//!
//! What comes of it is one of: the server does not start and says why; it starts, and says so when it is asked for what was
//! damaged; it shows what it showed before, because nothing that counts was hit, or it can be made again; or what a crash may
//! leave behind what was acknowledged is cut. Anything else is *silent*, and a fault.

mod heal;
mod homes;
mod inflict;
mod kind;
mod look;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use heal::Healed;
use homes::{Home, Homes};
use inflict::{Case, Damage, alone, every_byte};
pub use kind::Kind;
use look::{Looked, Shown, look, verify};

use crate::random::Random;

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Only these kinds of files; none: all.
    pub kinds: Vec<Kind>,
    /// So much is done to the files of each kind in each data folder; a small file has each of its bytes altered beside.
    pub each: usize,
    /// Chooses the places.
    pub seed: u64,
    /// Only damage whose description has this in it; the folder it left is kept.
    pub only: Option<String>,
    /// Threads that start servers.
    pub threads: usize,
}

/// What came of a damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The server did not start, and said why.
    Refused,
    /// It started, and said so when it was asked for what was damaged.
    Noticed,
    /// It showed what it showed before.
    Harmless,
    /// What was never acknowledged was cut.
    Cut,
    /// It showed something else, and a look for damage, or the next checkpoint, notices it.
    Late,
    /// It showed something else as if nothing were.
    Silent,
}

/// What was looked at, of one kind of files.
#[derive(Debug, Clone, Default)]
pub struct OfKind {
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes altered, one at a time.
    pub flips: usize,
    /// Ends cut off.
    pub cuts: usize,
    /// Everything else: pages, missing and confused files.
    pub others: usize,
    /// What came of it.
    pub outcomes: BTreeMap<Outcome, usize>,
}

/// What was looked at.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// By kind of files.
    pub kinds: BTreeMap<Kind, OfKind>,
    /// Copies whose damage their source healed.
    pub healed: Healed,
    /// What went wrong.
    pub faults: Vec<Fault>,
    /// What was noticed, and called something else than damage.
    pub misnamed: Vec<Fault>,
    /// How long it took.
    pub took: Duration,
}

/// A damage that nobody noticed.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which data folder, which file, what was done: `--only` repeats it.
    pub case: String,
    /// What is wrong.
    pub what: String,
}

/// Runs it.
pub fn run(plan: &Plan) -> std::io::Result<Figures> {
    let begun = Instant::now();
    let homes = Homes::make(scratch()?);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|panic| BROKEN.with(|broken| *broken.borrow_mut() = panic.to_string())));
    let mut figures = Figures::default();
    let cases = cases(plan, &homes.homes, &mut figures)?;
    eprintln!("damage: {} times, after {:.0} s", cases.len(), begun.elapsed().as_secs_f64());
    let found = all(plan, &homes.homes, &cases);
    for (case, found) in cases.iter().zip(found) {
        count(&homes.homes, case, found, &mut figures);
    }
    if plan.only.is_none() {
        eprintln!("damage: copies are healed, after {:.0} s", begun.elapsed().as_secs_f64());
        figures.healed = heal::run(plan, &homes, &cases, &mut figures.faults);
    }
    std::panic::set_hook(hook);
    figures.took = begun.elapsed();
    Ok(figures)
}

thread_local! {
    /// What the last panic said, and where.
    static BROKEN: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// What came of one damage, and what was said.
#[derive(Debug, Clone)]
struct Found {
    outcome: Outcome,
    what: String,
}

/// Each of them, by several threads.
fn all(plan: &Plan, homes: &[Home], cases: &[Case]) -> Vec<Option<Found>> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(vec![None; cases.len()]);
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { break };
                    let one = one(&homes[case.home], case, plan.only.is_some());
                    found.lock().unwrap()[index] = one;
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// `None` if it altered nothing.
fn one(home: &Home, case: &Case, keeps: bool) -> Option<Found> {
    let dir = scratch().unwrap();
    let path = dir.path().join("home");
    homes::copy_folder(&home.path, &path).unwrap();
    if !case.damage.inflict(&path, &case.path).unwrap() {
        return None;
    }
    let looked = catch_unwind(AssertUnwindSafe(|| look(&path, &home.moments)));
    let mut found = match looked {
        Err(_) => Found { outcome: Outcome::Silent, what: BROKEN.with(std::cell::RefCell::take) },
        Ok(Looked::Refused(what)) => Found { outcome: Outcome::Refused, what },
        Ok(Looked::Noticed(what)) => Found { outcome: Outcome::Noticed, what },
        Ok(Looked::Shows(shown)) => compare(home, &path, &shown, case.kind == Kind::Folder),
    };
    if keeps {
        // What was kept is what it was before the start.
        let kept = dir.keep();
        fs::remove_dir_all(&path).unwrap();
        homes::copy_folder(&home.path, &path).unwrap();
        case.damage.inflict(&path, &case.path).unwrap();
        found.what = format!("{}; kept in {}", found.what, kept.display());
    }
    Some(found)
}

fn compare(home: &Home, path: &Path, shown: &Shown, is_folder: bool) -> Found {
    let found = |outcome, what: String| Found { outcome, what };
    if home.tail.is_some() {
        // A copy keeps of its journals what is whole; what it shows is one of both states.
        let content = |shown: &Shown| {
            let mut shown = shown.clone();
            shown.0.retain(|name, _| name != "status" && !name.starts_with("journal"));
            shown
        };
        return match home.shows.iter().position(|may| content(may) == content(shown)) {
            Some(0) => found(Outcome::Harmless, String::new()),
            Some(_) => found(Outcome::Cut, String::new()),
            None => found(Outcome::Silent, shown.difference(&home.shows[0])),
        };
    }
    if home.shows.contains(shown) {
        return found(Outcome::Harmless, String::new());
    }
    // A copy without its database is a new one: it says so, serves nothing, and gets everything from its source.
    if shown.0.get("database").is_some_and(|none| none == "\"none yet\"")
        && home.name != "primary"
        && is_folder
    {
        return found(Outcome::Noticed, "a new copy".into());
    }
    let difference = shown.difference(&home.shows[0]);
    match catch_unwind(AssertUnwindSafe(|| verify(path))) {
        Ok(Err(what)) => found(Outcome::Late, format!("{difference}; later: {what}")),
        _ => found(Outcome::Silent, difference),
    }
}

fn count(homes: &[Home], case: &Case, found: Option<Found>, figures: &mut Figures) {
    let Some(found) = found else { return };
    let of = figures.kinds.entry(case.kind).or_default();
    match case.damage {
        Damage::Flip { .. } => of.flips += 1,
        Damage::Cut { .. } => of.cuts += 1,
        _ => of.others += 1,
    }
    // People write the settings: other ones are no damage that anybody could know.
    let is_setting = case.kind == Kind::Settings && found.outcome >= Outcome::Late;
    let outcome = if is_setting { Outcome::Harmless } else { found.outcome };
    *of.outcomes.entry(outcome).or_default() += 1;
    let fault = Fault { case: label(homes, case), what: found.what };
    if outcome >= Outcome::Late {
        figures.faults.push(fault);
    } else if outcome == Outcome::Noticed && fault.what.starts_with("not as damage") {
        figures.misnamed.push(fault);
    }
}

fn label(homes: &[Home], case: &Case) -> String {
    format!("{} {} {}", homes[case.home].name, case.path.display(), case.damage)
}

/// Everything that is done.
fn cases(plan: &Plan, homes: &[Home], figures: &mut Figures) -> std::io::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let wants = |kind: Kind| plan.kinds.is_empty() || plan.kinds.contains(&kind);
    for (index, home) in homes.iter().enumerate() {
        let mut by_kind: BTreeMap<Kind, Vec<PathBuf>> = BTreeMap::new();
        for path in files(&home.path) {
            if let Some(kind) = Kind::of(&path) {
                by_kind.entry(kind).or_default().push(path);
            }
        }
        if let Some(ends) = &home.tail {
            if wants(Kind::Tail) {
                cases.extend(tails(plan, index, home, ends, figures)?);
            }
            continue;
        }
        for (kind, paths) in by_kind.iter().filter(|(kind, _)| wants(**kind)) {
            let of = figures.kinds.entry(*kind).or_default();
            let (mut every, mut pool) = (Vec::new(), Vec::new());
            for (number, path) in paths.iter().enumerate() {
                let bytes = fs::metadata(home.path.join(path))?.len() as usize;
                let is_first = of.files == 0;
                of.files += 1;
                of.bytes += bytes as u64;
                let seed = plan.seed ^ (index as u64) << 32 ^ number as u64;
                let mut random = Random::new(seed).fork(*kind as u64);
                let case = |damage| Case { home: index, kind: *kind, path: path.clone(), damage };
                if is_first {
                    every.extend(every_byte(bytes, &mut random).into_iter().map(case));
                }
                pool.extend(alone(bytes, &mut random).into_iter().map(case));
                pool.extend(beside(*kind, number, paths, &mut random).into_iter().map(case));
            }
            cases.extend(every);
            cases.extend(sample(pool, plan, *kind as u64 ^ (index as u64) << 8));
        }
        if wants(Kind::Folder) {
            let folders = folders(&home.path);
            figures.kinds.entry(Kind::Folder).or_default().files += folders.len();
            let case = |path| Case { home: index, kind: Kind::Folder, path, damage: Damage::Missing };
            cases.extend(folders.iter().cloned().map(case));
            let swapped =
                folders.iter().filter(|path| path.ends_with("000/store") || path.ends_with("000/journal"));
            for path in swapped {
                let with = PathBuf::from(path.to_str().unwrap().replace("/000/", "/001/"));
                let damage = Damage::Swapped { with };
                cases.push(Case { home: index, kind: Kind::Folder, path: path.clone(), damage });
            }
        }
    }
    if let Some(only) = &plan.only {
        cases.retain(|case| label(homes, case).contains(only.as_str()));
    }
    Ok(cases)
}

/// Some of it: of every sort of damage as many as of the others, as far as there are.
fn sample(pool: Vec<Case>, plan: &Plan, salt: u64) -> Vec<Case> {
    let mut random = Random::new(plan.seed).fork(salt);
    let mut sorts: Vec<Vec<Case>> = Vec::new();
    for case in pool {
        let sort = std::mem::discriminant(&case.damage);
        match sorts
            .iter_mut()
            .find(|of| of.first().map(|first| std::mem::discriminant(&first.damage)) == Some(sort))
        {
            Some(of) => of.push(case),
            None => sorts.push(vec![case]),
        }
    }
    let wants_all = plan.only.is_some();
    let mut cases = Vec::new();
    while (wants_all || cases.len() < plan.each) && sorts.iter().any(|of| !of.is_empty()) {
        for of in sorts.iter_mut().filter(|of| !of.is_empty()) {
            cases.push(of.swap_remove(random.index(of.len())));
        }
    }
    cases
}

/// What is done with a file and another one of its kind.
fn beside(kind: Kind, number: usize, paths: &[PathBuf], random: &mut Random) -> Vec<Damage> {
    let mut list = Vec::new();
    let path = &paths[number];
    let next = |by: usize| paths[(number + by) % paths.len()].clone();
    let others: Vec<PathBuf> = match paths.len() {
        1 => Vec::new(),
        2 => vec![next(1)],
        many => vec![next(1), next(1 + random.index(many - 1))],
    };
    // The file in the same place of another partition.
    let twin = path.to_str().map(|text| PathBuf::from(text.replace("partitions/000", "partitions/001")));
    let twin = twin.filter(|twin| twin != path && paths.contains(twin));
    let mut others: Vec<PathBuf> = others.into_iter().chain(twin).filter(|other| other != path).collect();
    others.sort();
    others.dedup();
    for other in others {
        list.push(Damage::Swapped { with: other.clone() });
        list.push(Damage::Replaced { by: other });
    }
    if matches!(kind, Kind::ClosedSegment | Kind::OpenSegment) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let first: u64 = name.trim_start_matches('_').trim_end_matches(".segment").parse().unwrap();
        for name in [
            format!("{:020}.segment", first + 1),
            format!("_{name}"),
            format!("_{:020}.segment", first + 100_000),
        ] {
            list.push(Damage::Twice { at: path.with_file_name(name.replace("__", "")) });
        }
    }
    if kind == Kind::Table {
        list.push(Damage::Twice { at: path.with_file_name("77777") });
    }
    list
}

/// Only behind what was acknowledged.
fn tails(
    plan: &Plan,
    index: usize,
    home: &Home,
    ends: &[(PathBuf, u64)],
    figures: &mut Figures,
) -> std::io::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let of = figures.kinds.entry(Kind::Tail).or_default();
    for (path, end) in ends {
        let bytes = fs::read(home.path.join(path))?;
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1) as u64;
        of.files += 1;
        of.bytes += written - end;
        let mut random = Random::new(plan.seed ^ end);
        for damage in alone(written as usize - *end as usize, &mut random) {
            let damage = match damage {
                Damage::Flip { at, mask } => Damage::Flip { at: at + *end as usize, mask },
                Damage::Cut { to } => Damage::Cut { to: to + *end as usize },
                _ => continue,
            };
            cases.push(Case { home: index, kind: Kind::Tail, path: path.clone(), damage });
        }
    }
    Ok(sample(cases, plan, 0))
}

/// All files of a data folder, relative to it.
fn files(home: &Path) -> Vec<PathBuf> {
    walk(home, home, false).into_iter().filter(|path| Kind::of(path).is_some()).collect()
}

fn folders(home: &Path) -> Vec<PathBuf> {
    let folders = walk(home, home, true).into_iter();
    // What is made again whenever it is missing.
    folders.filter(|path| !path.ends_with("spool")).collect()
}

fn walk(home: &Path, folder: &Path, wants_folders: bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_folder = path.is_dir();
        if is_folder {
            found.extend(walk(home, &path, wants_folders));
        }
        if is_folder == wants_folders {
            found.push(path.strip_prefix(home).unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// In memory, where there is such a place: syncs cost nothing there.
fn scratch() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}

impl Figures {
    /// Over all kinds.
    pub fn total(&self) -> OfKind {
        let mut total = OfKind::default();
        for of in self.kinds.values() {
            total.files += of.files;
            total.bytes += of.bytes;
            total.flips += of.flips;
            total.cuts += of.cuts;
            total.others += of.others;
            for (outcome, count) in &of.outcomes {
                *total.outcomes.entry(*outcome).or_default() += count;
            }
        }
        total
    }
}

impl OfKind {
    /// So many times.
    pub fn times(&self, outcome: Outcome) -> usize {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }
}

impl fmt::Display for OfKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6} {:>9} {:>6} {:>5} {:>6}",
            self.files, self.bytes, self.flips, self.cuts, self.others
        )?;
        for outcome in [Outcome::Refused, Outcome::Noticed, Outcome::Harmless, Outcome::Cut] {
            write!(f, " {:>8}", self.times(outcome))?;
        }
        write!(f, " {:>8}", self.times(Outcome::Late) + self.times(Outcome::Silent))
    }
}
