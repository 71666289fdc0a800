//! What a client asks of a server, in the server's own dialect.

use std::ops::Range;
use std::sync::Arc;

use super::SpeedError;
use super::http::{Http, HttpAnswer};
use super::postgres::Session;
use super::texts::{Texts, key};

/// One client's connection.
#[derive(Debug)]
pub(super) enum Connection {
    /// Apograph, or the floor.
    Http(Http, Dialect),
    /// PostgreSQL.
    Postgres(Arc<Session>),
}

/// How documents are named and transactions look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `/v1/databases/main/…`
    Apograph,
    /// As little as possible.
    Floor,
}

/// What names a state that a later read must have.
pub(super) type Written = Option<String>;

impl Connection {
    /// Saves one document; returns when the server acknowledged it as durable.
    pub(super) async fn put(&mut self, texts: &Texts, number: u64) -> Result<Written, SpeedError> {
        match self {
            Connection::Http(http, Dialect::Apograph) => {
                let line = format!("PUT /v1/databases/main/documents/{}", key(number));
                let answer = http.send(&line, Some(&texts.request(number)), Some("apograph-token")).await?;
                written(answer)
            }
            Connection::Http(http, Dialect::Floor) => {
                let line = format!("PUT /{}", key(number));
                written(http.send(&line, Some(&texts.request(number)), None).await?)
            }
            Connection::Postgres(session) => {
                session.put(&key(number), &texts.request(number)).await.map(|()| None)
            }
        }
    }

    /// Saves many documents in one transaction.
    pub(super) async fn put_many(
        &mut self,
        texts: &Texts,
        numbers: Range<u64>,
    ) -> Result<Written, SpeedError> {
        match self {
            Connection::Http(http, Dialect::Apograph) => {
                let body = texts.transaction(numbers);
                let line = "POST /v1/databases/main/transactions";
                written(http.send(line, Some(&body), Some("apograph-token")).await?)
            }
            Connection::Http(http, Dialect::Floor) => {
                written(http.send("POST /", Some(&texts.pairs(numbers)), None).await?)
            }
            Connection::Postgres(session) => session.put_many(texts, numbers).await.map(|()| None),
        }
    }

    /// Reads a document; whether it is there.
    pub(super) async fn get(&mut self, number: u64) -> Result<bool, SpeedError> {
        match self {
            Connection::Http(http, Dialect::Apograph) => {
                let line = format!("GET /v1/databases/main/documents/{}", key(number));
                found(http.send(&line, None, None).await?)
            }
            Connection::Http(http, Dialect::Floor) => {
                found(http.send(&format!("GET /{}", key(number)), None, None).await?)
            }
            Connection::Postgres(session) => session.get(&key(number)).await,
        }
    }

    /// Reads a document that was acknowledged to be written, from a replica that may not have it yet, as soon as it has.
    /// A replica of Apograph waits for the token of the write by itself; the others are asked again and again.
    pub(super) async fn get_written(&mut self, number: u64, written: &Written) -> Result<(), SpeedError> {
        if let (Connection::Http(http, Dialect::Apograph), Some(token)) = (&mut *self, written) {
            let line = format!("GET /v1/databases/main/documents/{}?at_least={token}", key(number));
            return match found(http.send(&line, None, None).await?)? {
                true => Ok(()),
                false => {
                    Err(SpeedError::Refused("the replica has the token, and not the document".to_owned()))
                }
            };
        }
        while !self.get(number).await? {
            // The shortest sleep there is costs a millisecond of the runtime's clock.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

fn written(answer: HttpAnswer) -> Result<Written, SpeedError> {
    if (200..300).contains(&answer.status) { Ok(answer.header) } else { Err(refused(&answer)) }
}

fn found(answer: HttpAnswer) -> Result<bool, SpeedError> {
    match answer.status {
        200 => Ok(true),
        404 => Ok(false),
        _ => Err(refused(&answer)),
    }
}

fn refused(answer: &HttpAnswer) -> SpeedError {
    SpeedError::Refused(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)))
}
