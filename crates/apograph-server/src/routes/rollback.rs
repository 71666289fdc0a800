//! `GET|POST /v1/databases/{db}/rollback`: what it would mean that the state of an earlier time becomes the current one,
//! and doing it. Both are answered line by line; doing it goes on when the client is gone.

use std::convert::Infallible;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use apograph::Database;
use apograph::database::rollback::{
    self, RollbackError, RollbackEvent, RollbackOutcome, RollbackPreview, RollbackProgress, RolledBack,
};
use apograph::error::ReadError;
use apograph_client::media_type;
use apograph_client::types::{
    self, RollbackAnswer, RollbackDocument, RollbackDone, RollbackQuery, RollbackRequest, RollbackStanding,
    RollbackStatus,
};
use apograph_format::limits::COMMENT_BYTES_MAX;
use apograph_format::{Head, Timestamp, Uri};

use super::commit;
use crate::app::App;
use crate::limits::{ORDER_BYTES_MAX, ROLLBACK_ANSWERS_MAX, ROLLBACK_LOST_MAX};
use crate::problem::{Answer, Code, Refused};
use crate::request::json;
use crate::request::params::{self, Params};
use crate::request::path::{InDatabase, parse_uri};
use crate::stream::{self as out, Lane, Lines};
use crate::tokens::Principal;

/// What it would do, document by document.
pub(super) async fn get(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    Params(asked): Params<RollbackQuery>,
) -> Answer {
    let to = time("to", &asked.to)?;
    let at: Option<Timestamp> = params::parse("from", asked.from.as_deref())?;
    let after: Option<Uri> = asked.after.as_deref().map(parse_uri).transpose()?;
    let query = rollback::RollbackQuery { to, at, after };
    let preview = app.blocking(move || database.rollback_preview(query)).await?;
    let from = preview.at();
    let left = asked.limit.unwrap_or(u64::MAX);
    let done = RollbackDone {
        to,
        from,
        progress: types::RollbackProgress::default(),
        lost: Vec::new(),
        next_after: None,
    };
    let lines = Told { preview, left, last: None, done: Some(done) };
    let mut response = Response::new(out::body(&app, Lane::Bulk, Lines(lines)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::NDJSON));
    Ok(response)
}

/// Does it.
pub(super) async fn post(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    commit::writable(&database)?;
    let asked: RollbackRequest =
        json::whole(&app, &headers, body, ORDER_BYTES_MAX + COMMENT_BYTES_MAX).await?;
    let mut request = rollback::RollbackRequest::new(time("to", &asked.to)?, principal.name);
    request.comment = asked.comment;
    match asked.documents_max {
        Some(0) => return Err(Code::BodyInvalid.because("documents_max: at least 1")),
        Some(max) => request.documents_max = max,
        None => {}
    }
    let (answers, mut waiting) = mpsc::channel(ROLLBACK_ANSWERS_MAX);
    app.tasks.spawn(run(app.clone(), database, request, answers));
    let lines = stream::poll_fn(move |context| waiting.poll_recv(context)).map(|answer: RollbackAnswer| {
        let mut line = serde_json::to_vec(&answer).unwrap_or_default();
        line.push(b'\n');
        Ok::<Bytes, Infallible>(line.into())
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::NDJSON));
    Ok(response)
}

async fn run(
    app: App,
    database: Database,
    request: rollback::RollbackRequest,
    answers: mpsc::Sender<RollbackAnswer>,
) {
    let told = answers.clone();
    let work = move || {
        let mut lost = Vec::new();
        let done = database.roll_back(request, |event| match event {
            RollbackEvent::Lost(of) if lost.len() < ROLLBACK_LOST_MAX => lost.push(document(of)),
            RollbackEvent::Lost(_) => {}
            RollbackEvent::Committed(so_far) => {
                // Writes wait: nobody who does not read may hold it up.
                let _ = told.try_send(RollbackAnswer::Progress(progress(so_far)));
            }
        })?;
        Ok::<_, RollbackError>((done, lost))
    };
    let last = match app.blocking(work).await {
        Ok((RolledBack { to, from, progress: so_far }, lost)) => RollbackAnswer::Done(RollbackDone {
            to,
            from,
            progress: progress(&so_far),
            lost,
            next_after: None,
        }),
        Err(refused) => RollbackAnswer::Refused(refused.into_problem()),
    };
    let _ = answers.send(last).await;
}

