//! Runs seeds for as long as somebody likes, goes on where it ended the last time, and writes down what came of it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::run::{self, Summary};

/// Between two times that the state is written.
const SAVE: Duration = Duration::from_secs(5);
/// The file in the folder of the state.
const FILE: &str = "soak.state";
/// The first column of the table that results are appended to.
const HEAD: &str = "| Soaked on |";

/// Why there is no soak, or no line about it.
#[derive(Debug, thiserror::Error)]
pub enum SoakError {
    /// The state, or the document.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// What is in the file of the state was not written here.
    #[error("{}: line {line:?} is not `next SEED` or `broken SEED`", path.display())]
    State {
        /// Which file.
        path: PathBuf,
        /// What is in it.
        line: String,
    },
    /// There is no table to append to.
    #[error("{}: no table begins with {HEAD:?}", path.display())]
    Table {
        /// Which document.
        path: PathBuf,
    },
    /// Not a time.
    #[error("the minutes are not a time")]
    Minutes,
}

/// What is known of all soaks with one folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// All seeds from the first to this one were run, this one not.
    pub next: u64,
    /// Seeds that broke a promise.
    pub broken: BTreeSet<u64>,
}

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The first seed.
    pub from: u64,
    /// For how long.
    pub duration: Duration,
    /// Runs at the same time.
    pub threads: usize,
    /// Ends with the first broken promise.
    pub stops: bool,
    /// Of the state.
    pub folder: &'a Path,
}

/// A line of the table of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(String);

impl State {
    /// What was left there; nothing, if nobody was there before.
    pub fn open(folder: &Path) -> Result<State, SoakError> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => State::parse(&text).map_err(|line| SoakError::State { path, line }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(SoakError::File { path, error }),
        }
    }

    /// Leaves it there, all of it or nothing.
    pub fn save(&self, folder: &Path) -> Result<(), SoakError> {
        let (path, partial) = (folder.join(FILE), folder.join(format!("{FILE}.partial")));
        let mut text = format!("next {}\n", self.next);
        self.broken.iter().for_each(|seed| text.push_str(&format!("broken {seed}\n")));
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&partial, text))
            .and_then(|()| std::fs::rename(&partial, &path))
            .map_err(|error| SoakError::File { path, error })
    }

    fn parse(text: &str) -> Result<State, String> {
        let mut state = State::default();
        for line in text.lines() {
            let (word, seed) = line.split_once(' ').ok_or(line)?;
            let seed = seed.parse().map_err(|_| line.to_owned())?;
            match word {
                "next" => state.next = seed,
                "broken" => drop(state.broken.insert(seed)),
                _ => return Err(line.to_owned()),
            }
        }
        Ok(state)
    }

    fn with(&self, summary: &Summary) -> State {
        State {
            next: summary.next,
            broken: self.broken.iter().chain(summary.faults.keys()).copied().collect(),
        }
    }
}

/// Runs it. `tell` hears again and again how it stands. If it is interrupted, the state is at most some seconds old, and
/// no seed is left out.
pub fn run(plan: &Plan<'_>, tell: impl FnMut(&Summary, Duration) + Send) -> Result<Summary, SoakError> {
    let state = State::open(plan.folder)?;
    let began = Instant::now();
    // Before the first run: a folder that cannot be written is not found out after an hour.
    State { next: plan.from, ..state.clone() }.save(plan.folder)?;
    let shared = Mutex::new((Instant::now(), tell));
    let is_over = |summary: &Summary| {
        let (saved, tell) = &mut *shared.lock().expect("nobody panics here");
        tell(summary, began.elapsed());
        if saved.elapsed() >= SAVE {
            *saved = Instant::now();
            // The last one counts; what fails now fails there, too.
            let _ = state.with(summary).save(plan.folder);
        }
        began.elapsed() >= plan.duration || (plan.stops && !summary.faults.is_empty())
    };
    let summary = run::many(plan.from..u64::MAX, plan.threads, is_over, || ());
    state.with(&summary).save(plan.folder)?;
    Ok(summary)
}

impl Row {
    /// Date, commit, minutes, seeds, virtual hours, operations checked, faults drawn, broken promises.
    pub fn of(summary: &Summary, from: u64, commit: &str) -> Row {
        let broken: Vec<String> = summary.faults.keys().map(u64::to_string).collect();
        let figures = &summary.figures;
        Row(format!(
            "| {} | {commit} | {:.0} | {} ({from} to {}) | {:.1} | {} | {} | {} |",
            time::OffsetDateTime::now_utc().date(),
            summary.took.as_secs_f64() / 60.0,
            summary.seeds,
            from + summary.seeds.saturating_sub(1),
            Duration::from_micros(figures.virtual_us).as_secs_f64() / 3_600.0,
            figures.acknowledged + figures.reads,
            figures.faults,
            if broken.is_empty() {
                "0".to_owned()
            } else {
                format!("{}: {}", broken.len(), broken.join(", "))
            },
        ))
    }
}

/// Appends a line to the table of results in a document.
pub fn record(document: &Path, row: &Row) -> Result<(), SoakError> {
    let failed = |error| SoakError::File { path: document.to_owned(), error };
    let text = std::fs::read_to_string(document).map_err(failed)?;
    let text = appended(&text, row).ok_or_else(|| SoakError::Table { path: document.to_owned() })?;
    std::fs::write(document, text).map_err(failed)
}

fn appended(text: &str, Row(row): &Row) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let head = lines.iter().position(|line| line.starts_with(HEAD))?;
    let length = lines.iter().skip(head).take_while(|line| line.starts_with('|')).count();
    lines.insert(head + length, row);
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_to_the_end_of_the_table_of_soaks_and_nowhere_else() {
        let text =
            "# R\n\n| Fault | n |\n|---|\n| a | 1 |\n\n| Soaked on | c |\n|---|---|\n| x | y |\n\nend\n";
        let row = Row("| new | row |".to_owned());
        assert_eq!(
            appended(text, &row).unwrap(),
            "# R\n\n| Fault | n |\n|---|\n| a | 1 |\n\n| Soaked on | c |\n|---|---|\n| x | y |\n| new | row |\n\nend\n"
        );
        assert_eq!(appended("| other | table |\n", &row), None);
        let document = include_str!("../../../docs/reliability.md");
        assert!(appended(document, &row).is_some(), "docs/reliability.md has the table");
    }

    #[test]
    fn a_state_is_read_as_it_was_written_and_garbage_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(State::open(folder.path()).unwrap(), State::default());
        let state = State { next: 1_234, broken: BTreeSet::from([7, 500]) };
        state.save(folder.path()).unwrap();
        assert_eq!(State::open(folder.path()).unwrap(), state);
        std::fs::write(folder.path().join(FILE), "next tuesday\n").unwrap();
        let error = State::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("next tuesday"), "{error}");
    }

    /// A soak that is begun again goes on where the one before ended, and no seed is run twice or left out.
    #[test]
    fn a_soak_goes_on_where_the_last_one_ended() {
        let folder = tempfile::tempdir().unwrap();
        let soak = |from| {
            let plan = Plan {
                from,
                duration: Duration::from_millis(300),
                threads: 2,
                stops: false,
                folder: folder.path(),
            };
            run(&plan, |_, _| ()).unwrap()
        };
        let first = soak(20);
        assert_eq!(first.next, 20 + first.seeds);
        let next = State::open(folder.path()).unwrap().next;
        assert_eq!(next, first.next);
        let second = soak(next);
        assert!(second.seeds > 0);
        assert_eq!(State::open(folder.path()).unwrap().next, next + second.seeds);
    }
}
