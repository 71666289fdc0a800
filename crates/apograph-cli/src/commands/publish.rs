//! `apograph publish`.

use apograph_client::types::{self, Operation};
use clap::Args;

use super::operation::{Subject, commit};
use crate::arguments::Global;
use crate::failure::Failure;

/// Make a version live: staging servers get it, readers of the published view see it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apograph publish /news/opening
  apograph publish /news/opening --version 3     an older version")]
pub(crate) struct Publish {
    #[command(flatten)]
    subject: Subject,
    /// Number of the version; without it, the working version
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}

impl Publish {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let publish = types::Publish { target: self.subject.target(), version: self.version };
        commit(global, Operation::Publish(publish), &self.subject).await
    }
}
