//! What the primary gets to hold, and the wait until the copies have it.

use std::path::Path;
use std::time::Duration;

use apograph_client::client::ListFilter;
use apograph_client::types::{CursorMove, TransactionRequest};
use apograph_client::{Client, ClientError};
use tokio::time::Instant;

use super::folders::Layout;
use crate::arguments::Global;
use crate::commands::import;
use crate::failure::Failure;

/// The built-in collection, one transaction per line.
const SAMPLE: &str = include_str!("sample.ndjson");
/// Remembers how much of it is there.
const CURSOR: &str = "quickstart:sample";
/// How long the copies may take before the servers are shown without them.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came in.
pub(super) struct Imported {
    pub(super) line: String,
    /// Of the last transaction, if one was new.
    pub(super) token: Option<String>,
}

/// Brings the built-in collection in, or what is missing of it. Every transaction moves the cursor.
pub(super) async fn sample(client: &Client, database: &str) -> Result<Imported, Failure> {
    let position = client.cursor(database, CURSOR).await?.position;
    let done: usize = position.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut previous = position;
    let mut token = None;
    for (index, line) in SAMPLE.lines().enumerate().skip(done) {
        let mut transaction = parse(line);
        let position = (index + 1).to_string();
        transaction.cursor = Some(CursorMove {
            name: CURSOR.to_owned(),
            previous: previous.replace(position.clone()),
            position,
        });
        token = Some(client.commit(database, &transaction).await?.token.to_string());
    }
    let line = format!("the built-in collection, {} transactions", SAMPLE.lines().count());
    Ok(Imported { line, token })
}

/// Imports a git repository.
pub(super) async fn import(
    global: &Global,
    client: Client,
    repository: &Path,
    branch: Option<&str>,
) -> Result<Imported, Failure> {
    let summary = import::from_git(global, client, repository, branch, "").await?;
    Ok(Imported { line: import::in_words(&summary).trim_end().to_owned(), token: summary.token })
}

/// Waits until the copies have reached `token`. Answers the roles of those that have not.
pub(super) async fn arrived(
    layout: &Layout,
    database: &str,
    token: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let until = Instant::now() + PATIENCE;
    let mut late = Vec::new();
    for place in layout.servers.iter().skip(1) {
        let client = place.admin()?;
        let filter =
            ListFilter { limit: Some(1), at_least: token.map(str::to_owned), ..ListFilter::default() };
        loop {
            match client.list(database, &filter).await {
                Ok(_) => break,
                Err(error) if may_come(&error) && Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) if may_come(&error) => {
                    late.push(format!("{}: {error}", place.role));
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(late)
}

/// The copy has not met its source, or not caught up.
fn may_come(error: &ClientError) -> bool {
    error.is_transient() || error.problem().is_some_and(|problem| problem.status == 504)
}

fn parse(line: &str) -> TransactionRequest {
    serde_json::from_str(line).expect("a test reads every line of the sample")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_transaction() {
        let transactions: Vec<_> = SAMPLE.lines().map(parse).collect();
        assert!(transactions.len() > 12);
        for transaction in &transactions {
            assert!(transaction.author.is_some() && transaction.time.is_some(), "{}", transaction.comment);
        }
    }
}
