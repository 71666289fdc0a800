//! One import: a thread reads git and sends; this task takes the answers.
//!
//! - The cursor moves with every transaction, in the same commit, and only from where this import believes it to be:
//!   no commit arrives twice, and two imports of one repository stop each other.
//! - An answer that never came changes nothing: the next run asks the cursor.
//! - Memory: the planner's documents, the lines on their way, and one commit's contents.

use apograph_client::Client;
use apograph_client::client::{BulkAnswers, BulkSender};
use apograph_client::types::{BulkAnswer, TransactionAnswer, TransactionRequest};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::sync::mpsc;

use super::git::{GitError, Import, ImportError, MainLine, Oid, Repository, Skipped};
use super::joined;
use super::transaction::{COMMIT_BYTES_MAX, RequestError, Requests};
use crate::failure::Failure;

/// Content bytes of one commit above which it travels alone, so that few large lines are in memory at once.
const ALONE_BYTES: u64 = 4 << 20;
/// Answers that may be owed: enough for the server to sync many transactions at once.
const OWED_MAX: usize = 512;
/// Skipped files that are listed; more are counted.
const SKIPPED_MAX: usize = 1000;

/// What to import, and where to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) client: Client,
    pub(crate) database: String,
    pub(crate) repository: Repository,
    pub(crate) main_line: MainLine,
    /// Goes before every URI; empty, or `/x`.
    pub(crate) prefix: String,
}

/// What an import did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// The branch.
    pub(crate) branch: String,
    /// The cursor that remembers where it stands.
    pub(crate) cursor: String,
    /// Commits of the branch.
    pub(crate) commits_total: u64,
    /// Commits that were there before.
    pub(crate) commits_before: u64,
    /// Commits that arrived.
    pub(crate) commits: u64,
    /// Operations in them.
    pub(crate) operations: u64,
    /// Bytes of contents in them.
    pub(crate) content_bytes: u64,
    /// Token of the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// Files that were left out, the first thousand.
    pub(crate) skipped: Vec<SkippedFile>,
    /// How many were left out.
    pub(crate) skipped_total: u64,
}

/// A file that was left out.
#[derive(Debug, Serialize)]
pub(crate) struct SkippedFile {
    pub(crate) commit: String,
    pub(crate) path: String,
    pub(crate) reason: String,
}

/// What the reading thread knows of a transaction that its answer does not say.
struct Sent {
    content_bytes: u64,
    skipped: Vec<Skipped>,
}

/// Where the reading thread stopped, and what it needs to go on.
struct Stop {
    import: Import,
    requests: Requests,
    why: Why,
}

enum Why {
    /// There are no more commits.
    End,
    /// The server takes no more; its answer says why.
    Closed,
    /// The next one travels alone.
    Large(Box<TransactionRequest>, Sent),
}

impl Run {
    /// Imports what is not there yet.
    pub(crate) async fn run(self, bar: &ProgressBar) -> Result<Summary, Failure> {
        let cursor = self.cursor();
        let position = self.client.cursor(&self.database, &cursor).await?.position;
        let mut summary = Summary {
            branch: self.main_line.branch.clone(),
            cursor: cursor.clone(),
            commits_total: self.main_line.commits,
            ..Summary::default()
        };
        if position.as_deref() == Some(self.main_line.head.as_str()) {
            summary.commits_before = summary.commits_total;
            return Ok(summary);
        }
        bar.set_message("reading the history");
        let (import, requests) = self.start(cursor, position).await?;
        summary.commits_before = import.passed();
        bar.set_position(summary.commits_before);
        bar.reset_eta();
        bar.set_message("importing");
        let outcome = self.transfer(import, requests, &mut summary, bar).await;
        let done = summary.commits_before + summary.commits;
        outcome.map_err(|source| Failure::Import { done, what: "commits", source: Box::new(source) })?;
        Ok(summary)
    }

    /// One per repository, branch and place.
    fn cursor(&self) -> String {
        let MainLine { root, branch, .. } = &self.main_line;
        match self.prefix.as_str() {
            "" => format!("git:{root}:{branch}"),
            prefix => format!("git:{root}:{branch}:{prefix}"),
        }
    }

