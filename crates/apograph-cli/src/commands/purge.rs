//! `apograph purge`.

use std::io::{BufRead, IsTerminal, Write};

use apograph_client::types::Operation;
use clap::Args;

use super::operation::{Subject, commit};
use crate::arguments::Global;
use crate::failure::Failure;

/// Erase a document and its history, on every server, in journals too. Nothing brings it back
#[derive(Debug, Args)]
#[command(after_help = "\
On a terminal it asks first. Needs a token of the role admin.

Example:
  apograph purge /people/j-doe --yes -m 'erasure request 118'")]
pub(crate) struct Purge {
    #[command(flatten)]
    subject: Subject,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Purge {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        if !self.yes && !self.confirmed()? {
            return Err(Failure::Usage(
                "nothing was purged; confirm with the document's URI, or give --yes".into(),
            ));
        }
        commit(global, Operation::Purge(self.subject.target()), &self.subject).await
    }

    /// Typing the URI confirms. Without a terminal nobody can.
    fn confirmed(&self) -> Result<bool, Failure> {
        if !std::io::stdin().is_terminal() {
            return Ok(false);
        }
        let asked = "the terminal cannot be used";
        let question = format!("Erase {} and its history on every server? Type its URI: ", self.subject.uri);
        let mut err = std::io::stderr();
        err.write_all(question.as_bytes()).map_err(|error| Failure::local(asked, error))?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(|error| Failure::local(asked, error))?;
        Ok(line.trim() == self.subject.uri.as_str())
    }
}
