//! What a refused request still had to send: taken in and forgotten, up to a limit, so that its client gets to read why.
//! A client that finds the connection closed while it sends sees a broken pipe, and not the problem.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::limits::{REFUSED_BODY_BYTES_MAX, REFUSED_BODY_TIMEOUT};

/// Where a body is when its handler does not want it any more.
#[derive(Clone, Default)]
pub(crate) struct Left(Arc<Mutex<Option<Body>>>);

/// A body that comes back.
struct Lent {
    body: Body,
    left: Left,
}

impl Left {
    /// The body for a handler.
    pub(crate) fn lend(&self, body: Body) -> Body {
        Body::new(Lent { body, left: self.clone() })
    }

    /// Takes in the rest, or as much of it as a refusal is worth.
    pub(crate) async fn drain(&self) {
        let Some(mut body) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let all = async {
            let mut bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > REFUSED_BODY_BYTES_MAX {
                    break;
                }
            }
        };
        // Whoever takes longer finds the connection closed.
        let _ = timeout(REFUSED_BODY_TIMEOUT, all).await;
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            let body = std::mem::take(&mut self.body);
            *self.left.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
