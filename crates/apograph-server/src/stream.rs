//! Bodies on their way out: pulled by the reader, piece by piece, so that a slow one holds no thread and no memory.

use std::io;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream;

use crate::app::App;
use crate::limits::STREAM_PIECE_BYTES;
use crate::problem::Refused;

/// Who waits for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Somebody, for all of it.
    Awaited,
    /// It is one of many pieces of bulk work.
    Bulk,
}

/// A body made by an iterator that blocks. When it fails midway the connection breaks, so that nobody takes a part
/// for the whole.
pub(crate) fn body<I, E>(app: &App, lane: Lane, pieces: I) -> Body
where
    I: Iterator<Item = Result<Bytes, E>> + Send + 'static,
    E: Send + 'static,
    Refused: From<E>,
{
    let app = app.clone();
    Body::from_stream(stream::try_unfold(pieces, move |mut pieces| {
        let app = app.clone();
        async move {
            let next = move || pieces.next().transpose().map(|piece| (piece, pieces));
            let next = match lane {
                Lane::Awaited => app.blocking(next).await,
                Lane::Bulk => app.aside(next).await,
            };
            let (piece, pieces) = next.map_err(broken)?;
            Ok::<_, io::Error>(piece.map(|piece| (piece, pieces)))
        }
    }))
}

/// Lines as pieces of a good size.
pub(crate) struct Lines<I>(pub(crate) I);

impl<I, E> Iterator for Lines<I>
where
    I: Iterator<Item = Result<String, E>>,
{
    type Item = Result<Bytes, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = BytesMut::new();
        while piece.len() < STREAM_PIECE_BYTES {
            match self.0.next() {
                None => break,
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(line)) => {
                    piece.extend_from_slice(line.as_bytes());
                    piece.extend_from_slice(b"\n");
                }
            }
        }
        (!piece.is_empty()).then(|| Ok(piece.freeze()))
    }
}

/// The stream ends before its end; the log says why.
pub(crate) fn broken(refused: Refused) -> io::Error {
    let problem = refused.into_problem();
    tracing::warn!(code = problem.code, detail = problem.detail, "an answer broke off");
    io::Error::other(problem.code)
}
