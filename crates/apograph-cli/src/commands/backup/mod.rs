//! `apograph backup`, and what is done with one.

mod make;
mod restore;
mod verify;

use std::path::PathBuf;

use apograph::backup::BackupError;
use clap::{Args, Subcommand};

use crate::arguments::Global;
use crate::failure::Failure;

/// Make a backup of a database while it is read and written; prove one; restore one
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
A backup is a folder: the journals and stores of a database as they were at one moment, and a signed manifest that covers
every byte. The server writes it on its own machine, below the folder that backup_folder in its server.json names, or
below backups/ in its data folder; --dir is a path there. Any server will do: a primary, a replica, a staging server.
Needs a token of the role admin. With --data-folder no server is asked: the folder of one that is stopped is read.

--incremental-to names an earlier backup of the same server: files that did not change are linked to it, not copied. Both
are whole, and either may be deleted. A backup that was interrupted has no MANIFEST: the same command goes on with it.

What was purged is in no later backup, and stays in earlier ones: delete those, too, when it must be gone.

Examples:
  apograph backup --dir 2026-11-22
  apograph backup --dir 2026-11-23 --incremental-to 2026-11-22
  apograph backup --data-folder primary --dir /mnt/backup/before-upgrade
  apograph backup verify primary/backups/2026-11-23")]
pub(crate) struct Backup {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    make: make::Make,
}

#[derive(Debug, Subcommand)]
enum What {
    Verify(verify::Verify),
    Restore(restore::Restore),
}

impl Backup {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self.what {
            None => self.make.run(global).await,
            Some(What::Verify(verb)) => blocking(verb, global, verify::Verify::run).await,
            Some(What::Restore(verb)) => blocking(verb, global, restore::Restore::run).await,
        }
    }
}

/// Runs what reads and writes files on a thread for it.
async fn blocking<T: Send + 'static>(
    verb: T,
    global: &Global,
    run: fn(T, &Global) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let global = global.clone();
    let done = tokio::task::spawn_blocking(move || run(verb, &global)).await;
    done.unwrap_or_else(|error| Err(Failure::local("the work", error)))
}

/// Where a backup is.
#[derive(Debug, Args)]
struct Place {
    /// The folder of the backup
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Failure {
        let next = match &error {
            BackupError::Incomplete { .. } => "run the same `apograph backup` again: it goes on with it",
            BackupError::NotABackup { .. } => "name the folder that has the file MANIFEST in it",
            BackupError::Exists { .. } | BackupError::NotEmpty { .. } => "name a new folder",
            BackupError::Occupied { .. } => "with --replace it is moved aside, and stays",
            BackupError::View { .. } => "make a data folder of another role with `apograph init`",
            BackupError::NotWhole => "use a backup of a server that holds everything",
            BackupError::Unknown { .. } => "name it with --database",
            BackupError::BelowHorizon { .. } => "ask for a later time, or use an earlier backup",
            BackupError::Ahead { .. } => "name a later backup with --archive",
            BackupError::Damaged { .. } | BackupError::Unequal { .. } => {
                return Failure::Damaged { what: error.to_string() };
            }
            BackupError::Folder(_) => match error {
                BackupError::Folder(error) => return error.into(),
                error => return Failure::local("the backup", error),
            },
            BackupError::Cancelled => return Failure::Interrupted,
            _ => return Failure::local("the backup cannot be used", error),
        };
        let (what, next) = (error.to_string(), Some(next.to_owned()));
        Failure::Local { what, source: Box::new(error), next }
    }
}
