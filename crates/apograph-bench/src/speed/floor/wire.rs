//! As much of HTTP/1.1 as the client of these runs speaks.

use std::io::{self, Read, Write};
use std::ops::Range;

use mio::net::TcpStream;

const HEAD_BYTES_MAX: usize = 2048;

/// What was asked; ranges are places in what arrived.
pub(super) enum Request {
    Put { key: Range<usize>, document: Range<usize> },
    PutMany(Range<usize>),
    Get { key: Range<usize> },
    Follow { from: u64 },
}

pub(super) struct Connection {
    stream: TcpStream,
    pub(super) arrived: Vec<u8>,
    /// Where the request that is being answered ends.
    until: usize,
    pub(super) leaving: Vec<u8>,
    pub(super) is_over: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Connection {
        Connection { stream, arrived: Vec::new(), until: 0, leaving: Vec::new(), is_over: false }
    }

    /// Takes what is there; answers whether the other side went away.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> bool {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return true,
                Ok(read) => {
                    self.arrived.extend_from_slice(&scratch[..read]);
                    if read < scratch.len() {
                        return false;
                    }
                }
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    /// The next whole request.
    pub(super) fn request(&mut self) -> io::Result<Option<Request>> {
        let look = &self.arrived[..self.arrived.len().min(HEAD_BYTES_MAX)];
        let Some(end) = look.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&look[..end]).map_err(io::Error::other)?;
        let wrong = || io::Error::other("no request of these runs");
        let mut length = 0;
        for (name, value) in head.split("\r\n").skip(1).filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let body = end + 4..end + 4 + length;
        if self.arrived.len() < body.end {
            return Ok(None);
        }
        let (method, rest) = head.split_once(' ').ok_or_else(wrong)?;
        let (path, _) = rest.split_once(' ').ok_or_else(wrong)?;
        let name = path.rsplit('/').next().ok_or_else(wrong)?;
        let begin = method.len() + 1 + path.len() - name.len();
        let key = begin..begin + name.len();
        self.until = body.end;
        Ok(Some(match method {
            "PUT" => Request::Put { key, document: body },
            "POST" => Request::PutMany(body),
            _ if path.starts_with("/follow/") => {
                Request::Follow { from: name.parse().map_err(io::Error::other)? }
            }
            _ => Request::Get { key },
        }))
    }

    /// The request was dealt with.
    pub(super) fn taken(&mut self) {
        self.arrived.drain(..self.until);
    }

    pub(super) fn answer_nothing(&mut self) {
        self.leaving.extend_from_slice(b"HTTP/1.1 204 No Content\r\n\r\n");
    }

    pub(super) fn answer(&mut self, document: Option<&[u8]>) {
        let Some(document) = document else {
            return self.leaving.extend_from_slice(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", document.len());
        self.leaving.extend_from_slice(head.as_bytes());
        self.leaving.extend_from_slice(document);
    }

    /// Nothing waits to be sent.
    pub(super) fn is_idle(&self) -> bool {
        self.leaving.is_empty() && !self.is_over
    }

    /// Sends what goes.
    pub(super) fn write(&mut self) {
        while !self.leaving.is_empty() {
            match self.stream.write(&self.leaving) {
                Ok(0) => return self.is_over = true,
                Ok(sent) => drop(self.leaving.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.is_over = true,
            }
        }
    }
}

/// Documents of a transaction: the length of the key (2 bytes), of the document (4 bytes), both.
pub(super) fn pairs(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_first_chunk::<6>()?;
        let key = u16::from_le_bytes([head[0], head[1]]) as usize;
        let document = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let (key, rest) = rest.split_at_checked(key)?;
        let (document, rest) = rest.split_at_checked(document)?;
        bytes = rest;
        Some((key, document))
    })
}

/// Adds a document to a transaction, as [`pairs`] takes it apart.
pub(in crate::speed) fn push_pair(body: &mut Vec<u8>, key: &[u8], document: &[u8]) {
    body.extend_from_slice(&(key.len() as u16).to_le_bytes());
    body.extend_from_slice(&(document.len() as u32).to_le_bytes());
    body.extend_from_slice(key);
    body.extend_from_slice(document);
}
