//! Many transactions over one request: lines go out while answers come in.

use bytes::Bytes;
use reqwest::Method;

use super::exchange::{Incoming, Outgoing};
use super::transactions::transactions_path;
use super::{Client, ClientError};
use crate::types::{BulkAnswer, TransactionRequest};

/// Transactions that wait in this process to be sent. What the server takes ahead is its own business.
pub const BULK_IN_FLIGHT_MAX: usize = 16;

/// Takes transactions. Dropping it says that there are no more.
#[derive(Debug, Clone)]
pub struct BulkSender {
    lines: Outgoing,
}

/// Gives the answers, in the order of the transactions. Nothing moves unless [`BulkAnswers::next`] is awaited.
#[derive(Debug)]
pub struct BulkAnswers {
    lines: Incoming,
}

/// The request is over; its last answer says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server takes no more transactions")]
pub struct BulkClosed;

impl Client {
    /// Starts a request that carries many transactions, one after another. They commit in order; the first refused
    /// one ends it.
    pub fn bulk(&self, database: &str) -> (BulkSender, BulkAnswers) {
        let request = self.write(Method::POST, &transactions_path(database));
        let (outgoing, incoming) = self.exchange(request, BULK_IN_FLIGHT_MAX);
        (BulkSender { lines: outgoing }, BulkAnswers { lines: incoming })
    }
}

impl BulkSender {
    /// Sends one transaction; waits while too many are on their way.
    pub async fn send(&self, transaction: &TransactionRequest) -> Result<(), BulkClosed> {
        self.lines.progress.owe();
        if self.lines.send(line(transaction)).await { Ok(()) } else { Err(BulkClosed) }
    }

    /// The same, from a thread without a runtime.
    pub fn blocking_send(&self, transaction: &TransactionRequest) -> Result<(), BulkClosed> {
        self.lines.progress.owe();
        if self.lines.blocking_send(line(transaction)) { Ok(()) } else { Err(BulkClosed) }
    }
}

impl BulkAnswers {
    /// The next answer; `None` when all are there and the sender is gone.
    pub async fn next(&mut self) -> Result<Option<BulkAnswer>, ClientError> {
        let answer = self.lines.next().await?;
        if answer.is_some() {
            self.lines.progress.settle();
        }
        Ok(answer)
    }
}

fn line(transaction: &TransactionRequest) -> Bytes {
    let mut line = serde_json::to_vec(transaction).expect("a transaction is plain data");
    line.push(b'\n');
    line.into()
}
