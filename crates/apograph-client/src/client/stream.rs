//! Bytes as they arrive.

use bytes::Bytes;
use futures_util::Stream;
use reqwest::Response;

use super::patience::Progress;
use super::request::waiting;
use super::{Client, ClientError};
use crate::header;

/// The body of an answer, piece by piece.
#[derive(Debug)]
pub struct ByteStream {
    client: Client,
    response: Response,
    progress: Progress,
    expected: Option<u64>,
    received: u64,
}

impl ByteStream {
    /// `expected` is the number of bytes that must come, if known.
    pub(super) fn new(client: &Client, response: Response, expected: Option<u64>) -> ByteStream {
        ByteStream { client: client.clone(), response, progress: waiting(), expected, received: 0 }
    }

    pub(super) fn with_progress(mut self, progress: Progress) -> ByteStream {
        self.progress = progress;
        self
    }

    /// The next piece; `None` after the last one. A body that breaks off is an error, never an end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let idle = self.client.settings.idle_timeout;
        let url = || self.client.url().to_owned();
        let received = self.received;
        let truncated = |source| ClientError::Truncated { url: url(), received, source };
        match self.progress.wait(idle, self.response.chunk()).await {
            Err(_) => Err(ClientError::Silent { url: url(), waited: idle }),
            Ok(Err(error)) => Err(truncated(Some(error.without_url()))),
            Ok(Ok(None)) if self.expected.is_some_and(|expected| expected != received) => {
                Err(truncated(None))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Ok(Some(bytes))) => {
                self.progress.moved();
                self.received += bytes.len() as u64;
                Ok(Some(bytes))
            }
        }
    }

    /// Bytes that came so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The partitions that it is of, if the server does not hold all of them.
    pub fn partitions(&self) -> Option<&str> {
        self.response.headers().get(header::PARTITIONS)?.to_str().ok()
    }

    /// The server that answers.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// As a stream, which ends after its first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, ClientError>> + Send {
        futures_util::stream::try_unfold(self, async |mut stream| {
            Ok(stream.next().await?.map(|bytes| (bytes, stream)))
        })
    }
}