    async fn start(&self, cursor: String, position: Option<String>) -> Result<(Import, Requests), Failure> {
        let foreign = |text: &str| {
            Failure::local(format!("the cursor {cursor} stands at {text:?}"), "that is no commit of git")
        };
        let after = match &position {
            None => None,
            Some(text) => Some(Oid::parse(text).ok_or_else(|| foreign(text))?),
        };
        let (repository, main_line) = (self.repository.clone(), self.main_line.clone());
        let started = move || Import::start(&repository, &main_line, after.as_ref());
        let import =
            joined(tokio::task::spawn_blocking(started).await)??.with_blob_bytes_max(COMMIT_BYTES_MAX);
        Ok((import, Requests { prefix: self.prefix.clone(), cursor, previous: position }))
    }

    /// One bulk request after another, with the large transactions between them.
    async fn transfer(
        &self,
        mut import: Import,
        mut requests: Requests,
        summary: &mut Summary,
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        loop {
            let (sender, answers) = self.client.bulk(&self.database);
            let (teller, told) = mpsc::channel(OWED_MAX);
            let reading = tokio::task::spawn_blocking(move || read(import, requests, &sender, &teller));
            let taken = take(answers, told, summary, bar).await;
            let stop = joined(reading.await)?;
            // When the server refused, that is why the reading stopped.
            taken?;
            let stop = stop?;
            match stop.why {
                Why::End => return Ok(()),
                Why::Closed => {
                    return Err(Failure::local("the server ended the transfer", "it did not say why"));
                }
                Why::Large(request, sent) => {
                    summary.add(self.client.commit(&self.database, &request).await?, sent, bar);
                }
            }
            (import, requests) = (stop.import, stop.requests);
        }
    }
}

/// The reading thread: sends until the end, a refusal, or a transaction that travels alone.
fn read(
    mut import: Import,
    mut requests: Requests,
    sender: &BulkSender,
    teller: &mpsc::Sender<Sent>,
) -> Result<Stop, RequestError> {
    let why = loop {
        let Some(planned) = import.next()? else { break Why::End };
        let (request, content_bytes) = requests.request(&mut import, &planned)?;
        let sent = Sent { content_bytes, skipped: planned.skipped };
        if content_bytes > ALONE_BYTES {
            break Why::Large(Box::new(request), sent);
        }
        if sender.blocking_send(&request).is_err() || teller.blocking_send(sent).is_err() {
            break Why::Closed;
        }
    };
    Ok(Stop { import, requests, why })
}

/// Takes the answers of one bulk request; each has its `Sent`.
async fn take(
    mut answers: BulkAnswers,
    mut told: mpsc::Receiver<Sent>,
    summary: &mut Summary,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    while let Some(answer) = answers.next().await? {
        match answer {
            BulkAnswer::Refused(problem) => {
                return Err(Failure::Client(apograph_client::ClientError::Problem(problem)));
            }
            BulkAnswer::Committed(answer) => {
                if let Some(sent) = told.recv().await {
                    summary.add(answer, sent, bar);
                }
            }
        }
    }
    Ok(())
}

impl Summary {
    fn add(&mut self, answer: TransactionAnswer, sent: Sent, bar: &ProgressBar) {
        self.commits += 1;
        self.operations += answer.results.len() as u64;
        self.content_bytes += sent.content_bytes;
        self.token = Some(answer.token.to_string());
        self.skipped_total += sent.skipped.len() as u64;
        for skipped in sent.skipped {
            if self.skipped.len() < SKIPPED_MAX {
                self.skipped.push(SkippedFile {
                    commit: skipped.commit.to_string(),
                    path: skipped.path,
                    reason: skipped.reason.to_string(),
                });
            }
        }
        bar.inc(1);
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Failure {
        Failure::from(ImportError::from(error))
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Failure {
        match error {
            RequestError::Import(error) => error.into(),
            error => Failure::local("the repository cannot be imported", error),
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Failure {
        let next = match &error {
            ImportError::HistoryRewritten { .. } => Some(
                "import into another place with --prefix, or into an empty database: a rewritten history is another one"
                    .to_owned(),
            ),
            _ => None,
        };
        Failure::Local { what: "the repository cannot be imported".to_owned(), source: Box::new(error), next }
    }
}
