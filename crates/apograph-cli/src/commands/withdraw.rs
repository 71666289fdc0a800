//! `apograph withdraw`.

use apograph_client::types::Operation;
use clap::Args;

use super::operation::{Subject, commit};
use crate::arguments::Global;
use crate::failure::Failure;

/// Take the live version back: readers of the published view no longer see the document
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  apograph withdraw /news/opening -m 'the date is wrong'")]
pub(crate) struct Withdraw {
    #[command(flatten)]
    subject: Subject,
}

impl Withdraw {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        commit(global, Operation::Withdraw(self.subject.target()), &self.subject).await
    }
}
