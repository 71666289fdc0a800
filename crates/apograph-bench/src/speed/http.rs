//! The cheapest HTTP/1.1 client there is: one connection, one request at a time, so that the processor time goes to the
//! servers.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answers with a longer head are none of ours.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A connection that is kept.
#[derive(Debug)]
pub(super) struct Http {
    stream: TcpStream,
    arrived: BytesMut,
    request: Vec<u8>,
    /// Lines that stand in the head of every request.
    headers: String,
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The value of the header that was asked for, where it stands.
    pub header: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl Http {
    /// Connects to a port of this machine; `token` authorizes every request.
    pub(super) async fn connect(port: u16, token: Option<&str>) -> io::Result<Http> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let authorization =
            token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let headers = format!("Host: 127.0.0.1:{port}\r\n{authorization}");
        Ok(Http { stream, arrived: BytesMut::new(), request: Vec::new(), headers })
    }

    /// Sends a request and takes its answer. `wanted` is the lower-case name of a header of the answer.
    pub(super) async fn send(
        &mut self,
        line: &str,
        body: Option<&[u8]>,
        wanted: Option<&str>,
    ) -> io::Result<HttpAnswer> {
        self.request.clear();
        self.request.extend_from_slice(line.as_bytes());
        self.request.extend_from_slice(b" HTTP/1.1\r\n");
        self.request.extend_from_slice(self.headers.as_bytes());
        if let Some(body) = body {
            let about = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
            self.request.extend_from_slice(about.as_bytes());
        }
        self.request.extend_from_slice(b"\r\n");
        self.request.extend_from_slice(body.unwrap_or_default());
        self.stream.write_all(&self.request).await?;
        self.answer(wanted).await
    }

    async fn answer(&mut self, wanted: Option<&str>) -> io::Result<HttpAnswer> {
        let end = loop {
            if let Some(at) = self.arrived.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at;
            }
            if self.arrived.len() > HEAD_BYTES_MAX {
                return Err(io::Error::other("the head of an answer has no end"));
            }
            self.read().await?;
        };
        let head = std::str::from_utf8(&self.arrived[..end]).map_err(io::Error::other)?;
        let head = Head::parse(head, wanted)?;
        self.arrived.advance(end + 4);
        while self.arrived.len() < head.length {
            self.read().await?;
        }
        let body = self.arrived.split_to(head.length).freeze();
        Ok(HttpAnswer { status: head.status, header: head.wanted, body })
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.arrived).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

struct Head {
    status: u16,
    length: usize,
    wanted: Option<String>,
}

impl Head {
    fn parse(text: &str, wanted: Option<&str>) -> io::Result<Head> {
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("an answer without a status"))?;
        let mut head = Head { status, length: 0, wanted: None };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.trim().parse().map_err(io::Error::other)?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(io::Error::other("an answer in chunks"));
            } else if wanted.is_some_and(|wanted| name.eq_ignore_ascii_case(wanted)) {
                head.wanted = Some(value.trim().to_owned());
            }
        }
        Ok(head)
    }
}
