//! A port of loopback that stays ours while nobody listens on it.

use std::io::Result;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// Kept for servers that are ended and started again.
///
/// A port that was merely free a moment ago may become the near end of anybody's connection before a server listens on
/// it. This one is bound by a socket that never listens: the system gives it to nobody who asks for any port, and whoever
/// asks for it by its number and reuses addresses, as servers do, still gets it.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    _bound: TcpSocket,
}

impl Port {
    /// One that nobody uses.
    pub fn free() -> Result<Port> {
        Port::reserve(0)
    }

    /// This one. An error if somebody listens on it.
    pub fn reserve(number: u16) -> Result<Port> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, number)))?;
        Ok(Port { number: socket.local_addr()?.port(), _bound: socket })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn servers_listen_on_it_again_and_again_and_nobody_else_gets_it() {
        let port = Port::free().unwrap();
        for _ in 0..3 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number)).unwrap();
            let near = TcpStream::connect((Ipv4Addr::LOCALHOST, port.number)).unwrap();
            drop((listener.accept().unwrap(), near));
            assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port.number)).is_err(), "two listen");
        }
        let others = (0..2000).map(|_| Port::free().unwrap()).collect::<Vec<_>>();
        assert!(others.iter().all(|other| other.number != port.number));
    }
}
