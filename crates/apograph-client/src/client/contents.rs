//! Contents: bytes in both directions, with ranges.

use std::fmt;

use apograph_format::Uri;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Body, Method};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::documents::Match;
use super::patience::Progress;
use super::request::{LocalRead, path, segment, waiting};
use super::{ByteStream, Client, ClientError};
use crate::header;
use crate::types::{ContentQuery, DocumentAnswer, ReadQuery};

/// Bytes read at once from what is uploaded.
const PIECE_BYTES: usize = 256 << 10;

/// A new version whose content is uploaded.
#[derive(Debug, Clone, Default)]
pub struct PutContent {
    /// What the content is.
    pub media_type: String,
    /// How many bytes it has, if known. Then the server refuses a body that breaks off without any doubt.
    pub bytes: Option<u64>,
    /// The other members of the version.
    pub query: ContentQuery,
    /// What must be true before.
    pub precondition: Match,
}

/// The bytes `first` to `last`, both included; without `last`, to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte, counted from zero.
    pub first: u64,
    /// The last byte.
    pub last: Option<u64>,
}

/// A content that arrives.
#[derive(Debug)]
pub struct ContentStream {
    /// What it is.
    pub media_type: String,
    /// How many bytes will come.
    pub bytes: Option<u64>,
    /// What part of the whole they are, as `Content-Range` says; absent when they are the whole.
    pub range: Option<String>,
    /// Number of the version, if the server says so.
    pub version: Option<u64>,
    /// The bytes.
    pub body: ByteStream,
}

impl Client {
    /// Saves a new version of a document whose content is read from `body`. Holds one piece in memory.
    /// `moved` is called with the number of bytes of every piece that was sent.
    pub async fn put_content(
        &self,
        database: &str,
        uri: &Uri,
        content: &PutContent,
        body: impl AsyncRead + Send + Unpin + 'static,
        moved: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<DocumentAnswer, ClientError> {
        let progress = waiting();
        let pieces = Body::wrap_stream(pieces(body, progress.clone(), moved));
        let mut request = self
            .write(Method::PUT, &content_path(database, uri))
            .query(&content.query)
            .header(CONTENT_TYPE, &content.media_type)
            .body(pieces);
        if let Some(bytes) = content.bytes {
            request = request.header(CONTENT_LENGTH, bytes);
        }
        self.json(self.send(content.precondition.apply(request), &progress).await?).await
    }

    /// Reads a content, or a part of it.
    pub async fn content(
        &self,
        database: &str,
        uri: &Uri,
        query: &ReadQuery,
        range: Option<ByteRange>,
    ) -> Result<ContentStream, ClientError> {
        let mut headers = HeaderMap::new();
        if let Some(range) = range {
            let value = HeaderValue::try_from(format!("bytes={range}")).expect("digits and a dash");
            headers.insert(RANGE, value);
        }
        let response = self.get_stream(&content_path(database, uri), query, headers).await?;
        let text = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let bytes = text(CONTENT_LENGTH.as_str()).and_then(|value| value.parse().ok());
        Ok(ContentStream {
            media_type: text(CONTENT_TYPE.as_str()).unwrap_or_else(|| crate::media_type::BYTES.to_owned()),
            bytes,
            range: text(CONTENT_RANGE.as_str()),
            version: text(header::VERSION).and_then(|value| value.parse().ok()),
            body: ByteStream::new(self, response, bytes),
        })
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.first)?;
        self.last.map_or(Ok(()), |last| write!(f, "{last}"))
    }
}

fn content_path(database: &str, uri: &Uri) -> String {
    format!("/v1/databases/{}/contents/{}", segment(database), path(uri))
}

fn pieces(
    body: impl AsyncRead + Send + Unpin + 'static,
    progress: Progress,
    moved: impl Fn(u64) + Send + Sync + 'static,
) -> impl Stream<Item = Result<Bytes, LocalRead>> + Send {
    futures_util::stream::try_unfold((body, moved), move |(mut body, moved)| {
        let progress = progress.clone();
        async move {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            let bytes = body.read_buf(&mut piece).await.map_err(LocalRead)?;
            progress.moved();
            moved(bytes as u64);
            Ok((bytes > 0).then(|| (piece.freeze(), (body, moved))))
        }
    })
}
