//! `apograph orphans`.

use apograph_client::format::Token;
use apograph_client::types::{OrphanVersionView, OrphanView};
use clap::{Args, Subcommand};

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// What a lost primary had acknowledged and no other server ever got
#[derive(Debug, Args)]
#[command(after_help = "\
A primary that was replaced keeps such transactions aside when it comes back as a replica: they are no part of the database
any more, and nothing removes them by itself. Told to the server that came back; needs a token of the role admin.

Examples:
  apograph orphans list --server http://127.0.0.1:7700
  apograph orphans show 3.1795324557509895 --server http://127.0.0.1:7700
  apograph orphans discard --all --server http://127.0.0.1:7700")]
pub(crate) struct Orphans {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List them: when, whose, which documents
    List {
        /// Only those behind this timestamp
        #[arg(long, value_name = "TIMESTAMP", default_value_t = 0)]
        after: u64,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        limit: u64,
    },
    /// Show the versions that one of them had added, with texts of up to a MiB
    Show {
        /// The token that its author was answered, as `list` says
        #[arg(value_name = "TOKEN")]
        token: Token,
    },
    /// Remove all of them, for ever
    Discard {
        /// All of them: there is no way back
        #[arg(long, required = true)]
        all: bool,
    },
}

impl Orphans {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let (client, printer) = (global.client()?, Printer::new(global.output));
        match self.verb {
            Verb::List { after, limit } => {
                let orphans = client.orphans(&global.database, after, limit).await?;
                if orphans.is_empty() {
                    printer.note("there are none");
                }
                orphans.iter().try_for_each(|orphan| printer.value(orphan, in_words))
            }
            Verb::Show { token } => {
                let versions = client.orphan(&global.database, token.timestamp).await?;
                versions.iter().try_for_each(|version| printer.value(version, version_in_words))
            }
            Verb::Discard { all: _ } => {
                let gone = client.discard_orphans(&global.database).await?;
                printer.value(&gone, |gone| format!("{} orphans are gone\n", gone.discarded))
            }
        }
    }
}

fn in_words(orphan: &OrphanView) -> String {
    let whole = if orphan.is_whole { "" } else { "  (parts of it are missing)" };
    let mut text =
        format!("{}  {}  {}: {}{whole}\n", orphan.token, orphan.time, orphan.author, orphan.comment);
    for change in &orphan.documents {
        text.push_str(&format!("            {} {}\n", change.operation, change.uri));
    }
    text
}

fn version_in_words(version: &OrphanVersionView) -> String {
    let mut text = format!("{}  version {}  {}\n", version.uri, version.version, version.id);
    let Some(properties) = &version.properties else { return text + "  its bytes were erased\n" };
    for (name, value) in
        [("author", &version.author), ("comment", &version.comment), ("type", &version.r#type)]
    {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            text.push_str(&format!("  {name:<10} {value}\n"));
        }
    }
    text.push_str(&format!("  properties {properties}\n"));
    if let Some(bytes) = version.content_bytes {
        let media_type = version.media_type.as_deref().unwrap_or_default();
        text.push_str(&format!("  content    {bytes} bytes, {media_type}\n"));
    }
    if let Some(body) = &version.body {
        text.push_str(body);
        if !body.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}
