//! Lines as they arrive.

use bytes::{Bytes, BytesMut};

use super::{ByteStream, ClientError};

/// Longest line: a version of an export with the largest properties and comments stays far below it.
const LINE_BYTES_MAX: usize = 16 << 20;

/// The body of an answer, line by line.
#[derive(Debug)]
pub struct LineStream {
    bytes: ByteStream,
    rest: BytesMut,
    searched: usize,
}

impl LineStream {
    pub(super) fn new(bytes: ByteStream) -> LineStream {
        LineStream { bytes, rest: BytesMut::new(), searched: 0 }
    }

    /// The next line without its end; `None` after the last one. A last line without an end is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let found = self.rest.iter().skip(self.searched).position(|byte| *byte == b'\n');
            if let Some(offset) = found {
                let mut line = self.rest.split_to(self.searched + offset + 1);
                line.truncate(line.len() - 1);
                self.searched = 0;
                return Ok(Some(line.freeze()));
            }
            self.searched = self.rest.len();
            if self.rest.len() > LINE_BYTES_MAX {
                let reason = format!("a line is longer than {LINE_BYTES_MAX} bytes");
                return Err(self.bytes.client().unclear(reason));
            }
            match self.bytes.next().await? {
                Some(bytes) => self.rest.extend_from_slice(&bytes),
                None if self.rest.is_empty() => return Ok(None),
                None => {
                    return Err(ClientError::Truncated {
                        url: self.bytes.client().url().to_owned(),
                        received: self.bytes.received(),
                        source: None,
                    });
                }
            }
        }
    }
}
