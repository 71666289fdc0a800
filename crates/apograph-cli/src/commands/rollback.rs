//! `apograph rollback`.

use std::io::{BufRead, IsTerminal, Write};

use apograph_client::ClientError;
use apograph_client::client::RollbackAnswers;
use apograph_client::format::Timestamp;
use apograph_client::types::{
    RollbackAnswer, RollbackDocument, RollbackDone, RollbackOutcome, RollbackQuery, RollbackRequest,
    RollbackStanding,
};
use clap::Args;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::progress;

/// Make the state of an earlier moment the current one
#[derive(Debug, Args)]
#[command(after_help = "\
Texts that stand no more are saved again as new versions, what was live is live again, what was not there goes to the trash;
history keeps what stood in between. Copies follow it like any edit, and `rollback --to` the moment before takes it back; the
answer names it. What was purged since cannot come back, and is listed. Documents of servers stay, and so do locks.

Writes wait meanwhile. What fits, some ten thousand documents, is one transaction; more than that becomes several, and readers
see them one after the other. Ask again after an interruption: it goes on.

On a terminal it asks first. Needs a token of the role admin, and is told to the primary; with --dry-run, to any full copy.
Exit status 3 if a document cannot become what it was.

Examples:
  apograph rollback --to 2026-11-22T08:00:00Z --dry-run
  apograph rollback --to 1795337552362369 --yes -m 'the importer went mad'")]
pub(crate) struct Rollback {
    /// To when: a commit timestamp or an RFC 3339 time, within the history that the server keeps
    #[arg(long, value_name = "TIMESTAMP")]
    to: Timestamp,
    /// Only list the documents that would change, and the versions that would be saved
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Why, for the journal and the versions that are saved
    #[arg(long, short = 'm', value_name = "TEXT", conflicts_with = "dry_run")]
    comment: Option<String>,
    /// At most so many documents in one transaction: small ones for copies on slow lines
    #[arg(long, value_name = "N", conflicts_with = "dry_run", value_parser = clap::value_parser!(u32).range(1..))]
    documents_max: Option<u32>,
}

impl Rollback {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let (client, printer) = (global.client()?, Printer::new(global.output));
        if self.dry_run {
            let query = RollbackQuery { to: self.to.to_string(), ..RollbackQuery::default() };
            let answers = client.rollback_preview(&global.database, &query).await?;
            return tell(global, printer, answers, true).await;
        }
        if !self.yes && !self.confirmed(global)? {
            let text = "nothing was rolled back; confirm with the database's name, or give --yes";
            return Err(Failure::Usage(text.into()));
        }
        let request = RollbackRequest {
            to: self.to.to_string(),
            comment: self.comment,
            documents_max: self.documents_max.map(|max| max as usize),
        };
        let answers = client.roll_back(&global.database, &request).await?;
        tell(global, printer, answers, false).await
    }

    /// Typing the database's name confirms. Without a terminal nobody can.
    fn confirmed(&self, global: &Global) -> Result<bool, Failure> {
        if !std::io::stdin().is_terminal() {
            return Ok(false);
        }
        let asked = "the terminal cannot be used";
        let (database, to) = (&global.database, self.to.to_rfc3339());
        let question = format!(
            "Roll {database} at {} back to {to}? `--dry-run` lists what that changes. Type the database's name: ",
            global.server
        );
        let mut err = std::io::stderr();
        err.write_all(question.as_bytes()).map_err(|error| Failure::local(asked, error))?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(|error| Failure::local(asked, error))?;
        Ok(line.trim() == database)
    }
}

async fn tell(
    global: &Global,
    printer: Printer,
    mut answers: RollbackAnswers,
    dry_run: bool,
) -> Result<(), Failure> {
    let bar = progress::count(global.output, "documents rolled back", None);
    while let Some(answer) = answers.next().await? {
        match answer {
            RollbackAnswer::Document(document) => printer.value(&document, document_in_words)?,
            RollbackAnswer::Progress(so_far) => bar.set_position(so_far.documents),
            RollbackAnswer::Refused(problem) => return Err(ClientError::Problem(problem).into()),
            RollbackAnswer::Done(done) => {
                bar.finish_and_clear();
                printer.value(&done, |done| done_in_words(done, dry_run))?;
                return if done.progress.lost == 0 { Ok(()) } else { Err(Failure::Blocked) };
            }
        }
    }
    Ok(())
}

fn document_in_words(document: &RollbackDocument) -> String {
    let now = standing(&document.now);
    let text = document.text_of.map(|of| format!(", with the text of version {of}")).unwrap_or_default();
    let reason = document.reason.as_deref().map(|reason| format!("  {reason}")).unwrap_or_default();
    let then = match (&document.then, document.outcome) {
        (Some(then), RollbackOutcome::Back) => format!(" -> {}{text}", standing(then)),
        (Some(_), RollbackOutcome::Trashed) => " -> trashed: it was not there".to_owned(),
        (Some(_), RollbackOutcome::Lost) => " -> trashed: it began later".to_owned(),
        (None, _) => String::new(),
    };
    let word = if document.outcome == RollbackOutcome::Lost { "LOST  " } else { "" };
    format!("{word}{}  {now}{then}{reason}\n", document.uri)
}

/// Such as `published-with-changes 3, live 2`.
fn standing(of: &RollbackStanding) -> String {
    let version = of.version.map(|version| format!(" {version}")).unwrap_or_default();
    let live = of.live.filter(|live| Some(*live) != of.version);
    let live = live.map(|live| format!(", live {live}")).unwrap_or_default();
    format!("{}{version}{live}", of.state)
}

fn done_in_words(done: &RollbackDone, dry_run: bool) -> String {
    let so_far = &done.progress;
    let mut text = match (dry_run, so_far.documents) {
        (true, _) => format!("to {} ({})\n", done.to.to_rfc3339(), done.to),
        (false, 0) if so_far.lost > 0 => {
            format!("nothing more goes back to {} ({})\n", done.to.to_rfc3339(), done.to)
        }
        (false, 0) => format!("everything stands as it stood at {} ({})\n", done.to.to_rfc3339(), done.to),
        (false, _) => format!("rolled back to {} ({})\n", done.to.to_rfc3339(), done.to),
    };
    let (verb, be) = if dry_run { ("would change", "would be") } else { ("changed", "") };
    let be = if be.is_empty() { String::new() } else { format!("{be} ") };
    text.push_str(&format!(
        "  documents  {} {verb}: {} {be}saved again, {} {be}moved to the trash\n",
        so_far.documents, so_far.saved, so_far.trashed
    ));
    if so_far.lost > 0 {
        text.push_str(&format!("  lost       {} cannot become what they were\n", so_far.lost));
    }
    for document in &done.lost {
        text.push_str("    ");
        text.push_str(&document_in_words(document));
    }
    if (done.lost.len() as u64) < so_far.lost && !dry_run {
        text.push_str("    and more: --dry-run lists all\n");
    }
    if let Some(token) = &so_far.token {
        text.push_str(&match so_far.transactions {
            1 => format!("  written    one transaction, {token}\n"),
            count => format!("  written    {count} transactions, the last one {token}\n"),
        });
        text.push_str(&format!("  undo       apograph rollback --to {}\n", done.from));
    }
    text
}
