//! `apograph follow`.

use std::path::PathBuf;

use apograph_client::types::{EpochAnswer, FollowRequest};
use clap::Args;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Have a copy follow another server from now on
#[derive(Debug, Args)]
#[command(after_help = "\
For copies whose source is lost or became a replica, and for a former primary that the new one cannot reach. The source is
asked who it is first; nothing is changed if it does not answer, has another database, or knows a lower epoch. A primary
that nobody followed does not become a copy.

The choice is kept in source.json in the data folder, and goes before the source in server.json. Needs a token of the role
admin, and is told to the server of the copy.

Example:
  apograph follow --source http://127.0.0.1:7701 --source-token-file replica.token --server http://127.0.0.1:7702")]
pub(crate) struct Follow {
    /// Where the new source answers
    #[arg(long, value_name = "URL")]
    source: String,
    /// File with a link token of the new source, readable by nobody else; its text is sent to the copy
    #[arg(long, value_name = "FILE")]
    source_token_file: PathBuf,
}

impl Follow {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let file = &self.source_token_file;
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::local(format!("{} cannot be read", file.display()), error))?;
        let request = FollowRequest { url: self.source, token: text.trim().to_owned() };
        let url = request.url.clone();
        let answer = global.client()?.follow(&global.database, &request).await?;
        Printer::new(global.output).value(&answer, |answer| in_words(answer, &url))
    }
}

fn in_words(answer: &EpochAnswer, url: &str) -> String {
    format!("a {} that follows {url}, epoch {}\n", answer.role, answer.epoch)
}
