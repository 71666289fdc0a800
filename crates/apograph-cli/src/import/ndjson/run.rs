//! One import: a thread reads the file and sends it; this task takes the answers.
//!
//! - Nothing is sent before the whole file was found sound, and the server said that it would take it.
//! - The server moves the cursor with every transaction: an import that was interrupted goes on where it stands, and two
//!   imports of one export stop each other.
//! - Memory: a few pieces of the file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::time::Duration;

use apograph::import::{ImportPosition, OpenDocument};
use apograph_client::client::ImportSender;
use apograph_client::format::View;
use apograph_client::types::{ImportAnswer, ImportDone, ImportQuery};
use apograph_client::{Client, ClientError};
use bytes::Bytes;
use serde::Serialize;

use super::ExportFile;
use super::file::Contents;
use crate::arguments::OutputFormat;
use crate::failure::Failure;
use crate::import::joined;
use crate::progress;

/// Sent at once.
const PIECE_BYTES: usize = 256 << 10;
/// What an import that was interrupted had handed over lands within this time.
const CURSOR_TRIES: u32 = 50;
const CURSOR_PAUSE: Duration = Duration::from_millis(100);

/// What to import, and where to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) client: Client,
    pub(crate) database: String,
    pub(crate) file: ExportFile,
    pub(crate) dry_run: bool,
}

/// What an import did, or would do.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// The file.
    pub(crate) file: String,
    /// The cursor that remembers where it stands.
    pub(crate) cursor: String,
    /// Nothing was loaded, only checked.
    pub(crate) dry_run: bool,
    /// What the export holds; known when it was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) view: Option<View>,
    /// Documents of the export.
    pub(crate) documents_total: u64,
    /// Versions of the export.
    pub(crate) versions_total: u64,
    /// Versions that were loaded before.
    pub(crate) versions_before: u64,
    /// Documents that arrived, or would.
    pub(crate) documents: u64,
    /// Versions that arrived, or would.
    pub(crate) versions: u64,
    /// Bytes of contents in them.
    pub(crate) content_bytes: u64,
    /// Transactions.
    pub(crate) transactions: u64,
    /// Token of the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// Documents that were left out: the first thousand.
    pub(crate) left_out: Vec<String>,
    /// How many.
    pub(crate) left_out_total: u64,
    /// Documents that were purged while the export was made, and come as purged: the first thousand.
    pub(crate) purged_meanwhile: Vec<String>,
    /// How many.
    pub(crate) purged_meanwhile_total: u64,
    /// Documents of which the export lacks older versions: the first thousand.
    pub(crate) cut: Vec<String>,
    /// How many.
    pub(crate) cut_total: u64,
}

impl Run {
    /// Loads what is not there yet, or only checks.
    pub(crate) async fn run(self, output: OutputFormat) -> Result<Summary, Failure> {
        let mut summary = Summary {
            file: self.file.path.display().to_string(),
            cursor: self.file.cursor(),
            dry_run: self.dry_run,
            documents_total: self.file.end.documents,
            versions_total: self.file.end.versions,
            ..Summary::default()
        };
        let mut position = self.ask().await?;
        if self.dry_run || position.is_none() {
            let contents = self.check(output).await?;
            summary.view = contents.view;
            if self.dry_run {
                summary.plan(contents, position.as_ref());
                return Ok(summary);
            }
        }
        for tries in 0.. {
            let versions_before = position.map_or(0, |position| position.versions);
            summary.versions_before = versions_before;
            if position.is_some_and(|position| position.open == OpenDocument::End) {
                break;
            }
            match self.transfer(position, output).await {
                Ok(done) => {
                    summary.add(done);
                    break;
                }
                // What a run before handed over landed only now.
                Err((0, failure)) if tries < CURSOR_TRIES && is_cursor(&failure) => {
                    position = self.ask().await?;
                }
                Err((versions, source)) => {
                    let (done, source) = (versions.max(versions_before), Box::new(source));
                    return Err(Failure::Import { done, what: "versions", source });
                }
            }
        }
        Ok(summary)
    }

    /// Where the cursor stands, if the server will go on from there.
    async fn ask(&self) -> Result<Option<ImportPosition>, Failure> {
        let mut tries = 0;
        loop {
            let cursor = self.client.cursor(&self.database, &self.file.cursor()).await?;
            let position: Option<ImportPosition> = match &cursor.position {
                None => None,
                Some(text) => Some(text.parse().map_err(|error| {
                    Failure::local(format!("the cursor {} stands at no place", cursor.name), error)
                })?),
            };
            if position.is_some_and(|position| position.open == OpenDocument::End) {
                return Ok(position);
            }
            let query = ImportQuery { dry_run: true, ..self.query(position) };
            let (sender, mut answers) = self.client.import(&self.database, &query);
            drop(sender);
            match answers.next().await {
                Ok(_) => return Ok(position),
                Err(error) => {
                    let failure = Failure::from(error);
                    tries += 1;
                    if !is_cursor(&failure) || tries > CURSOR_TRIES {
                        return Err(failure);
                    }
                    tokio::time::sleep(CURSOR_PAUSE).await;
                }
            }
        }
    }

    fn query(&self, position: Option<ImportPosition>) -> ImportQuery {
        let from = position.map(|position| position.to_string());
        ImportQuery { cursor: self.file.cursor(), from, dry_run: false }
    }

    async fn check(&self, output: OutputFormat) -> Result<Contents, Failure> {
        let bar = progress::bytes(output, "checking", Some(self.file.bytes));
        let (file, checking) = (self.file.clone(), bar.clone());
        let contents = joined(tokio::task::spawn_blocking(move || file.check(&checking)).await);
        bar.finish_and_clear();
        contents?
    }

