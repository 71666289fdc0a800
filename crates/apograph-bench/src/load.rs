//! Brings documents to a primary: one request, transactions out while answers come in.

use std::time::{Duration, Instant};

use apograph_client::client::BulkAnswers;
use apograph_client::types::transaction::{Operation, Put, Target};
use apograph_client::types::{BulkAnswer, TransactionRequest};
use apograph_client::{Client, ClientError};
use tokio::sync::mpsc;

use crate::documents::{CURSOR, Documents};
use crate::process::{Server, block_on};

/// Transactions that are made ahead of being sent.
const AHEAD_MAX: usize = 8;
/// Of each text of a backlog, about.
const BACKLOG_TEXT_BYTES: usize = 512 << 10;

/// What a load did.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    /// Transactions that arrived by it.
    pub transactions: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Why documents were not brought.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The server, or the way to it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Something else brought documents here.
    #[error("the cursor {CURSOR:?} stands at {0:?}, which is no number of a transaction")]
    Cursor(String),
}

/// Brings all documents that are not there yet. `told` hears again and again how many transactions are there.
pub fn load(
    client: &Client,
    database: &str,
    documents: &Documents,
    told: impl FnMut(u64),
) -> Result<Loaded, LoadError> {
    let first = match block_on(client.cursor(database, CURSOR))?.position {
        None => 0,
        Some(text) => text.parse::<u64>().map_err(|_| LoadError::Cursor(text))? + 1,
    };
    let transactions = (first..documents.transactions()).map(|number| documents.transaction(number));
    Ok(send(client, database, transactions, told)?)
}

/// Sends transactions, as many at once as the server takes; ends at the first that is refused.
pub fn send(
    client: &Client,
    database: &str,
    transactions: impl Iterator<Item = TransactionRequest> + Send,
    told: impl FnMut(u64),
) -> Result<Loaded, ClientError> {
    let (sender, answers) = client.bulk(database);
    let (maker, mut made) = mpsc::channel::<TransactionRequest>(AHEAD_MAX);
    let started = Instant::now();
    let sending = async move {
        while let Some(transaction) = made.recv().await {
            if sender.send(&transaction).await.is_err() {
                break;
            }
        }
    };
    let transactions = std::thread::scope(|scope| {
        scope.spawn(move || {
            for transaction in transactions {
                if maker.blocking_send(transaction).is_err() {
                    return;
                }
            }
        });
        let ((), taken) = block_on(async { tokio::join!(sending, take(answers, told)) });
        taken
    })?;
    Ok(Loaded { transactions, duration: started.elapsed() })
}

/// Brings so many MiB of text to a primary, half a MiB in each transaction. A large backlog, for those who are away.
pub fn send_backlog(server: &Server, mebibytes: u64) -> Result<Loaded, ClientError> {
    let text = |number: u64| format!("{number} of a backlog. ").repeat(BACKLOG_TEXT_BYTES / 20);
    let put = |number| Put {
        target: Target::of(format!("/backlog/{number}")),
        body: Some(text(number)),
        ..Put::default()
    };
    let count = mebibytes * (1 << 20) / BACKLOG_TEXT_BYTES as u64;
    let transactions = (0..count).map(|number| TransactionRequest {
        operations: vec![Operation::Put(put(number))],
        ..TransactionRequest::default()
    });
    send(&server.client("admin"), "main", transactions, |_| ())
}

async fn take(mut answers: BulkAnswers, mut told: impl FnMut(u64)) -> Result<u64, ClientError> {
    let mut done = 0;
    while let Some(answer) = answers.next().await? {
        if let BulkAnswer::Refused(problem) = answer {
            return Err(ClientError::Problem(problem));
        }
        done += 1;
        told(done);
    }
    Ok(done)
}
