//! Many transactions over one request, one per line: read ahead of the committer, answered in order, line by line.
//!
//! The first refusal ends the work: no line behind it is handed to the committer any more; each is answered as not
//! attempted. Lines that were on their way to the committer already keep their own outcome, and are answered with it; a
//! cursor makes all of them refuse.

use std::collections::VecDeque;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use apograph::database::PendingCommit;
use apograph::error::CommitError;
use apograph::{Committed, Database, Transaction};
use apograph_client::media_type;
use apograph_client::types::BulkAnswer;

use super::super::commit::Done;
use super::super::shape;
use crate::app::App;
use crate::durability::{Waiter, Wanted};
use crate::limits::{BULK_ANSWERS_MAX, BULK_IN_FLIGHT_BYTES_MAX, BULK_IN_FLIGHT_MAX, TRANSACTION_BYTES_MAX};
use crate::problem::{Answer, Code, Refused};
use crate::request::lines::Lines;
use crate::tokens::Principal;

/// Answers while the body is still coming.
pub(super) fn answer(
    app: App,
    principal: Principal,
    database: Database,
    wanted: Wanted,
    body: Body,
) -> Answer<Response> {
    let waiter = Waiter::new(&app, &database, wanted)?;
    let (answers, waiting) = mpsc::channel(BULK_ANSWERS_MAX);
    let work = Bulk {
        app: app.clone(),
        principal,
        database,
        lines: Lines::new(&app, body, TRANSACTION_BYTES_MAX, "a transaction"),
        waiter,
        flying: VecDeque::new(),
        answers,
        refused: false,
    };
    app.tasks.spawn(work.run());
    let lines = stream::unfold(waiting, async |mut waiting| {
        let line = waiting.recv().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(line), waiting))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::NDJSON));
    Ok(response)
}

struct Bulk {
    app: App,
    principal: Principal,
    database: Database,
    lines: Lines,
    /// For replicas, if the request wants them to have every line.
    waiter: Waiter,
    /// Handed to the committer, not yet answered.
    flying: VecDeque<Flight>,
    answers: mpsc::Sender<Bytes>,
    refused: bool,
}

/// A line on its way.
struct Flight {
    stage: Stage,
    bytes: usize,
    submitted: Instant,
}

enum Stage {
    Committing(PendingCommit),
    /// Committed; its answer may wait for replicas.
    Committed(Committed),
}

/// Nobody reads the answers any more.
struct Gone;

impl Bulk {
    async fn run(mut self) {
        let _ = self.all().await;
    }

    async fn all(&mut self) -> Result<(), Gone> {
        loop {
            self.land_what_landed().await?;
            while self.flying.len() >= BULK_IN_FLIGHT_MAX || self.flying_bytes() >= BULK_IN_FLIGHT_BYTES_MAX {
                self.land().await?;
            }
            // While the next line is on its way, answers go out.
            let line = tokio::select! {
                biased;
                line = self.lines.next_with_text() => line,
                landed = first(&self.waiter, &mut self.flying), if !self.flying.is_empty() => {
                    self.answer(landed).await?;
                    continue;
                }
                () = self.answers.closed() => return Err(Gone),
            };
            match line {
                Ok(None) => break,
                Ok(Some(line)) => self.take(line).await?,
                // There is no next line to be found.
                Err(refused) => {
                    self.refuse(refused).await?;
                    break;
                }
            }
        }
        while !self.flying.is_empty() {
            self.land().await?;
        }
        Ok(())
    }

    async fn take(&mut self, line: Bytes) -> Result<(), Gone> {
        if self.refused {
            return self.refuse(not_attempted()).await;
        }
        let bytes = line.len();
        match super::read(&self.app, &self.principal, &self.database, line).await {
            Ok(transaction) => self.submit(transaction, bytes).await,
            Err(refused) => self.refuse(refused).await,
        }
    }

    async fn submit(&mut self, transaction: Transaction, bytes: usize) -> Result<(), Gone> {
        loop {
            if self.refused {
                return self.refuse(not_attempted()).await;
            }
            let submitted = Instant::now();
            match self.database.submit(transaction.clone()) {
                Ok(pending) => {
                    let stage = Stage::Committing(pending);
                    self.flying.push_back(Flight { stage, bytes, submitted });
                    return Ok(());
                }
                // Others fill the committer's queue: let some of ours land, then try again.
                Err(CommitError::Busy) if self.flying.is_empty() => tokio::task::yield_now().await,
                Err(CommitError::Busy) => self.land().await?,
                Err(error) => return self.refuse(error.into()).await,
            }
        }
    }

    /// Answers what landed without waiting for it.
    async fn land_what_landed(&mut self) -> Result<(), Gone> {
        use futures_util::FutureExt;
        while let Some(landed) = first(&self.waiter, &mut self.flying).now_or_never() {
            self.answer(landed).await?;
            if self.flying.is_empty() {
                break;
            }
        }
        Ok(())
    }

    async fn land(&mut self) -> Result<(), Gone> {
        if !self.flying.is_empty() {
            let landed = first(&self.waiter, &mut self.flying).await;
            self.answer(landed).await?;
        }
        Ok(())
    }

    fn flying_bytes(&self) -> usize {
        self.flying.iter().map(|flight| flight.bytes).sum()
    }

    /// A line that never reached the committer is refused after everything before it was answered.
    async fn refuse(&mut self, refused: Refused) -> Result<(), Gone> {
        while !self.flying.is_empty() {
            self.land().await?;
        }
        let refused = if self.refused { not_attempted() } else { refused };
        self.answer(Err(refused)).await
    }

    async fn answer(&mut self, outcome: Answer<Done>) -> Result<(), Gone> {
        let answer = match outcome {
            Ok(done) => BulkAnswer::Committed(shape::transaction_answer(&done)),
            Err(refused) => {
                self.refused = true;
                BulkAnswer::Refused(refused.into_problem())
            }
        };
        let mut line = serde_json::to_vec(&answer).map_err(|_| Gone)?;
        line.push(b'\n');
        self.answers.send(line.into()).await.map_err(|_| Gone)
    }
}

fn not_attempted() -> Refused {
    Code::NotAttempted.because("a transaction before it was refused")
}

/// The outcome of the oldest one on its way; pending for ever when there is none. Nothing is lost when dropped.
async fn first(waiter: &Waiter, flying: &mut VecDeque<Flight>) -> Answer<Done> {
    let Some(flight) = flying.front_mut() else {
        return std::future::pending().await;
    };
    if let Stage::Committing(pending) = &mut flight.stage {
        match pending.await {
            Ok(committed) => flight.stage = Stage::Committed(committed),
            Err(error) => {
                flying.pop_front();
                return Err(error.into());
            }
        }
    }
    let durability = match &flight.stage {
        Stage::Committed(committed) => waiter.wait(committed.token, flight.submitted).await,
        Stage::Committing(_) => return std::future::pending().await,
    };
    let landed = flying.pop_front().map(|flight| flight.stage);
    match landed {
        Some(Stage::Committed(committed)) => Ok(Done { committed, durability: durability? }),
        _ => std::future::pending().await,
    }
}
