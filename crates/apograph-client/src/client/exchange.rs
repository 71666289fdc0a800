//! A request whose body goes out while its answer comes in, line by line.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, RequestBuilder};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::patience::Progress;
use super::{ByteStream, Client, ClientError, LineStream};
use crate::media_type;

/// Takes the pieces of a body. Dropping it says that there are no more.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pieces: mpsc::Sender<Bytes>,
    pub(super) progress: Progress,
}

/// Gives the lines of the answer. Nothing moves unless [`Incoming::next`] is awaited.
pub(super) struct Incoming {
    client: Client,
    pub(super) progress: Progress,
    state: State,
}

enum State {
    Opening(Pin<Box<dyn Future<Output = Result<reqwest::Response, ClientError>> + Send>>),
    Open(Box<LineStream>),
    Ended,
}

impl Client {
    /// Starts `request` with an NDJSON body of which at most `in_flight_max` pieces wait in this process.
    pub(super) fn exchange(&self, request: RequestBuilder, in_flight_max: usize) -> (Outgoing, Incoming) {
        let (sender, receiver) = mpsc::channel(in_flight_max);
        let progress = Progress::default();
        let pieces =
            futures_util::stream::unfold((receiver, progress.clone()), async |(mut pieces, progress)| {
                let piece = pieces.recv().await?;
                progress.moved();
                Some((Ok::<Bytes, std::convert::Infallible>(piece), (pieces, progress)))
            });
        let request = request.header(CONTENT_TYPE, media_type::NDJSON).body(Body::wrap_stream(pieces));
        let (client, waits) = (self.clone(), progress.clone());
        let opening = Box::pin(async move { client.send(request, &waits).await });
        let state = State::Opening(opening);
        let incoming = Incoming { client: self.clone(), progress: progress.clone(), state };
        (Outgoing { pieces: sender, progress }, incoming)
    }
}

impl Outgoing {
    /// Sends a piece; waits while too many are on their way. `false`: the request is over.
    pub(super) async fn send(&self, piece: Bytes) -> bool {
        self.pieces.send(piece).await.is_ok()
    }

    /// The same, from a thread without a runtime.
    pub(super) fn blocking_send(&self, piece: Bytes) -> bool {
        self.pieces.blocking_send(piece).is_ok()
    }
}

impl Incoming {
    /// The next line; `None` when all are there.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
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
                    let answer = serde_json::from_slice(&line);
                    return answer.map(Some).map_err(|error| self.client.unclear(error.to_string()));
                }
                State::Ended => return Ok(None),
            }
        }
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("client", &self.client).finish_non_exhaustive()
    }
}