fn time(name: &str, text: &str) -> Answer<Timestamp> {
    let missing = || Code::QueryInvalid.because(format!("{name}: a commit timestamp or an RFC 3339 time"));
    params::parse(name, Some(text))?.ok_or_else(missing)
}

/// The lines of a preview; the last one sums up.
struct Told {
    preview: RollbackPreview,
    left: u64,
    last: Option<Uri>,
    done: Option<RollbackDone>,
}

impl Iterator for Told {
    type Item = Result<String, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let done = self.done.as_mut()?;
        let next = if self.left > 0 { self.preview.next() } else { None };
        let answer = match next {
            Some(Err(error)) => return Some(Err(error)),
            Some(Ok(found)) => {
                self.left -= 1;
                count(&mut done.progress, &found.outcome);
                self.last = Some(found.uri.clone());
                RollbackAnswer::Document(document(&found))
            }
            None => {
                done.next_after = self.last.take().filter(|_| self.left == 0);
                RollbackAnswer::Done(self.done.take()?)
            }
        };
        Some(Ok(serde_json::to_string(&answer).expect("a line holds only text and numbers")))
    }
}

fn count(progress: &mut types::RollbackProgress, outcome: &RollbackOutcome) {
    progress.documents += u64::from(outcome.is_change());
    match outcome {
        RollbackOutcome::Trashed => progress.trashed += 1,
        RollbackOutcome::Back { text_of, .. } => progress.saved += u64::from(text_of.is_some()),
        RollbackOutcome::Lost { trashed, .. } => {
            progress.lost += 1;
            progress.trashed += u64::from(*trashed);
        }
    }
}

fn document(found: &rollback::RollbackDocument) -> RollbackDocument {
    let now = standing(&found.now);
    let trashed = || RollbackStanding { state: apograph_format::State::Trashed, live: None, ..now.clone() };
    let (outcome, then, text_of, reason) = match &found.outcome {
        RollbackOutcome::Trashed => (types::RollbackOutcome::Trashed, Some(trashed()), None, None),
        RollbackOutcome::Back { state, text_of, live } => {
            let version = now.version.map(|_| found.now.versions + u64::from(text_of.is_some()));
            let then = RollbackStanding { state: *state, version, live: *live };
            (types::RollbackOutcome::Back, Some(then), *text_of, None)
        }
        RollbackOutcome::Lost { why, trashed: away } => {
            (types::RollbackOutcome::Lost, away.then(trashed), None, Some(why.to_string()))
        }
    };
    RollbackDocument { uri: found.uri.clone(), outcome, now, then, text_of, reason }
}

fn standing(head: &Head) -> RollbackStanding {
    RollbackStanding {
        state: head.state,
        version: head.working.map(|version| version.number),
        live: head.live.map(|version| version.number),
    }
}

/// The last rollback of a database, or the one that runs.
pub(super) fn status(database: &Database) -> Option<RollbackStatus> {
    let last = database.last_rollback().ok().flatten();
    let status = last.map(|last| RollbackStatus {
        to: last.to,
        from: last.from,
        at: last.at,
        done: last.is_done,
        running: None,
    });
    let Some((to, so_far)) = database.running_rollback() else { return status };
    let from = status.filter(|last| !last.done && last.to == to).map_or(database.visible(), |last| last.from);
    Some(RollbackStatus { to, from, at: database.visible(), done: false, running: Some(progress(&so_far)) })
}

/// How far a rollback is, as it travels.
fn progress(progress: &RollbackProgress) -> types::RollbackProgress {
    let RollbackProgress { transactions, documents, saved, trashed, lost, token } = *progress;
    types::RollbackProgress { transactions, documents, saved, trashed, lost, token }
}

impl From<RollbackError> for Refused {
    fn from(error: RollbackError) -> Refused {
        let detail = error.to_string();
        match error {
            RollbackError::Running { to } => Code::RollbackRunning.because(detail).with("to", to.0),
            RollbackError::Interrupted => Code::RollbackInterrupted.because(detail),
            RollbackError::Read(error) => error.into(),
            RollbackError::Commit(error) => error.into(),
        }
    }
}
