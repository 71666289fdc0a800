//! `apograph pause`.

use clap::Args;

use super::links;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Pause the link of a copy, until it is resumed
#[derive(Debug, Args)]
#[command(after_help = "\
The copy serves what it has, and takes nothing more. It stays paused when its server is started again. What is being
installed comes to its end first. Meanwhile the source keeps its journal as far as its retention lets it: `status` says
how long the copy may be away.

Needs a token of the role admin, and is told to the server of the copy.

Example:
  apograph pause --server http://127.0.0.1:7701")]
pub(crate) struct Pause {}

impl Pause {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let link = global.client()?.pause(&global.database).await?;
        Printer::new(global.output).value(&link, links::in_words)
    }
}
