//! `apograph trash`.

use apograph_client::types::Operation;
use clap::Args;

use super::operation::{Subject, commit};
use crate::arguments::Global;
use crate::failure::Failure;

/// Put a document into the trash: it is neither listed nor live, and can be restored
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  apograph trash /news/opening")]
pub(crate) struct Trash {
    #[command(flatten)]
    subject: Subject,
}

impl Trash {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        commit(global, Operation::Trash(self.subject.target()), &self.subject).await
    }
}
