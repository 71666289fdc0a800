//! The lines of a body, as they come.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::body;
use crate::app::App;
use crate::problem::{Code, Refused};

/// The lines of a body. What came of the next one counts as memory for bodies.
pub(crate) struct Lines {
    app: App,
    body: Body,
    buffer: BytesMut,
    /// What the buffer has of the memory for bodies.
    share: Option<OwnedSemaphorePermit>,
    /// No end of a line lies before this.
    searched: usize,
    ended: bool,
    line_bytes_max: usize,
    what: &'static str,
}

impl Lines {
    /// Lines of at most about `line_bytes_max`; each is `what`.
    pub(crate) fn new(app: &App, body: Body, line_bytes_max: usize, what: &'static str) -> Lines {
        Lines {
            app: app.clone(),
            body,
            buffer: BytesMut::new(),
            share: None,
            searched: 0,
            ended: false,
            line_bytes_max,
            what,
        }
    }

    /// The next line that is not blank. Nothing is lost when dropped.
    pub(crate) async fn next_with_text(&mut self) -> Result<Option<Bytes>, Refused> {
        loop {
            match self.next().await? {
                Some(line) if line.trim_ascii().is_empty() => {}
                line => return Ok(line),
            }
        }
    }

    /// The next line, with its end if it has one. Nothing is lost when dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refused> {
        loop {
            if let Some(line) = self.next_that_came() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            if self.buffer.len() > self.line_bytes_max {
                let detail = format!("{} has at most {} bytes", self.what, self.line_bytes_max);
                return Err(Code::TooLarge.because(detail));
            }
            match body::next(&mut self.body).await? {
                Some(piece) => {
                    let more = self.app.share_of_memory(piece.len())?;
                    match &mut self.share {
                        Some(share) => share.merge(more),
                        None => self.share = Some(more),
                    }
                    self.buffer.extend_from_slice(&piece);
                }
                None => self.ended = true,
            }
        }
    }

    /// The next line, if it is here already.
    pub(crate) fn next_that_came(&mut self) -> Option<Bytes> {
        let line = self.cut()?;
        // From here on the line counts as on its way.
        drop(self.share.as_mut().and_then(|share| share.split(line.len())));
        Some(line)
    }

    fn cut(&mut self) -> Option<Bytes> {
        let rest = self.buffer.get(self.searched..).unwrap_or_default();
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(offset) => {
                let line = self.buffer.split_to(self.searched + offset + 1).freeze();
                self.searched = 0;
                Some(line)
            }
            None if self.ended && !self.buffer.is_empty() => {
                self.searched = 0;
                Some(self.buffer.split().freeze())
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }
}
