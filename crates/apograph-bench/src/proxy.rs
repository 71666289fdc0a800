//! What stands at the source's address: somebody else, or a line to a source that counts, and may be bad.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bytes that are passed on at once.
const PIECE_BYTES: usize = 32 << 10;

/// What a connection gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The server at this port.
    To(u16),
    /// The same, but a journal's bytes break off, every time a little later; so many times.
    Cut {
        /// Of the server.
        port: u16,
        /// How often.
        times: u64,
    },
    /// The same, but one bit of a journal's bytes is another, every time a little later; so many times.
    Flip {
        /// Of the server.
        port: u16,
        /// How often.
        times: u64,
    },
    /// The same, but a journal's bytes go on as garbage, every time a little later; so many times.
    Garbage {
        /// Of the server.
        port: u16,
        /// How often.
        times: u64,
    },
    /// These bytes, then the end.
    Says(&'static [u8]),
    /// Nothing, for ever.
    Silence,
}

/// What went over a line. Heads of requests and answers are counted as what they are: bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes to the source.
    pub bytes_asked: u64,
    /// Bytes from the source.
    pub bytes_answered: u64,
    /// Requests, of whatever route.
    pub requests: u64,
    /// Requests and the bytes of their answers, by the last word of their route.
    pub routes: BTreeMap<String, (u64, u64)>,
}

impl Traffic {
    /// Both ways.
    pub fn bytes(&self) -> u64 {
        self.bytes_asked + self.bytes_answered
    }

    /// Requests to one route.
    pub fn requests_to(&self, route: &str) -> u64 {
        self.routes.get(route).map_or(0, |(requests, _)| *requests)
    }
}

/// Listens until the process ends.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    line: Arc<Mutex<Line>>,
    /// Journals opened since the line was set.
    journals: Arc<AtomicU64>,
    traffic: Arc<Mutex<Traffic>>,
    /// Of answers, over each connection; zero for no limit.
    bytes_per_second: Arc<AtomicU64>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

/// What is known of one connection, shared by its two directions.
#[derive(Debug, Default)]
struct Connection {
    /// Of the proxy.
    traffic: Arc<Mutex<Traffic>>,
    /// Of the proxy.
    bytes_per_second: Arc<AtomicU64>,
    /// Which journal it carries, counted from one; zero for none yet.
    journal: AtomicU64,
    /// The route of its last request.
    route: Mutex<String>,
}

impl Proxy {
    /// Listens at a free port of loopback.
    pub fn start(line: Line) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy {
            port: listener.local_addr().unwrap().port(),
            line: Arc::new(Mutex::new(line)),
            journals: Arc::default(),
            traffic: Arc::default(),
            bytes_per_second: Arc::default(),
            open: Arc::default(),
        };
        let (line, open, journals) = (proxy.line.clone(), proxy.open.clone(), proxy.journals.clone());
        let (traffic, bytes_per_second) = (proxy.traffic.clone(), proxy.bytes_per_second.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                open.lock().unwrap().push(socket.try_clone().unwrap());
                let line = line.lock().unwrap().clone();
                let about = Connection {
                    traffic: traffic.clone(),
                    bytes_per_second: bytes_per_second.clone(),
                    ..Connection::default()
                };
                let journals = journals.clone();
                std::thread::spawn(move || drop(connection(socket, &line, journals, Arc::new(about))));
            }
        });
        proxy
    }

    /// Another line for new connections; those there are end.
    pub fn switch(&self, line: Line) {
        *self.line.lock().unwrap() = line;
        self.journals.store(0, Ordering::SeqCst);
        for socket in self.open.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Journals opened since the line was set.
    pub fn journals(&self) -> u64 {
        self.journals.load(Ordering::SeqCst)
    }

    /// So fast are answers on each connection from now on, about; none for as fast as they come.
    pub fn throttle(&self, bytes_per_second: Option<u64>) {
        self.bytes_per_second.store(bytes_per_second.unwrap_or(0), Ordering::SeqCst);
    }

    /// What went over it since it was asked the last time.
    pub fn take_traffic(&self) -> Traffic {
        std::mem::take(&mut *self.traffic.lock().unwrap())
    }
}

