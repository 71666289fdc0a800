//! Everything that a server shows, and what it says instead when it cannot.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use apograph::database::Database as Db;
use apograph::error::{Cause, FeedError, ReadError};
use apograph::format::{Position, Timestamp, View};
use apograph::read::ListQuery;
use apograph::{Database, Folder};

/// What a server showed: one line for each thing that can be asked, or a hash of what was answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Shown(pub(super) BTreeMap<String, String>);

/// What came of looking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Looked {
    /// It did not start.
    Refused(String),
    /// It started, and something that was asked was not answered, or it raised an alarm.
    Noticed(String),
    /// Everything was answered.
    Shows(Shown),
}

/// Starts the server of a data folder and asks it for everything. Nothing runs beside.
pub(super) fn look(home: &Path, moments: &[Timestamp]) -> Looked {
    let opened = Folder::open(home).map_err(apograph::OpenError::from).and_then(|folder| {
        let folder = folder.driven_by_steps();
        let database = folder.database("main")?;
        Ok((folder, database))
    });
    let (folder, database) = match opened {
        Err(error) => return Looked::Refused(chain(&error)),
        Ok(opened) => opened,
    };
    let mut shown = Shown::default();
    shown.put("server", &folder.identity());
    let Some(database) = database else {
        shown.put("database", &"none yet");
        return Looked::Shows(shown);
    };
    let looked = ask(&database, moments, &mut shown);
    let alarms = database.alarms();
    match looked {
        Err(what) => Looked::Noticed(what),
        Ok(()) if !alarms.is_empty() => Looked::Noticed(alarms.join("; ")),
        Ok(()) => Looked::Shows(shown),
    }
}

/// Also what a person would ask to be sure: does that notice anything?
pub(super) fn verify(home: &Path) -> Result<(), String> {
    let folder = Folder::open(home).map_err(|error| error.to_string())?.driven_by_steps();
    let Some(database) = folder.database("main").map_err(|error| error.to_string())? else { return Ok(()) };
    database.look_for_damage().map_err(|error| error.to_string())?;
    // What is written after this carries the digests of what is here, and is compared with those of before.
    database.idle();
    let alarms = database.alarms();
    if alarms.is_empty() { Ok(()) } else { Err(alarms.join("; ")) }
}

impl Shown {
    pub(super) fn put(&mut self, what: impl Into<String>, answer: &impl Debug) {
        self.0.insert(what.into(), format!("{answer:?}"));
    }

    /// What differs.
    pub(super) fn difference(&self, other: &Shown) -> String {
        let names = self.0.keys().chain(other.0.keys()).collect::<std::collections::BTreeSet<_>>();
        let short = |line: Option<&String>| {
            line.map_or("nothing".into(), |line| line.chars().take(160).collect::<String>())
        };
        let different = names.into_iter().filter(|name| self.0.get(*name) != other.0.get(*name));
        let lines = different.map(|name| {
            format!("{name}: {} instead of {}", short(self.0.get(name)), short(other.0.get(name)))
        });
        lines.collect::<Vec<_>>().join("; ")
    }
}

fn ask(database: &Db, moments: &[Timestamp], shown: &mut Shown) -> Result<(), String> {
    if let Some(stopped) = database.stopped() {
        return Err(stopped);
    }
    let mut status = database.status().map_err(|error| chain(&error))?;
    // They are Noticed where there are any, and kept bytes are not what a reader sees.
    status.alarms.clear();
    for partition in &mut status.partitions {
        partition.journal_bytes_kept = 0;
        partition.erasures_pending = 0;
    }
    shown.put("status", &status);
    shown.put(
        "epochs",
        &(database.epochs(), database.epoch_seen(), database.fenced().map(|fenced| fenced.reason)),
    );
    shown.put("synchronized", &database.sync_outcome());
    shown.put("synchronizing", &database.sync_marker());
    shown.put("quarantine", &database.quarantine().map_err(|error| chain(&error))?);
    let orphans = database.orphans(Timestamp::ZERO, 1_000).map_err(|error| chain(&error))?;
    for orphan in &orphans {
        let versions = database.orphan_versions(orphan.token.timestamp, u64::MAX);
        let versions = versions.map_err(|error| chain(&error))?;
        shown.put(format!("orphan {}", orphan.token), &versions);
    }
    shown.put("orphans", &orphans);
    let views: Vec<View> = View::ALL
        .into_iter()
        .filter(|view| *view == View::Published || database.view() == View::Full)
        .collect();
    for view in views {
        for at in moments.iter().filter(|at| **at <= database.visible() && **at >= database.horizon()) {
            shown.put(format!("digest of {view} at {at}"), &read(database.digest_at(view, *at))?);
        }
        let middle = moments.get(moments.len() / 2).filter(|at| **at <= database.visible());
        for at in [None, middle.copied()] {
            shown.put(format!("export of {view} at {at:?}"), &read(export(database, view, at))?);
        }
        journals(database, view, shown)?;
    }
    documents(database, shown)
}

