//! Backups that this server makes: one at a time for each database, in a task of its own, below one folder.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use apograph::Database;
use apograph::backup::{BackupRequest, Made, Progress};
use apograph_client::types::{BackupMade, BackupOrder, BackupState, BackupStatus};

use crate::app::App;
use crate::clock;
use crate::problem::{Answer, Code, Refused, failed};

/// Longest path of a backup.
const PATH_BYTES_MAX: usize = 1_024;
/// Where backups are, if the settings do not say.
const FOLDER: &str = "backups";

/// The last backup of every database.
#[derive(Default)]
pub(crate) struct Backups(Mutex<BTreeMap<String, BackupStatus>>);

impl Backups {
    /// How far the last one is.
    pub(crate) fn status(&self, database: &str) -> BackupStatus {
        self.all().get(database).cloned().unwrap_or_else(none)
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, BackupStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, database: &str, change: impl FnOnce(&mut BackupStatus)) {
        self.all().get_mut(database).map(change);
    }
}

fn none() -> BackupStatus {
    BackupStatus {
        state: BackupState::None,
        dir: None,
        began: None,
        ended: None,
        files: 0,
        bytes: 0,
        bytes_total: 0,
        made: None,
        problem: None,
    }
}

/// Begins a backup; it goes on by itself.
pub(crate) fn begin(app: &App, database: Database, order: &BackupOrder) -> Answer<BackupStatus> {
    let base = app.folder.settings().backup_folder.clone().unwrap_or_else(|| FOLDER.into());
    let base = app.folder.path().join(base);
    let dir = inside(&base, "dir", &order.dir)?;
    let previous = order.previous.as_deref().map(|text| inside(&base, "previous", text)).transpose()?;
    let name = database.name().to_owned();
    let status = BackupStatus {
        state: BackupState::Running,
        dir: Some(dir.display().to_string()),
        began: Some(clock::now_us()),
        ..none()
    };
    {
        let mut all = app.backups.all();
        if all.get(&name).is_some_and(|status| status.state == BackupState::Running) {
            return Err(Code::BackupRunning.because("a backup of this database is being made"));
        }
        all.insert(name.clone(), status.clone());
    }
    let request = BackupRequest { dir, previous };
    let working = app.clone();
    app.tasks.spawn(async move {
        let worker = working.clone();
        let of = name.clone();
        let made = tokio::task::spawn_blocking(move || make(&worker, &database, &request, &of)).await;
        let made = made.unwrap_or_else(|error| Err(failed(&error)));
        working.backups.change(&name, |status| end(status, made));
    });
    Ok(status)
}

fn make(app: &App, database: &Database, request: &BackupRequest, name: &str) -> Answer<Made> {
    let mut monitor = |progress: Progress| {
        app.backups.change(name, |status| {
            status.files = progress.files;
            status.bytes = progress.bytes;
            status.bytes_total = progress.bytes_total;
        });
        !app.shutdown.is_cancelled()
    };
    let made = database.backup(request, &mut monitor)?;
    let dir = request.dir.display();
    tracing::info!(database = %name, %dir, at = %made.manifest.time, bytes = made.manifest.bytes, "made a backup");
    Ok(made)
}

fn end(status: &mut BackupStatus, made: Answer<Made>) {
    status.ended = Some(clock::now_us());
    match made {
        Ok(made) => {
            let manifest = made.manifest;
            status.state = BackupState::Done;
            status.files = manifest.files;
            status.bytes = manifest.bytes;
            status.bytes_total = manifest.bytes;
            status.made = Some(BackupMade {
                at: manifest.at,
                time: manifest.time,
                epoch: manifest.epoch,
                hash: made.hash,
                files: manifest.files,
                bytes: manifest.bytes,
                bytes_linked: manifest.bytes_linked,
                pause_us: made.pause_us,
            });
        }
        Err(refused) => {
            tracing::warn!(problem = ?refused, "a backup was not made");
            status.state = BackupState::Failed;
            status.problem = Some(Refused::into_problem(refused));
        }
    }
}

/// A path below the backup folder: what requests name lies nowhere else.
fn inside(base: &Path, member: &str, text: &str) -> Answer<PathBuf> {
    let refused = |why: &str| Code::BodyInvalid.because(format!("{member}: {why}"));
    if text.len() > PATH_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(refused("this is no path of a backup"));
    }
    let relative = match Path::new(text) {
        path if path.is_absolute() => path.strip_prefix(base).map_err(|_| {
            refused("it lies outside of the server's backup folder: backup_folder in its server.json says where that is")
        })?,
        path => path,
    };
    let is_plain = |component| matches!(component, Component::Normal(_));
    if relative.as_os_str().is_empty() || !relative.components().all(is_plain) {
        return Err(refused("name a folder below the server's backup folder, without `.` and `..`"));
    }
    Ok(base.join(relative))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn no_request_leaves_the_backup_folder() {
        let base = Path::new("/srv/backups");
        for good in ["a", "a/b", "/srv/backups/a", "2026-11-22"] {
            assert!(inside(base, "dir", good).unwrap().starts_with(base), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/../..",
            "../a",
            "/",
            "/etc",
            "/srv/backups",
            "/srv/backups/../x",
            "/srv/backupsx",
            "a\0b",
            "./a/..",
        ] {
            assert!(inside(base, "dir", bad).is_err(), "{bad:?}");
        }
        assert!(inside(base, "dir", &"x".repeat(2_000)).is_err());
    }
}