fn connection(
    mut socket: TcpStream,
    line: &Line,
    journals: Arc<AtomicU64>,
    about: Arc<Connection>,
) -> std::io::Result<()> {
    let port = match line {
        Line::To(port) | Line::Cut { port, .. } | Line::Flip { port, .. } | Line::Garbage { port, .. } => {
            *port
        }
        Line::Says(bytes) => {
            let _ = socket.read(&mut [0; 4096])?;
            socket.write_all(bytes)?;
            return socket.shutdown(Shutdown::Both);
        }
        Line::Silence => loop {
            if socket.read(&mut [0; 4096])? == 0 {
                return Ok(());
            }
        },
    };
    let mut source = match TcpStream::connect(("127.0.0.1", port)) {
        Ok(source) => source,
        Err(error) => {
            // Dropping it would not end it: the list of open connections has it, too.
            socket.shutdown(Shutdown::Both)?;
            return Err(error);
        }
    };
    source.set_nodelay(true)?;
    socket.set_nodelay(true)?;
    let asking = (socket.try_clone()?, source.try_clone()?);
    let seen = about.clone();
    std::thread::spawn(move || ask(asking, &seen, &journals));
    let outcome = answer(&mut source, &mut socket, line, &about);
    let _ = (source.shutdown(Shutdown::Both), socket.shutdown(Shutdown::Both));
    outcome
}

impl Connection {
    /// Counts bytes of an answer, and holds them back as long as the line is slow.
    fn answered(&self, length: u64) {
        {
            let mut traffic = self.traffic.lock().unwrap();
            traffic.bytes_answered += length;
            traffic.routes.entry(self.route.lock().unwrap().clone()).or_default().1 += length;
        }
        if let Some(micros) = (length * 1_000_000).checked_div(self.bytes_per_second.load(Ordering::SeqCst)) {
            std::thread::sleep(Duration::from_micros(micros));
        }
    }
}

/// Passes the copy's bytes on, and looks for requests in them.
fn ask((mut asking, mut there): (TcpStream, TcpStream), about: &Connection, journals: &AtomicU64) {
    let mut bytes = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = asking.read(&mut bytes) {
        for route in routes(&bytes[..length]) {
            if route == "journal" {
                about.journal.store(journals.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            }
            let mut traffic = about.traffic.lock().unwrap();
            traffic.requests += 1;
            traffic.routes.entry(route.clone()).or_default().0 += 1;
            *about.route.lock().unwrap() = route;
        }
        about.traffic.lock().unwrap().bytes_asked += length as u64;
        if there.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = there.shutdown(Shutdown::Both);
}

/// The last words of the routes of all requests whose heads begin in these bytes. A head comes in one piece.
fn routes(bytes: &[u8]) -> Vec<String> {
    const VERSION: &[u8] = b" HTTP/1.1\r\n";
    let ends = bytes.windows(VERSION.len()).enumerate().filter(|(_, window)| *window == VERSION);
    let line = |end: usize| {
        let start = bytes[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (_, path) = std::str::from_utf8(&bytes[start..end]).ok()?.split_once(' ')?;
        let path = path.split('?').next()?;
        path.starts_with('/').then(|| path.rsplit('/').next().unwrap_or_default().to_owned())
    };
    ends.filter_map(|(end, _)| line(end)).collect()
}

/// Passes the source's bytes on; those of a journal as the line says.
fn answer(
    source: &mut TcpStream,
    socket: &mut TcpStream,
    line: &Line,
    about: &Connection,
) -> std::io::Result<()> {
    let mut bytes = vec![0; PIECE_BYTES];
    let mut passed = 0;
    loop {
        let length = source.read(&mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        let number = about.journal.load(Ordering::SeqCst);
        // Behind the head of the answer, and a little later every time.
        let at = usize::try_from(400 + number * 67).unwrap();
        let is_bad = |times: u64| number > 0 && number <= times && passed <= at && passed + length > at;
        let inside = at.saturating_sub(passed);
        match line {
            Line::Cut { times, .. } if is_bad(*times) => return socket.write_all(&bytes[..inside]),
            Line::Flip { times, .. } if is_bad(*times) => bytes[inside] ^= 0x20,
            Line::Garbage { times, .. } if is_bad(*times) => {
                socket.write_all(&bytes[..inside])?;
                return socket.write_all(&[0xa5; 5000]);
            }
            _ => {}
        }
        about.answered(length as u64);
        socket.write_all(&bytes[..length])?;
        passed += if number > 0 { length } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn requests_are_found() {
        let bytes = b"GET /v1/databases/main/partitions/0/journal?from=x HTTP/1.1\r\nhost: a\r\n\r\n{}POST /a/report HTTP/1.1\r\n";
        assert_eq!(
            super::routes(bytes),
            ["journal", "report"],
            "also behind a body that ends without a line"
        );
        assert_eq!(super::routes(b"POST /a/report HTTP/1.1\r\nhost: a\r\n"), ["report"]);
    }
}
