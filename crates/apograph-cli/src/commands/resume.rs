//! `apograph resume`.

use clap::Args;

use super::links;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Let the link of a copy go on: after a pause, or at once when it waits or is stopped
#[derive(Debug, Args)]
#[command(after_help = "\
It goes on where it was: it follows if the source's journal still reaches back to where the copy is, and synchronizes
otherwise. A link that waits, or is stopped, asks its source at once.

Needs a token of the role admin, and is told to the server of the copy.

Example:
  apograph resume --server http://127.0.0.1:7701")]
pub(crate) struct Resume {}

impl Resume {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let link = global.client()?.resume(&global.database).await?;
        Printer::new(global.output).value(&link, links::in_words)
    }
}
