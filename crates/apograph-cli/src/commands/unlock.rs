//! `apograph unlock`.

use apograph_client::types::Operation;
use clap::Args;

use super::operation::{Subject, commit};
use crate::arguments::Global;
use crate::failure::Failure;

/// Let others change the document again
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  apograph unlock /news/opening")]
pub(crate) struct Unlock {
    #[command(flatten)]
    subject: Subject,
}

impl Unlock {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        commit(global, Operation::Unlock(self.subject.target()), &self.subject).await
    }
}
