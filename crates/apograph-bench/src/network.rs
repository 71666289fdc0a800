//! A line to a server with what goes wrong on networks: bytes are late, few, held back, or never come, and connections
//! break or live on one side only.
//!
//! [`proxy`](crate::proxy) counts what goes over a line and lies about it; here every byte that arrives is right.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

/// Bytes that are passed on at once.
const PIECE_BYTES: usize = 16 << 10;
/// Of a narrow line: one piece takes a while even so.
const NARROW_PIECE_BYTES: usize = 512;

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trouble {
    /// Nothing.
    #[default]
    Nothing,
    /// Each piece is so much later.
    Late {
        /// By so much.
        milliseconds: u64,
    },
    /// So little comes through, each way.
    Narrow {
        /// Of each connection.
        bytes_per_second: u64,
    },
    /// Nothing comes through in one direction, or in both: it is late by as long as this lasts.
    Cut {
        /// From who asks to the server.
        up: bool,
        /// From the server to who asks.
        down: bool,
    },
    /// Connections are refused, and those there are end.
    Refused,
    /// Each connection is reset when so many bytes of answers have come through, wherever that is in a message.
    Reset {
        /// So many.
        after_bytes: u64,
    },
    /// The server hears that connections ended; who asked does not, and waits. New ones are well.
    HalfOpen,
    /// All that is asked is asked twice, over two connections; nobody hears the second answer.
    Doubled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// How a connection ends.
enum End {
    Closed,
    Reset,
    HalfOpen,
}

/// What a line does, and since when: connections know whether they are older.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    trouble: Trouble,
    number: u64,
}

/// A line to a server. It listens until it is dropped.
#[derive(Debug)]
pub struct Network {
    /// Where it listens.
    pub at: SocketAddrV4,
    weather: watch::Sender<Weather>,
    broken: Arc<AtomicU64>,
    // Its thread ends with it.
    _over: tokio::sync::oneshot::Sender<()>,
}

impl Trouble {
    fn holds(self, direction: Direction) -> bool {
        match self {
            Trouble::Cut { up, down } => {
                (direction == Direction::Up && up) || (direction == Direction::Down && down)
            }
            _ => false,
        }
    }

    /// Connections that were there before end when it begins.
    fn ends_others(self) -> Option<End> {
        match self {
            Trouble::Refused => Some(End::Reset),
            Trouble::HalfOpen => Some(End::HalfOpen),
            // Otherwise there would be nothing to double.
            Trouble::Doubled => Some(End::Closed),
            _ => None,
        }
    }

    /// How long a piece is on its way.
    fn delay(self, length: usize) -> Duration {
        match self {
            Trouble::Late { milliseconds } => Duration::from_millis(milliseconds),
            Trouble::Narrow { bytes_per_second } => {
                Duration::from_micros(length as u64 * 1_000_000 / bytes_per_second.max(1))
            }
            _ => Duration::ZERO,
        }
    }
}

impl Network {
    /// A line to a server at this port of loopback, with nothing wrong.
    pub fn to(port: u16) -> Network {
        Network::between(Ipv4Addr::LOCALHOST, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
    }

    /// A line from this address of ours to a server that is there, with nothing wrong.
    pub fn between(here: Ipv4Addr, there: SocketAddrV4) -> Network {
        let listener = TcpListener::bind((here, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (weather, seen) = watch::channel(Weather::default());
        let (over, ended) = tokio::sync::oneshot::channel();
        let broken = Arc::<AtomicU64>::default();
        let port = listener.local_addr().unwrap().port();
        let counted = Arc::clone(&broken);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = listen(listener, there, seen, counted) => {}
                    _ = ended => {}
                }
            });
        });
        Network { at: SocketAddrV4::new(here, port), weather, broken, _over: over }
    }

    /// The same, for a client.
    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// From now on this is wrong with it, and nothing else.
    pub fn suffer(&self, trouble: Trouble) {
        self.weather.send_modify(|weather| *weather = Weather { trouble, number: weather.number + 1 });
    }

    /// Nothing is wrong with it any more. What was held back goes on; what ended stays so.
    pub fn heal(&self) {
        self.suffer(Trouble::Nothing);
    }

    /// What is wrong with it.
    pub fn trouble(&self) -> Trouble {
        self.weather.borrow().trouble
    }

    /// Connections that trouble ended.
    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }
}