    /// Sends the file from `position` on. A failure comes with the versions that are there by then.
    async fn transfer(
        &self,
        position: Option<ImportPosition>,
        output: OutputFormat,
    ) -> Result<ImportDone, (u64, Failure)> {
        let bar = progress::bytes(output, "importing", Some(self.file.bytes));
        bar.set_position(position.map_or(0, |position| position.offset));
        bar.reset_eta();
        let (sender, mut answers) = self.client.import(&self.database, &self.query(position));
        let file = self.file.clone();
        let sending = tokio::task::spawn_blocking(move || send(&file, position, &sender));
        let mut versions = 0;
        let outcome = loop {
            match answers.next().await {
                Ok(Some(ImportAnswer::Progress(progress))) => {
                    versions = progress.versions;
                    bar.set_position(progress.bytes);
                }
                Ok(Some(ImportAnswer::Done(done))) => break Ok(done),
                Ok(Some(ImportAnswer::Refused(problem))) => {
                    break Err(Failure::Client(ClientError::Problem(problem)));
                }
                Ok(None) => {
                    break Err(Failure::local("the server ended the transfer", "it did not say why"));
                }
                Err(error) => break Err(error.into()),
            }
        };
        bar.finish_and_clear();
        drop(answers);
        let sent = joined(sending.await).and_then(|sent| sent);
        match (outcome, sent) {
            (Ok(done), _) => Ok(done),
            // A file that cannot be read is why the server missed something.
            (Err(_), Err(failure)) | (Err(failure), Ok(())) => Err((versions, failure)),
        }
    }
}

/// The cursor stands elsewhere.
fn is_cursor(failure: &Failure) -> bool {
    matches!(failure, Failure::Client(ClientError::Problem(problem)) if problem.code == "cursor")
}

/// The sending thread: until the end of the file, or until the server takes no more.
fn send(file: &ExportFile, position: Option<ImportPosition>, sender: &ImportSender) -> Result<(), Failure> {
    let failed = || Failure::file(&file.path);
    let position = position.unwrap_or_default();
    let mut again = Vec::new();
    if position.line > 0 {
        again.push(0);
    }
    if let OpenDocument::At { offset, .. } = position.open {
        again.push(offset);
    }
    for offset in again {
        let line = file.line_at(offset).map_err(failed())?;
        if !sender.blocking_send(line.into()) {
            return Ok(());
        }
    }
    let mut rest = File::open(&file.path).map_err(failed())?;
    rest.seek(SeekFrom::Start(position.offset)).map_err(failed())?;
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        (&mut rest).take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(failed())?;
        if piece.is_empty() || !sender.blocking_send(Bytes::from(piece)) {
            return Ok(());
        }
    }
}

impl Summary {
    fn plan(&mut self, contents: Contents, position: Option<&ImportPosition>) {
        let position = position.copied().unwrap_or_default();
        self.documents = self.documents_total.saturating_sub(position.documents);
        self.versions = self.versions_total.saturating_sub(position.versions);
        self.content_bytes = contents.content_bytes;
        self.left_out = contents.left_out;
        self.left_out_total = contents.left_out_total;
        self.purged_meanwhile = contents.purged_meanwhile;
        self.purged_meanwhile_total = contents.purged_meanwhile_total;
        self.cut = contents.cut;
        self.cut_total = contents.cut_total;
    }

    fn add(&mut self, done: ImportDone) {
        let texts = |uris: Vec<apograph_client::format::Uri>| uris.iter().map(ToString::to_string).collect();
        self.documents = done.documents;
        self.versions = done.versions;
        self.content_bytes = done.content_bytes;
        self.transactions = done.transactions;
        self.token = done.token.map(|token| token.to_string());
        self.left_out = texts(done.left_out);
        self.left_out_total = done.left_out_total;
        self.purged_meanwhile = texts(done.purged_meanwhile);
        self.purged_meanwhile_total = done.purged_meanwhile_total;
        self.cut = texts(done.cut);
        self.cut_total = done.cut_total;
    }

    /// For people.
    pub(crate) fn in_words(&self) -> String {
        let held = format!("{} documents, {} versions", self.documents_total, self.versions_total);
        let mut text = match (self.dry_run, self.transactions) {
            (true, _) => format!(
                "{}: sound; {held}, {} bytes of contents; the database would take {} versions more\n",
                self.file, self.content_bytes, self.versions
            ),
            (false, 0) => format!("{}: {held} are there, nothing was new\n", self.file),
            (false, transactions) => format!(
                "{}: {held}; loaded {} documents, {} versions, {} bytes of contents in {transactions} transactions{}\n",
                self.file,
                self.documents,
                self.versions,
                self.content_bytes,
                match self.versions_before {
                    0 => String::new(),
                    before => format!(", {before} versions before"),
                }
            ),
        };
        if let Some(token) = &self.token {
            text.push_str(&format!("token {token}\n"));
        }
        for (what, listed, total) in [
            (
                "left out, because they name the servers of another database",
                &self.left_out,
                self.left_out_total,
            ),
            (
                "purged while the export was made, and purged here",
                &self.purged_meanwhile,
                self.purged_meanwhile_total,
            ),
            ("without older versions, which the export lacks", &self.cut, self.cut_total),
        ] {
            if total > 0 {
                text.push_str(&format!("{what}: {total} documents\n"));
            }
            for uri in listed {
                text.push_str(&format!("  {uri}\n"));
            }
            if total > listed.len() as u64 {
                text.push_str("  and more\n");
            }
        }
        text
    }
}
