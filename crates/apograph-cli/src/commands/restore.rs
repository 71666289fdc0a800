//! `apograph restore`.

use apograph_client::types::Operation;
use clap::Args;

use super::operation::{Subject, commit};
use crate::arguments::Global;
use crate::failure::Failure;

/// Take a document out of the trash, as a working version
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  apograph restore /news/opening")]
pub(crate) struct Restore {
    #[command(flatten)]
    subject: Subject,
}

impl Restore {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        commit(global, Operation::Restore(self.subject.target()), &self.subject).await
    }
}