async fn listen(
    listener: tokio::net::TcpListener,
    there: SocketAddrV4,
    seen: watch::Receiver<Weather>,
    broken: Arc<AtomicU64>,
) {
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        let (seen, broken) = (seen.clone(), Arc::clone(&broken));
        tokio::spawn(async move { drop(connection(near, there, seen, &broken).await) });
    }
}

async fn connection(
    mut near: TcpStream,
    there: SocketAddrV4,
    seen: watch::Receiver<Weather>,
    broken: &AtomicU64,
) -> io::Result<()> {
    let born = *seen.borrow();
    if born.trouble == Trouble::Refused {
        return near.set_zero_linger();
    }
    let mut far = TcpStream::connect(there).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let second = match born.trouble {
        Trouble::Doubled => TcpStream::connect(there).await.ok(),
        _ => None,
    };
    let (unheard, echo) = second.map(TcpStream::into_split).unzip();
    let listening = unheard.map(|mut unheard| {
        tokio::spawn(async move { drop(tokio::io::copy(&mut unheard, &mut tokio::io::sink()).await) })
    });
    let end = {
        let (mut near_out, mut near_in) = near.split();
        let (mut far_out, mut far_in) = far.split();
        let ways = [(Direction::Up, seen.clone()), (Direction::Down, seen.clone())];
        let [up, down] = ways.map(|(direction, seen)| Way { direction, born: born.number, seen });
        tokio::select! {
            end = up.pass(&mut near_out, &mut far_in, echo) => end,
            end = down.pass(&mut far_out, &mut near_in, None) => end,
        }
    };
    if let Some(listening) = listening {
        listening.abort();
    }
    match end {
        Ok(End::Closed) | Err(_) => {}
        Ok(End::Reset) => {
            broken.fetch_add(1, Ordering::Relaxed);
            near.set_zero_linger()?;
            far.set_zero_linger()?;
        }
        Ok(End::HalfOpen) => {
            broken.fetch_add(1, Ordering::Relaxed);
            drop(far);
            // Until who asked gives up: nothing that it says is heard, nothing is answered.
            tokio::io::copy(&mut near, &mut tokio::io::sink()).await?;
        }
    }
    Ok(())
}

/// One direction of a connection.
struct Way {
    direction: Direction,
    /// The weather when it was opened.
    born: u64,
    seen: watch::Receiver<Weather>,
}

