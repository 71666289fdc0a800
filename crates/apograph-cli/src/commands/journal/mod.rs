//! `apograph journal`: works on files, without a server, and never writes.

mod folders;
mod list;
mod show;
mod verify;

use std::path::PathBuf;

use apograph::journal::IoFailure;
use clap::{Args, Subcommand};

use crate::arguments::Global;
use crate::failure::Failure;

/// Look at journal files, without a server. Nothing is ever written
#[derive(Debug, Args)]
#[command(after_help = "\
DIR is a journal folder, or any folder above some, such as the data folder of a server.

Examples:
  apograph journal list primary
  apograph journal show primary/databases/main/partitions/000/journal --from 120 --limit 5
  apograph journal verify backup/2026-11-21")]
pub(crate) struct Journal {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The segments, with their sequences and times
    List(Place),
    /// The entries: what was changed, by whom, when
    Show(show::Show),
    /// Check every byte: hashes, chains, checksums, the acknowledged position
    Verify(Place),
}

/// Where journals are.
#[derive(Debug, Args)]
struct Place {
    /// A journal folder, or a folder above some
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Journal {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        match self.what {
            What::List(place) => list::run(global, &place.dir),
            What::Show(show) => show.run(global),
            What::Verify(place) => verify::run(global, &place.dir),
        }
    }
}

impl From<IoFailure> for Failure {
    fn from(error: IoFailure) -> Failure {
        Failure::local("the journal cannot be read", error)
    }
}
