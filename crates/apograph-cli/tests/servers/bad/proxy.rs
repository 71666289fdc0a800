//! What stands at the source's address: somebody else, or a bad line to a source.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What a connection gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// The server at this port.
    To(u16),
    /// The same, but a journal's bytes break off, every time a little later; so many times.
    Cut { port: u16, times: u64 },
    /// The same, but one bit of a journal's bytes is another, every time a little later; so many times.
    Flip { port: u16, times: u64 },
    /// The same, but a journal's bytes go on as garbage, every time a little later; so many times.
    Garbage { port: u16, times: u64 },
    /// These bytes, then the end.
    Says(&'static [u8]),
    /// Nothing, for ever.
    Silence,
}

/// Listens until the test process ends.
pub(super) struct Proxy {
    pub(super) port: u16,
    line: Arc<Mutex<Line>>,
    /// Journals opened since the line was set.
    journals: Arc<AtomicU64>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub(super) fn start(line: Line) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy {
            port: listener.local_addr().unwrap().port(),
            line: Arc::new(Mutex::new(line)),
            journals: Arc::default(),
            open: Arc::default(),
        };
        let (line, journals, open) = (proxy.line.clone(), proxy.journals.clone(), proxy.open.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                open.lock().unwrap().push(socket.try_clone().unwrap());
                let (line, journals) = (line.lock().unwrap().clone(), journals.clone());
                std::thread::spawn(move || drop(connection(socket, &line, &journals)));
            }
        });
        proxy
    }

    /// Another line for new connections; those there are end.
    pub(super) fn switch(&self, line: Line) {
        *self.line.lock().unwrap() = line;
        self.journals.store(0, Ordering::SeqCst);
        for socket in self.open.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn journals(&self) -> u64 {
        self.journals.load(Ordering::SeqCst)
    }
}

fn connection(mut socket: TcpStream, line: &Line, journals: &Arc<AtomicU64>) -> std::io::Result<()> {
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
    let mut source = TcpStream::connect(("127.0.0.1", port))?;
    let (mut asking, mut there) = (socket.try_clone()?, source.try_clone()?);
    // Which journal this connection carries, counted from one; zero for none yet.
    let journal = Arc::new(AtomicU64::new(0));
    let (seen, count) = (journal.clone(), journals.clone());
    std::thread::spawn(move || {
        let mut bytes = [0; 8192];
        while let Ok(length @ 1..) = asking.read(&mut bytes) {
            if bytes[..length].windows(9).any(|window| window == b"/journal?") {
                seen.store(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            }
            if there.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = there.shutdown(Shutdown::Both);
    });
    let outcome = answer(&mut source, &mut socket, line, &journal);
    let _ = (source.shutdown(Shutdown::Both), socket.shutdown(Shutdown::Both));
    outcome
}

/// Passes the source's bytes on; those of a journal as the line says.
fn answer(
    source: &mut TcpStream,
    socket: &mut TcpStream,
    line: &Line,
    journal: &AtomicU64,
) -> std::io::Result<()> {
    let mut bytes = [0; 8192];
    let mut passed = 0;
    loop {
        let length = source.read(&mut bytes)?;
        if length == 0 {
            return Ok(());
        }
        let number = journal.load(Ordering::SeqCst);
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
        socket.write_all(&bytes[..length])?;
        passed += if number > 0 { length } else { 0 };
    }
}
