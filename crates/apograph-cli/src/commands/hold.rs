//! `apograph hold`.

use std::path::PathBuf;

use apograph::database::part::GrowError;
use apograph_server::hold::{self, HoldError, HoldOrder, HoldProgress, NowHeld, RefusalKind};
use clap::Args;
use serde::Serialize;

use super::init::source;
use crate::arguments::Global;
use crate::commands::links;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::progress;

/// Have a replica of some partitions hold more of them
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the data folder itself: stop its server first. The partitions come from any server that holds them, the primary or
another replica, as they were at the time that this replica shows; so the source must have come as far, and must remember
it. Partitions that are at several servers are taken in one command after the other. A replica that holds all of them can
become the primary: `apograph promote --plan --with URL` says which of several to make whole.

Nothing is changed before everything has come. Broken off, or killed, the same command goes on where it was; meanwhile the
server may be started again as what it was.

Needs a token of the role link-replica of the source. Exit status 3 if this replica cannot take them in from there.

Example:
  apograph hold --dir part --partitions 1 --source http://127.0.0.1:7704 \\
      --source-token-file other/tokens/link-replica.token")]
pub(crate) struct Hold {
    /// The data folder of the replica, whose server is stopped
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Which partitions, such as 1,3; without it, all that the source has and this replica lacks
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    partitions: Option<Vec<u16>>,
    /// A server that holds them
    #[arg(long, value_name = "URL")]
    source: String,
    /// File with a token of the role link-replica for it
    #[arg(long, value_name = "FILE")]
    source_token_file: PathBuf,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Printed {
    dir: PathBuf,
    #[serde(flatten)]
    now: NowHeld,
}

impl Hold {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let order = HoldOrder {
            directory: self.dir.clone(),
            database: global.database.clone(),
            partitions: self.partitions,
            source: source(&self.source, &self.source_token_file)?,
        };
        let bar = progress::count(global.output, "documents", Some(0));
        let (network, told) = (tokio::runtime::Handle::current(), bar.clone());
        let work = move || {
            hold::hold(&order, &network, &mut |progress: HoldProgress| {
                told.set_length(progress.documents_total);
                told.set_position(progress.documents);
            })
        };
        let done = tokio::task::spawn_blocking(work).await;
        bar.finish_and_clear();
        let now = done.map_err(|error| Failure::local("the work", error))??;
        Printer::new(global.output).value(&Printed { dir: self.dir, now }, in_words)
    }
}

impl From<HoldError> for Failure {
    fn from(error: HoldError) -> Failure {
        match error {
            HoldError::Folder(error) | HoldError::Grow(GrowError::Folder(error)) => error.into(),
            error => Failure::Hold(Box::new(error)),
        }
    }
}

/// What a person could do next.
pub(crate) fn next(error: &HoldError) -> Option<String> {
    Some(
        match error {
            HoldError::Grow(GrowError::SourceBehind { .. }) => {
                "make the one that is behind whole: `apograph promote --plan --with URL` says which; or wait until it has caught up"
            }
            HoldError::Grow(GrowError::NotAtRest { .. } | GrowError::AnotherEpoch { .. }) => {
                "start its server with `apograph serve --dir DIR`, see `apograph status`, and stop it again"
            }
            HoldError::Source(refusal) if refusal.kind == RefusalKind::SnapshotExpired => {
                "the source does not remember what this replica shows: take it from another, or let this one follow the source's primary first"
            }
            HoldError::Source(refusal) if refusal.kind == RefusalKind::Denied => {
                "--source-token-file needs a token of the role link-replica of that very server: tokens/link-replica.token of its folder"
            }
            HoldError::Cut(_) | HoldError::Source(_) | HoldError::Transfer(_) => {
                "the same command goes on where it was; `apograph status --server URL` shows the source"
            }
            _ => return None,
        }
        .to_owned(),
    )
}

fn in_words(printed: &Printed) -> String {
    let Printed { dir, now } = printed;
    let dir = dir.display();
    if now.taken.count() == 0 {
        return format!("{dir} holds these already: partitions {} of {}\n", now.held, now.of);
    }
    let held = match now.whole {
        true => format!("all {} partitions", now.of),
        false => format!("partitions {} of {}", now.held, now.of),
    };
    format!(
        "{dir} holds {held} now\n  taken in   {}, as of {} ({})\n  came       {} documents, {}, in {} requests\nnext:\n  apograph serve --dir {dir}\n",
        now.taken,
        now.at.to_rfc3339(),
        now.at,
        now.documents,
        links::bytes(now.bytes),
        now.requests,
    )
}
