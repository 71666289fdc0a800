//! `apograph move`.

use apograph_client::format::Uri;
use apograph_client::types::{self, Operation};
use clap::Args;

use super::operation::{Subject, commit};
use crate::arguments::Global;
use crate::failure::Failure;

/// Continue a document under another URI; its history goes with it
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  apograph move /news/opening /archive/2026/opening")]
pub(crate) struct Move {
    #[command(flatten)]
    subject: Subject,
    /// Its new URI
    #[arg(value_name = "NEW_URI")]
    to: Uri,
}

impl Move {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let r#move = types::Move { target: self.subject.target(), to: self.to.to_string() };
        commit(global, Operation::Move(r#move), &self.subject).await
    }
}
