//! `POST /v1/databases/{db}/orphans/restore`: this server gives back to the primary what it kept, one orphan after the
//! other, and says what became of each.
//!
//! Whoever asks gives a token of the primary: this server's own would not let it write there, and should not. Repeated, it
//! goes on where it was: what came back is remembered here and, in the same transaction, there.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use apograph::database::roles::{KeptOrphan, KeptOrphans, OrphanError};
use apograph::{Database, Role};
use apograph_client::client::{ClientSettings, Secret};
use apograph_client::types::{
    ChangeOutcome, OrphanRestored, Problem, RestoreAnswer, RestoreDone, RestoreOutcome, RestoreRequest,
};
use apograph_client::{Client, ClientError, media_type};
use apograph_format::frame::Frame;
use apograph_format::{Hash, Token};

use super::intake;
use crate::app::App;
use crate::limits::{ORPHANS_ASKED_MAX, RESTORE_ANSWERS_MAX, TRANSACTION_BYTES_MAX};
use crate::problem::{Answer, Code, Refused};
use crate::request::json;
use crate::request::path::InDatabase;
use crate::stream::broken;
use crate::tokens::Principal;

/// Contents that one orphan may name without having brought them.
const CONTENTS_MAX: usize = 1_000;
/// A primary that takes in nothing for so long is given up.
const IDLE: Duration = Duration::from_secs(60);

/// Entries on their way.
type Pieces = Box<dyn Iterator<Item = Result<Bytes, OrphanError>> + Send>;

/// Gives orphans back; answers line by line.
pub(in crate::routes) async fn post(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: RestoreRequest = json::whole(&app, &headers, body, TRANSACTION_BYTES_MAX).await?;
    if asked.tokens.len() > ORPHANS_ASKED_MAX {
        return Err(Code::TooLarge.because(format!("at most {ORPHANS_ASKED_MAX} tokens")));
    }
    let primary = primary(&database, &asked, principal.name)?;
    let wanted: Option<BTreeSet<Token>> =
        (!asked.tokens.is_empty()).then(|| asked.tokens.iter().copied().collect());
    let (reader, tokens) = (database.clone(), wanted.clone());
    let kept = app.blocking(move || reader.kept_orphans(tokens)).await?;
    let (answers, mut waiting) = mpsc::channel(RESTORE_ANSWERS_MAX);
    let restoring = Restoring { app: app.clone(), database, primary, answers, done: RestoreDone::default() };
    app.tasks.spawn(restoring.run(kept, wanted.unwrap_or_default()));
    let lines = stream::poll_fn(move |context| waiting.poll_recv(context)).map(|answer: RestoreAnswer| {
        let mut line = serde_json::to_vec(&answer).unwrap_or_default();
        line.push(b'\n');
        Ok::<Bytes, Infallible>(line.into())
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::NDJSON));
    Ok(response)
}

/// Who takes them.
enum Primary {
    /// This server became the primary again. In whose name.
    Here(String),
    There(Box<Client>),
}

fn primary(database: &Database, asked: &RestoreRequest, author: String) -> Answer<Primary> {
    if database.role() == Role::Primary {
        database.check_writable()?;
        return Ok(Primary::Here(author));
    }
    let invalid = |detail: &str| Code::BodyInvalid.because(detail);
    let token = asked.primary_token.as_deref();
    let token = token.ok_or_else(|| invalid("primary_token: a token of the primary, of the role admin"))?;
    let secret = Secret::new(token).map_err(|error| invalid(&format!("primary_token: {error}")))?;
    let url = asked.primary_url.clone().or_else(|| database.primary_url());
    let url =
        url.ok_or_else(|| invalid("primary_url: this server does not know where the primary answers"))?;
    let settings = ClientSettings {
        secret: Some(secret),
        connect_timeout: Duration::from_secs(5),
        idle_timeout: IDLE,
        retries: 0,
        ..ClientSettings::new(url.trim_end_matches('/'))
    };
    let client = Client::new(settings).map_err(|error| invalid(&format!("primary_url: {error}")))?;
    Ok(Primary::There(Box::new(client)))
}

struct Restoring {
    app: App,
    database: Database,
    primary: Primary,
    answers: mpsc::Sender<RestoreAnswer>,
    done: RestoreDone,
}

/// It cannot go on.
enum Ends {
    Refused(Box<Problem>),
    /// Whoever asked is gone.
    Nobody,
}

impl From<Refused> for Ends {
    fn from(refused: Refused) -> Ends {
        Ends::Refused(refused.into_problem())
    }
}

impl Restoring {
    async fn run(mut self, kept: KeptOrphans, wanted: BTreeSet<Token>) {
        let last = match self.all(kept, wanted).await {
            Ok(()) => RestoreAnswer::Done(self.done),
            Err(Ends::Refused(problem)) => RestoreAnswer::Refused(problem),
            Err(Ends::Nobody) => return,
        };
        let _ = self.answers.send(last).await;
    }

    async fn all(&mut self, mut kept: KeptOrphans, mut wanted: BTreeSet<Token>) -> Result<(), Ends> {
        let reader = self.database.clone();
        let restored = self.app.blocking(move || reader.restored_orphans()).await?;
        loop {
            let next = self.app.blocking(move || kept.next().transpose().map(|next| (next, kept))).await?;
            let (Some(orphan), rest) = next else { break };
            kept = rest;
            let token = orphan.label.token;
            wanted.remove(&token);
            let outcome = match restored.get(&token) {
                Some(restored) => OrphanRestored {
                    outcome: RestoreOutcome::Already,
                    restored: Some(*restored),
                    ..refused(token, String::new())
                },
                None => self.one(&orphan).await?,
            };
            self.tell(outcome).await?;
        }
        for token in wanted {
            self.tell(refused(token, "there is no orphan of that token here".to_owned())).await?;
        }
        Ok(())
    }

