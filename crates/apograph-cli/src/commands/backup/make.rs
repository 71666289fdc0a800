//! `apograph backup --dir DIR`.

use std::path::PathBuf;
use std::time::Duration;

use apograph::Folder;
use apograph::backup::{BackupRequest, Made};
use apograph_client::types::{BackupMade, BackupOrder, BackupState};
use apograph_client::{Client, ClientError};
use clap::Args;
use serde::Serialize;

use crate::arguments::Global;
use crate::commands::links;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::progress;

/// How often the server is asked how far it is.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct Make {
    /// The folder of the backup, on the machine of the server: new, empty, or with an interrupted backup
    #[arg(long, value_name = "DIR", required = true)]
    dir: Option<String>,
    /// An earlier backup: what did not change is linked to it
    #[arg(long, value_name = "PREVIOUS")]
    incremental_to: Option<String>,
    /// Read this data folder, whose server is stopped; then DIR and PREVIOUS are any paths
    #[arg(long, value_name = "FOLDER")]
    data_folder: Option<PathBuf>,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Printed {
    dir: String,
    #[serde(flatten)]
    made: BackupMade,
}

impl Make {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let Some(dir) = self.dir else {
            return Err(Failure::Usage("where to? give --dir DIR".to_owned()));
        };
        let printed = match self.data_folder {
            None => {
                let client = global.client()?;
                let order = BackupOrder { dir, previous: self.incremental_to };
                ask(&client, global, &order).await?
            }
            Some(folder) => {
                let request =
                    BackupRequest { dir: dir.into(), previous: self.incremental_to.map(PathBuf::from) };
                let global = global.clone();
                let done = tokio::task::spawn_blocking(move || stopped(&global, &folder, &request)).await;
                done.unwrap_or_else(|error| Err(Failure::local("the work", error)))?
            }
        };
        Printer::new(global.output).value(&printed, in_words)
    }
}

/// Has a server make it, and looks until it is done.
async fn ask(client: &Client, global: &Global, order: &BackupOrder) -> Result<Printed, Failure> {
    let mut status = client.backup(&global.database, order).await?;
    let bar = progress::bytes(global.output, "copying", Some(0));
    loop {
        bar.set_length(status.bytes_total);
        bar.set_position(status.bytes);
        match (status.state, status.made.take(), status.problem.take()) {
            (BackupState::Running, ..) => {}
            (BackupState::Done, Some(made), _) => {
                bar.finish_and_clear();
                return Ok(Printed { dir: status.dir.unwrap_or_default(), made });
            }
            (_, _, Some(problem)) => {
                bar.finish_and_clear();
                return Err(ClientError::Problem(problem).into());
            }
            _ => {
                bar.finish_and_clear();
                let what = "the server was started again before the backup was done".to_owned();
                return Err(Failure::Link { reason: what });
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = tokio::signal::ctrl_c() => {
                bar.finish_and_clear();
                Printer::new(global.output).note("the server goes on by itself");
                return Err(Failure::Interrupted);
            }
        }
        status = client.backup_status(&global.database).await?;
    }
}

/// Makes it of the folder of a server that is stopped.
fn stopped(global: &Global, folder: &std::path::Path, request: &BackupRequest) -> Result<Printed, Failure> {
    let folder = Folder::open(folder)?;
    let database = folder.database(&global.database).map_err(apograph::backup::BackupError::from)?;
    let Some(database) = database else {
        let what = format!("{} is not in this data folder", global.database);
        return Err(Failure::Usage(what));
    };
    let bar = progress::bytes(global.output, "copying", Some(0));
    let made = database.backup(request, &mut |progress| {
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes);
        true
    });
    bar.finish_and_clear();
    let Made { manifest, hash, pause_us } = made?;
    let made = BackupMade {
        at: manifest.at,
        time: manifest.time,
        epoch: manifest.epoch,
        hash,
        files: manifest.files,
        bytes: manifest.bytes,
        bytes_linked: manifest.bytes_linked,
        pause_us,
    };
    Ok(Printed { dir: request.dir.display().to_string(), made })
}

fn in_words(printed: &Printed) -> String {
    let Printed { dir, made } = printed;
    let linked = match made.bytes_linked {
        0 => String::new(),
        linked => format!(", {} of them linked to the previous backup", links::bytes(linked)),
    };
    format!(
        "{dir} is a backup of the state at {} (timestamp {}, epoch {})\n  {} files, {}{linked}\n  hash of its manifest {}\n  writers waited {:.1} ms",
        made.time,
        made.at,
        made.epoch,
        made.files,
        links::bytes(made.bytes),
        made.hash,
        std::time::Duration::from_micros(made.pause_us).as_secs_f64() * 1_000.0,
    )
}
