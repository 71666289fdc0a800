//! Bodies on their way in: bounded, and given up when they pause for too long.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::app::App;
use crate::limits::BODY_IDLE_TIMEOUT;
use crate::problem::{Code, Refused};

/// A body that is whole in memory, and its share of the memory for bodies.
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// The next piece; `None` at the end. A body that ends before its length is refused, not taken for whole.
pub(crate) async fn next(body: &mut Body) -> Result<Option<Bytes>, Refused> {
    loop {
        let frame = timeout(BODY_IDLE_TIMEOUT, body.frame()).await;
        let frame = frame.map_err(|_| {
            let detail = format!("nothing came for {} seconds", BODY_IDLE_TIMEOUT.as_secs());
            Code::BodyTimeout.because(detail)
        })?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => return Err(Code::BodyIncomplete.because(error.to_string())),
            // Trailers mean nothing here.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => {}
            },
        }
    }
}

/// The whole body, at most `max` bytes of it.
pub(crate) async fn whole(
    app: &App,
    headers: &HeaderMap,
    mut body: Body,
    max: usize,
) -> Result<Held, Refused> {
    let too_large = || Code::TooLarge.because(format!("this body has at most {max} bytes")).with("max", max);
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|length: u64| length > max as u64) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    let mut share: Option<OwnedSemaphorePermit> = None;
    while let Some(piece) = next(&mut body).await? {
        if bytes.len() + piece.len() > max {
            return Err(too_large());
        }
        let more = app.share_of_memory(piece.len())?;
        match &mut share {
            Some(share) => share.merge(more),
            None => share = Some(more),
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Held { bytes: bytes.freeze(), _share: share })
}
