//! The commands, one file each.

mod documents;
mod failover_runs;
mod speed;
mod sync_runs;

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Documents(documents::Load),
    SyncRuns(sync_runs::SyncRuns),
    FailoverRuns(failover_runs::FailoverRuns),
    Speed(speed::Speed),
    Floor(speed::Floor),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}
