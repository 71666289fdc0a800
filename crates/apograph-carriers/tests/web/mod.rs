//! A source behind a real socket, as small as it can be: it speaks just enough HTTP.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use apograph_carriers::conformance::Source;
use apograph_carriers::memory::{Memory, MemoryChunks};
use apograph_carriers::stream::StreamCarrier;
use apograph_client::Client;
use apograph_client::client::ClientSettings;
use apograph_format::{Entry, PartitionId, View};
use apograph_replication::carrier::{Carrier, Chunks, JournalRequest, RefusalKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The memory source decides; this one carries.
pub(crate) struct WebSource {
    memory: Memory,
    address: SocketAddr,
    sent: Arc<AtomicUsize>,
    babble: Arc<Mutex<Option<&'static [u8]>>>,
    listening: JoinHandle<()>,
}

impl WebSource {
    /// Listens on a free port.
    pub(crate) async fn start() -> WebSource {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (memory, sent) = (Memory::default(), Arc::new(AtomicUsize::new(0)));
        let babble = Arc::new(Mutex::new(None));
        let shared = (memory.clone(), Arc::clone(&sent), Arc::clone(&babble));
        let listening = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (memory, sent, babble) = shared.clone();
                let babble = *babble.lock().unwrap();
                tokio::spawn(async move {
                    // A reader that goes away is no failure.
                    let _ = answer(socket, memory, sent, babble).await;
                });
            }
        });
        WebSource { memory, address, sent, babble, listening }
    }
}

impl Drop for WebSource {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Source for WebSource {
    type Carrier = StreamCarrier;

    fn carrier(&self) -> StreamCarrier {
        let mut settings = ClientSettings::new(format!("http://{}", self.address));
        settings.retries = 0;
        StreamCarrier::new(Client::new(settings).unwrap(), "main")
    }

    fn append(&self, entry: Entry) {
        self.memory.append(entry);
    }

    fn refuse(&self, kind: RefusalKind) {
        self.memory.refuse(kind);
    }

    fn cut_after(&self, bytes: usize) {
        self.memory.cut_after(bytes);
    }

    fn babble(&self, bytes: &'static [u8]) {
        *self.babble.lock().unwrap() = Some(bytes);
    }

    fn go_away(&self) {
        self.listening.abort();
        self.memory.go_away();
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

async fn answer(
    mut socket: TcpStream,
    memory: Memory,
    sent: Arc<AtomicUsize>,
    babble: Option<&'static [u8]>,
) -> std::io::Result<()> {
    let from = requested(&mut socket).await?;
    match babble {
        Some(html) if html.starts_with(b"<") => {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n",
                html.len()
            );
            socket.write_all(head.as_bytes()).await?;
            return socket.write_all(html).await;
        }
        Some(noise) => return socket.write_all(noise).await,
        None => {}
    }
    let request = JournalRequest { partition: PartitionId(0), view: View::Full, from, source: None };
    match memory.open(&request).await {
        Ok(chunks) => stream(socket, chunks, sent).await,
        Err(refusal) => {
            let (status, code) = refused(refusal.kind);
            let body = format!(r#"{{"type":"x","title":"x","status":{status},"code":"{code}"}}"#);
            let length = body.len();
            let mark =
                if refusal.kind == RefusalKind::NotApograph { "server: other" } else { "apograph: 0.1.0" };
            let head = format!("HTTP/1.1 {status} X\r\n{mark}\r\ncontent-length: {length}\r\n\r\n");
            socket.write_all((head + &body).as_bytes()).await
        }
    }
}

async fn requested(socket: &mut TcpStream) -> std::io::Result<apograph_format::Position> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if socket.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = String::from_utf8(head).unwrap();
    let from = head.split(['?', '&', ' ']).find_map(|word| word.strip_prefix("from=")).unwrap();
    Ok(from.parse().unwrap())
}

async fn stream(
    mut socket: TcpStream,
    mut chunks: MemoryChunks,
    sent: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    socket.write_all(b"HTTP/1.1 200 OK\r\napograph: 0.1.0\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    // A cut is a connection that ends without the last chunk.
    while let Ok(piece) = chunks.next().await {
        let Some(piece) = piece else {
            return socket.write_all(b"0\r\n\r\n").await;
        };
        socket.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        socket.write_all(&piece).await?;
        socket.write_all(b"\r\n").await?;
        sent.fetch_add(piece.len(), Ordering::SeqCst);
    }
    socket.shutdown().await
}

fn refused(kind: RefusalKind) -> (u16, &'static str) {
    match kind {
        RefusalKind::OutOfWindow => (410, "out-of-window"),
        RefusalKind::UnknownPosition => (409, "unknown-position"),
        RefusalKind::SnapshotExpired => (410, "snapshot-expired"),
        RefusalKind::Denied => (401, "unauthenticated"),
        RefusalKind::NoSuchDatabase => (404, "no-such-database"),
        RefusalKind::NotApograph => (418, "other"),
        RefusalKind::ProtocolNewer => (505, "protocol-newer"),
        RefusalKind::Unavailable => (503, "busy"),
    }
}
