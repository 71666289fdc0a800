//! Many transactions over one request: lines go out while answers come in.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method};
use tokio::sync::mpsc;

use super::patience::Progress;
use super::transactions::transactions_path;
use super::{ByteStream, Client, ClientError, LineStream};
use crate::media_type;
use crate::types::{BulkAnswer, TransactionRequest};

/// Transactions that wait in this process to be sent. What the server takes ahead is its own business.
pub const BULK_IN_FLIGHT_MAX: usize = 16;

/// Takes transactions. Dropping it says that there are no more.
#[derive(Debug, Clone)]
pub struct BulkSender {
    lines: mpsc::Sender<Bytes>,
    progress: Progress,
}

/// Gives the answers, in the order of the transactions. Nothing moves unless [`BulkAnswers::next`] is awaited.
pub struct BulkAnswers {
    client: Client,
    progress: Progress,
    state: State,
}

/// The request is over; its last answer says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server takes no more transactions")]
pub struct BulkClosed;

enum State {
    Opening(Pin<Box<dyn Future<Output = Result<reqwest::Response, ClientError>> + Send>>),
    Open(Box<LineStream>),
    Ended,
}

impl Client {
    /// Starts a request that carries many transactions, one after another. They commit in order; the first refused
    /// one ends it.
    pub fn bulk(&self, database: &str) -> (BulkSender, BulkAnswers) {
        let (sender, receiver) = mpsc::channel(BULK_IN_FLIGHT_MAX);
        let progress = Progress::default();
        let lines =
            futures_util::stream::unfold((receiver, progress.clone()), async |(mut lines, progress)| {
                let line = lines.recv().await?;
                progress.moved();
                Some((Ok::<Bytes, std::convert::Infallible>(line), (lines, progress)))
            });
        let request = self
            .request(Method::POST, &transactions_path(database))
            .header(CONTENT_TYPE, media_type::NDJSON)
            .body(Body::wrap_stream(lines));
        let (client, waits) = (self.clone(), progress.clone());
        let opening = Box::pin(async move { client.send(request, &waits).await });
        let answers =
            BulkAnswers { client: self.clone(), progress: progress.clone(), state: State::Opening(opening) };
        (BulkSender { lines: sender, progress }, answers)
    }
}

impl BulkSender {
    /// Sends one transaction; waits while too many are on their way.
    pub async fn send(&self, transaction: &TransactionRequest) -> Result<(), BulkClosed> {
        self.progress.owe();
        self.lines.send(line(transaction)).await.map_err(|_| BulkClosed)
    }

    /// The same, from a thread without a runtime.
    pub fn blocking_send(&self, transaction: &TransactionRequest) -> Result<(), BulkClosed> {
        self.progress.owe();
        self.lines.blocking_send(line(transaction)).map_err(|_| BulkClosed)
    }
}

impl BulkAnswers {
    /// The next answer; `None` when all are there and the sender is gone.
    pub async fn next(&mut self) -> Result<Option<BulkAnswer>, ClientError> {
        loop {
            match &mut self.state {
                State::Opening(opening) => {
                    let opened = opening.as_mut().await;
                    self.state = State::Ended;
                    let stream =
                        ByteStream::new(&self.client, opened?, None).with_progress(self.progress.clone());
                    self.state = State::Open(Box::new(LineStream::new(stream)));
                }
                State::Open(lines) => {
                    let next = lines.next().await;
                    let Some(line) = next? else {
                        self.state = State::Ended;
                        return Ok(None);
                    };
                    self.progress.settle();
                    let answer = serde_json::from_slice(&line);
                    return answer.map(Some).map_err(|error| self.client.unclear(error.to_string()));
                }
                State::Ended => return Ok(None),
            }
        }
    }
}

impl std::fmt::Debug for BulkAnswers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BulkAnswers").field("client", &self.client).finish_non_exhaustive()
    }
}

fn line(transaction: &TransactionRequest) -> Bytes {
    let mut line = serde_json::to_vec(transaction).expect("a transaction is plain data");
    line.push(b'\n');
    line.into()
}
