//! `apograph orphans`.

use std::path::{Path, PathBuf};

use apograph_client::format::Token;
use apograph_client::types::{
    ChangeOutcome, OrphanRestored, OrphanVersionView, OrphanView, RestoreAnswer, RestoreDone, RestoreOutcome,
    RestoreRequest,
};
use apograph_client::{Client, ClientError, Secret};
use clap::{Args, Subcommand};

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// What a lost primary had acknowledged and no other server ever got
#[derive(Debug, Args)]
#[command(after_help = "\
A primary that was replaced keeps such transactions aside when it comes back as a replica: they are no part of the database
any more, and nothing removes them by itself. Told to the server that came back; needs a token of the role admin.

`restore` gives them back to the primary, in their order, each as a transaction. A document that nobody changed since stands
as its author had left it. One that was changed since keeps what it has; the lost text becomes a version beside it. What was
purged since stays purged. Nothing is overwritten, and nothing comes twice: ask again after an interruption.

Examples:
  apograph orphans list --server http://127.0.0.1:7700
  apograph orphans show 3.1795324557509895 --server http://127.0.0.1:7700
  apograph orphans restore --all --primary-token-file primary-admin.token --server http://127.0.0.1:7700
  apograph orphans restore 3.1795324557509895 --primary-token-file primary-admin.token --server http://127.0.0.1:7700
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
    /// Bring them back to the primary, as new versions; exit status 3 if one of them could not come back
    Restore {
        /// Which, as `list` says
        #[arg(value_name = "TOKEN", required_unless_present = "all", conflicts_with = "all")]
        tokens: Vec<Token>,
        /// All of them
        #[arg(long)]
        all: bool,
        /// File with a token of the primary, of the role admin; not needed where this server is the primary itself
        #[arg(long, value_name = "FILE")]
        primary_token_file: Option<PathBuf>,
        /// Where the primary answers, if this server does not know
        #[arg(long, value_name = "URL")]
        primary: Option<String>,
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
                    printer.note(&none(after));
                }
                orphans.iter().try_for_each(|orphan| printer.value(orphan, in_words))
            }
            Verb::Show { token } => {
                let versions = client.orphan(&global.database, token.timestamp).await?;
                versions.iter().try_for_each(|version| printer.value(version, version_in_words))
            }
            Verb::Restore { tokens, all: _, primary_token_file, primary } => {
                let primary_token = primary_token_file.as_deref().map(token_in).transpose()?;
                let request = RestoreRequest { tokens, primary_url: primary, primary_token };
                restore(global, &client, &printer, &request).await
            }
            Verb::Discard { all: _ } => {
                let gone = client.discard_orphans(&global.database).await?;
                printer.value(&gone, |gone| format!("{} orphans are gone\n", gone.discarded))
            }
        }
    }
}

/// The text goes to the server that is asked; it must be as private as any token.
fn token_in(file: &Path) -> Result<String, Failure> {
    Secret::from_file(file)?;
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::local(format!("{} cannot be read", file.display()), error))?;
    Ok(text.trim().to_owned())
}

/// What it means that there are none, and where else to look.
fn none(after: u64) -> String {
    if after > 0 {
        return format!("there are none behind {after}");
    }
    "this server keeps none. A primary that was replaced keeps what only it had, once it came back as a replica and \
     synchronized: ask that one"
        .to_owned()
}

/// Asks, and tells of each as it comes.
async fn restore(
    global: &Global,
    client: &Client,
    printer: &Printer,
    request: &RestoreRequest,
) -> Result<(), Failure> {
    let mut answers = client.restore_orphans(&global.database, request).await?;
    while let Some(answer) = answers.next().await? {
        match answer {
            RestoreAnswer::Orphan(orphan) => printer.value(&orphan, restored_in_words)?,
            RestoreAnswer::Refused(problem) => return Err(ClientError::Problem(problem).into()),
            RestoreAnswer::Done(done) => {
                let count = done.restored + done.already + done.refused;
                printer.note(&if count == 0 { none(0) } else { done_in_words(&done) });
                return if done.refused == 0 { Ok(()) } else { Err(Failure::Blocked) };
            }
        }
    }
    Ok(())
}

fn done_in_words(done: &RestoreDone) -> String {
    let mut text = format!("{} came back", done.restored);
    for (count, what) in [
        (done.already, ", before that"),
        (done.refused, ", did not come back"),
        (done.beside, "; texts beside what was saved since"),
        (done.left, "; changes left out"),
    ] {
        if count > 0 {
            text.push_str(&format!("{what}: {count}"));
        }
    }
    text
}

fn restored_in_words(orphan: &OrphanRestored) -> String {
    let restored = orphan.restored.map(|token| format!(" as {token}")).unwrap_or_default();
    let reason = orphan.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let outcome = match orphan.outcome {
        RestoreOutcome::Restored => "came back",
        RestoreOutcome::Already => "had come back before",
        RestoreOutcome::Refused => "did NOT come back",
    };
    let mut text = format!("{}  {outcome}{restored}{reason}\n", orphan.token);
    for change in &orphan.documents {
        let number = change.version.map(|version| version.to_string()).unwrap_or_default();
        let outcome = match change.outcome {
            ChangeOutcome::Current => String::new(),
            ChangeOutcome::Beside => {
                format!("  it was changed since: the text is version {number}, beside it")
            }
            ChangeOutcome::There => format!("  the same text is there as version {number}"),
            ChangeOutcome::Left => {
                format!("  left out: {}", change.reason.as_deref().unwrap_or("it was changed since"))
            }
        };
        text.push_str(&format!("            {} {}{outcome}\n", change.operation, change.uri));
    }
    text
}

fn in_words(orphan: &OrphanView) -> String {
    let whole = if orphan.is_whole { "" } else { "  (parts of it are missing)" };
    let restored = orphan.restored.map(|token| format!("  (came back as {token})")).unwrap_or_default();
    let mut text = format!(
        "{}  {}  {}: {}{whole}{restored}\n",
        orphan.token, orphan.time, orphan.author, orphan.comment
    );
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