/// That something was purged is an answer, and has to be the same: a copy that is behind a purge may give it, too.
fn export(database: &Database, view: View, at: Option<Timestamp>) -> Result<String, ReadError> {
    let mut hasher = blake3::Hasher::new();
    for line in database.export(view, at)? {
        match line {
            Err(ReadError::Erased { uri }) => hasher.update(format!("{uri} is purged").as_bytes()),
            line => hasher.update(line?.as_bytes()),
        };
    }
    Ok(hasher.finalize().to_string())
}

/// What copies are given.
fn journals(database: &Database, view: View, shown: &mut Shown) -> Result<(), String> {
    for partition in database.status().map_err(|error| chain(&error))?.partitions {
        let from = match view == database.view() {
            true => partition.journal_start,
            false => Position::beginning(database.id().genesis(view, partition.partition)),
        };
        let name = format!("journal of {view}, partition {}", partition.partition);
        let mut hasher = blake3::Hasher::new();
        match database.feed(partition.partition, view, from, None) {
            Err(FeedError::OutOfWindow { .. }) => {}
            Err(error) => return Err(chain(&error)),
            Ok(mut feed) => {
                while let Some(piece) = feed.next(1 << 20).map_err(|error| chain(&error))? {
                    hasher.update(&piece);
                }
            }
        }
        shown.put(name, &hasher.finalize().to_string());
    }
    Ok(())
}

/// Every document with all its versions, whatever its state.
fn documents(database: &Database, shown: &mut Shown) -> Result<(), String> {
    let mut hasher = blake3::Hasher::new();
    use apograph::format::State;
    let states = [
        State::Working,
        State::Published,
        State::PublishedWithChanges,
        State::Withdrawn,
        State::Trashed,
        State::Purged,
    ];
    for state in states {
        let query = ListQuery { state: Some(state), limit: 10_000, ..ListQuery::default() };
        for listed in read(database.list(&query))?.documents {
            let head = read(database.head(&listed.uri, None))?;
            hasher.update(format!("{listed:?} {head:?}").as_bytes());
            match database.history(&listed.uri, None, 10_000) {
                Err(ReadError::Refused { refusal, .. }) => hasher.update(format!("{refusal:?}").as_bytes()),
                Err(ReadError::Erased { uri }) => hasher.update(format!("{uri} is purged").as_bytes()),
                // A version whose body was not brought ends its history: that is an answer.
                Err(ReadError::NotBrought { number, .. }) => hasher.update(&number.to_le_bytes()),
                history => hasher.update(format!("{:?}", read(history)?).as_bytes()),
            };
            match database.document(&listed.uri, apograph::read::Which::Working, None) {
                Err(ReadError::Refused { refusal, .. }) => hasher.update(format!("{refusal:?}").as_bytes()),
                Err(ReadError::Erased { uri }) => hasher.update(format!("{uri} is purged").as_bytes()),
                document => hasher.update(format!("{:?}", read(document)?).as_bytes()),
            };
        }
    }
    shown.put("documents", &hasher.finalize().to_string());
    Ok(())
}

fn read<T>(answer: Result<T, ReadError>) -> Result<T, String> {
    answer.map_err(|error| match &error {
        ReadError::Store(store) if Cause::of_store(store) == Cause::Damage => chain(&error),
        other => format!("not as damage: {}", chain(other)),
    })
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