impl Way {
    /// Passes bytes on, as the weather is, until the connection ends.
    async fn pass(
        mut self,
        from: &mut (impl AsyncReadExt + Unpin),
        to: &mut (impl AsyncWriteExt + Unpin),
        mut echo: Option<tokio::net::tcp::OwnedWriteHalf>,
    ) -> io::Result<End> {
        let mut piece = vec![0; PIECE_BYTES];
        // Answers that came through since the weather changed.
        let (mut since, mut passed) = (self.born, 0);
        loop {
            let Weather { trouble, number } = *self.seen.borrow_and_update();
            if number != since {
                (since, passed) = (number, 0);
            }
            if let Some(end) = trouble.ends_others().filter(|_| self.born < number) {
                return Ok(end);
            }
            if trouble.holds(self.direction) {
                if self.seen.changed().await.is_err() {
                    return Ok(End::Closed);
                }
                continue;
            }
            let most =
                if matches!(trouble, Trouble::Narrow { .. }) { NARROW_PIECE_BYTES } else { PIECE_BYTES };
            let length = tokio::select! {
                length = from.read(&mut piece[..most]) => length?,
                changed = self.seen.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Ok(End::Closed),
                },
            };
            if length == 0 {
                return Ok(End::Closed);
            }
            sleep(trouble.delay(length)).await;
            if let (Trouble::Reset { after_bytes }, Direction::Down) = (trouble, self.direction) {
                let left = usize::try_from(after_bytes.saturating_sub(passed)).unwrap_or(usize::MAX);
                if length >= left {
                    to.write_all(&piece[..left]).await?;
                    return Ok(End::Reset);
                }
            }
            passed += length as u64;
            to.write_all(&piece[..length]).await?;
            if let Some(second) = &mut echo
                && second.write_all(&piece[..length]).await.is_err()
            {
                echo = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    /// Says everything again that it hears, and tells what it heard.
    fn parrot() -> (u16, mpsc::Receiver<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let tell = tell.clone();
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = socket.read(&mut bytes) {
                        let _ = tell.send(bytes[..length].to_vec());
                        let _ = socket.write_all(&bytes[..length]);
                    }
                    let _ = tell.send(Vec::new());
                });
            }
        });
        (port, heard)
    }

    fn connect(network: &Network) -> TcpStream {
        let socket = TcpStream::connect(network.at).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    fn say(socket: &mut TcpStream, text: &str) -> io::Result<String> {
        socket.write_all(text.as_bytes())?;
        let mut answer = vec![0; text.len()];
        socket.read_exact(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    #[test]
    fn a_line_with_nothing_wrong_passes_everything_on() {
        let network = Network::to(parrot().0);
        assert_eq!(say(&mut connect(&network), "hello").unwrap(), "hello");
    }

    #[test]
    fn bytes_are_late_and_few() {
        let network = Network::to(parrot().0);
        // What is narrow comes in pieces: those that came back are on their way while others go there.
        for (trouble, text, at_least) in [
            (Trouble::Late { milliseconds: 100 }, "a".to_owned(), 190),
            (Trouble::Narrow { bytes_per_second: 10_000 }, "b".repeat(1_000), 95),
        ] {
            network.suffer(trouble);
            let began = Instant::now();
            assert_eq!(say(&mut connect(&network), &text).unwrap(), text);
            let took = began.elapsed();
            assert!(took >= Duration::from_millis(at_least), "{trouble:?}: {took:?}");
        }
    }

    /// What was held back comes when the line is whole again, on the same connection, and nothing is missing.
    #[test]
    fn a_direction_that_is_cut_holds_everything_back() {
        let (port, heard) = parrot();
        let network = Network::to(port);
        let mut socket = connect(&network);
        assert_eq!(say(&mut socket, "before").unwrap(), "before");
        assert_eq!(heard.recv().unwrap(), b"before");
        network.suffer(Trouble::Cut { up: false, down: true });
        socket.write_all(b"heard").unwrap();
        assert_eq!(heard.recv_timeout(Duration::from_secs(20)).unwrap(), b"heard", "upwards it is whole");
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let error = socket.read(&mut [0; 5]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        network.heal();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut late = [0; 5];
        socket.read_exact(&mut late).unwrap();
        assert_eq!(&late, b"heard");
    }

    #[test]
    fn a_connection_is_reset_in_the_middle_of_an_answer() {
        let network = Network::to(parrot().0);
        let mut socket = connect(&network);
        network.suffer(Trouble::Reset { after_bytes: 3 });
        socket.write_all(b"abcdef").unwrap();
        let mut answer = Vec::new();
        let error = socket.read_to_end(&mut answer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(b"abc".starts_with(&answer), "never more than that: {answer:?}");
        assert_eq!(network.broken(), 1);
    }

    #[test]
    fn a_half_open_connection_ends_at_the_server_only_and_new_ones_are_well() {
        let (port, heard) = parrot();
        let network = Network::to(port);
        let mut socket = connect(&network);
        assert_eq!(say(&mut socket, "x").unwrap(), "x");
        assert_eq!(heard.recv().unwrap(), b"x");
        network.suffer(Trouble::HalfOpen);
        assert_eq!(heard.recv_timeout(Duration::from_secs(20)).unwrap(), b"", "the server hears the end");
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(say(&mut socket, "y").is_err(), "nobody answers");
        assert_eq!(say(&mut connect(&network), "z").unwrap(), "z");
    }

    #[test]
    fn what_is_asked_is_heard_twice_and_answered_once() {
        let (port, heard) = parrot();
        let network = Network::to(port);
        network.suffer(Trouble::Doubled);
        let mut socket = connect(&network);
        assert_eq!(say(&mut socket, "twice").unwrap(), "twice");
        let both = [heard.recv(), heard.recv()].map(Result::unwrap);
        assert_eq!(both, [b"twice".to_vec(), b"twice".to_vec()]);
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(socket.read(&mut [0; 1]).is_err(), "one answer, not two");
    }

    #[test]
    fn a_refused_line_ends_what_was_there_and_takes_nothing_new() {
        let network = Network::to(parrot().0);
        let mut socket = connect(&network);
        assert_eq!(say(&mut socket, "x").unwrap(), "x");
        network.suffer(Trouble::Refused);
        assert!(say(&mut socket, "y").is_err());
        assert!(say(&mut connect(&network), "z").is_err());
        network.heal();
        assert_eq!(say(&mut connect(&network), "well").unwrap(), "well");
    }
}