    async fn one(&mut self, orphan: &KeptOrphan) -> Result<OrphanRestored, Ends> {
        let token = orphan.label.token;
        if !orphan.is_whole {
            let reason = "parts of it are missing: restore it from the server that was the primary";
            return Ok(refused(token, reason.to_owned()));
        }
        if let Some(importer) = &orphan.importer {
            let reason = format!("the importer {importer} brings it again: its cursor went back, too");
            return Ok(refused(token, reason));
        }
        let mut contents: Vec<Hash> = Vec::new();
        loop {
            let problem = match self.give(orphan, &contents).await? {
                Ok(outcome) => {
                    if let Some(restored) = outcome.restored {
                        let keeper = self.database.clone();
                        self.app.blocking(move || keeper.mark_restored(token, restored)).await?;
                    }
                    return Ok(outcome);
                }
                Err(problem) => problem,
            };
            let missing = (problem.code == Code::ContentMissing.as_str())
                .then(|| problem.extra.get("content")?.as_str()?.parse::<Hash>().ok())
                .flatten()
                .filter(|hash| !contents.contains(hash) && contents.len() < CONTENTS_MAX);
            match missing {
                Some(hash) => contents.push(hash),
                None if is_about_this_one(&problem) => return Ok(refused(token, problem.detail)),
                None => return Err(Ends::Refused(problem)),
            }
        }
    }

    /// Gives it to the primary, with entries that brought these contents.
    async fn give(
        &self,
        orphan: &KeptOrphan,
        contents: &[Hash],
    ) -> Result<Result<OrphanRestored, Box<Problem>>, Ends> {
        let mut before = Vec::new();
        for hash in contents {
            let (reader, hash) = (self.database.clone(), *hash);
            before.extend(self.app.blocking(move || reader.kept_content(&hash)).await?);
        }
        let mut pieces: Pieces = orphan.bytes();
        for content in before {
            pieces = Box::new(content.bytes().chain(pieces));
        }
        match &self.primary {
            Primary::Here(author) => {
                let (label, author, database) = (orphan.label.clone(), author.clone(), self.database.clone());
                let token = label.token;
                let take = move || -> Result<_, Refused> {
                    let mut intake = database.orphan_intake(label)?;
                    for piece in pieces {
                        let mut bytes = BytesMut::from(&piece?[..]);
                        while let Ok(Some(Frame::Entry(entry))) = Frame::take(&mut bytes) {
                            intake.entry(&entry)?;
                        }
                    }
                    Ok(intake.finish(&author)?)
                };
                let restored = self.app.blocking(take).await;
                Ok(restored.map(|restored| intake::answer(token, restored)).map_err(Refused::into_problem))
            }
            Primary::There(client) => {
                let mut label = serde_json::to_vec(&orphan.label).unwrap_or_default();
                label.push(b'\n');
                let label = stream::once(async move { Ok(Bytes::from(label)) });
                let pieces = label.chain(sent(&self.app, pieces));
                let there = self.database.name().to_owned();
                match client.give_orphan(&there, pieces).await {
                    Ok(outcome) => Ok(Ok(outcome)),
                    Err(ClientError::Problem(problem)) => Ok(Err(problem)),
                    Err(error) => {
                        let refused = Code::SourceUnavailable.because(format!("the primary: {error}"));
                        Err(refused.into())
                    }
                }
            }
        }
    }

    async fn tell(&mut self, outcome: OrphanRestored) -> Result<(), Ends> {
        match outcome.outcome {
            RestoreOutcome::Restored => self.done.restored += 1,
            RestoreOutcome::Already => self.done.already += 1,
            RestoreOutcome::Refused => self.done.refused += 1,
        }
        let count = |wanted: ChangeOutcome| {
            outcome.documents.iter().filter(|change| change.outcome == wanted).count() as u64
        };
        self.done.beside += count(ChangeOutcome::Beside);
        self.done.left += count(ChangeOutcome::Left);
        self.answers.send(RestoreAnswer::Orphan(outcome)).await.map_err(|_| Ends::Nobody)
    }
}

/// What blocks is read on a thread for it, when the primary takes it.
fn sent(app: &App, pieces: Pieces) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
    let app = app.clone();
    stream::try_unfold(pieces, move |mut pieces| {
        let app = app.clone();
        async move {
            let next = app.blocking(move || pieces.next().transpose().map(|piece| (piece, pieces))).await;
            let (piece, pieces) = next.map_err(broken)?;
            Ok::<_, io::Error>(piece.map(|piece| (piece, pieces)))
        }
    })
}

fn refused(token: Token, reason: String) -> OrphanRestored {
    OrphanRestored {
        token,
        outcome: RestoreOutcome::Refused,
        restored: None,
        reason: Some(reason).filter(|reason| !reason.is_empty()),
        documents: Vec::new(),
    }
}

/// The next one may be taken all the same.
fn is_about_this_one(problem: &Problem) -> bool {
    let codes = [
        Code::OrphanInvalid,
        Code::OrphanPartial,
        Code::ContentMissing,
        Code::Inconsistent,
        Code::Kind,
        Code::TooLarge,
        Code::PurgeNotAlone,
    ];
    codes.iter().any(|code| code.as_str() == problem.code)
}
