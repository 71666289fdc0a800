//! An export on its way into a database: its bytes go out while the server says how far it is.

use bytes::Bytes;
use reqwest::Method;

use super::exchange::{Incoming, Outgoing};
use super::request::segment;
use super::{Client, ClientError};
use crate::types::{ImportAnswer, ImportQuery};

/// Pieces that wait in this process to be sent.
const PIECES_IN_FLIGHT_MAX: usize = 8;

/// Takes the bytes of an export. Dropping it says that there are no more.
#[derive(Debug, Clone)]
pub struct ImportSender {
    pieces: Outgoing,
}

/// Says how far the import is. Nothing moves unless [`ImportAnswers::next`] is awaited.
#[derive(Debug)]
pub struct ImportAnswers {
    lines: Incoming,
}

impl Client {
    /// Starts to load an export, or goes on with it. After [`ImportQuery::from`] the server wants the first line again,
    /// the line of the document that goes on there, if one does, and then what stands at that place.
    pub fn import(&self, database: &str, query: &ImportQuery) -> (ImportSender, ImportAnswers) {
        let route = format!("/v1/databases/{}/import", segment(database));
        let request = self.request(Method::POST, &route).query(query);
        let (outgoing, incoming) = self.exchange(request, PIECES_IN_FLIGHT_MAX);
        // The last answer.
        outgoing.progress.owe();
        (ImportSender { pieces: outgoing }, ImportAnswers { lines: incoming })
    }
}

impl ImportSender {
    /// Sends some bytes, from a thread without a runtime. `false`: the request is over; its last answer says why.
    pub fn blocking_send(&self, bytes: Bytes) -> bool {
        self.pieces.blocking_send(bytes)
    }
}

impl ImportAnswers {
    /// The next answer; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<ImportAnswer>, ClientError> {
        self.lines.next().await
    }
}
