//! The floor: the least that any server must do for the same promise, as a yardstick for what this machine allows.
//!
//! One thread. In every turn it takes what has arrived on all connections, appends it to one log, syncs once, and
//! answers. A replica gets the bytes of the log, checks every record, appends, syncs, and then shows it. There is no
//! schema, no version, no access control, no digest and no retention; the index is in memory.

mod log;
mod wire;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use log::Log;
pub(super) use wire::push_pair;
use wire::{Connection, Request};

const LISTENER: Token = Token(0);
const SOURCE: Token = Token(1);
const FIRST: usize = 2;
const EVENTS: usize = 1024;
const READ_BYTES: usize = 256 << 10;
/// What a follower that is behind gets in one turn.
const SHIPMENT_BYTES: usize = 1 << 20;

/// Serves on a port of this machine, for ever. With a source it is a replica of the floor on that port.
pub fn serve(folder: &Path, port: u16, source: Option<u16>) -> io::Result<()> {
    let mut server = Server::open(folder, port, source)?;
    let mut events = Events::with_capacity(EVENTS);
    loop {
        server.poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => server.accept()?,
                SOURCE => server.take_from_source()?,
                Token(number) => server.take(number),
            }
        }
        server.log.commit()?;
        server.answer();
        // Afterwards every follower has all, or its connection is full and will say when it is not.
        server.ship()?;
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    source: Option<Connection>,
    connections: HashMap<usize, Connection>,
    /// Connections that follow, and how far each has the log.
    followers: HashMap<usize, u64>,
    next: usize,
    log: Log,
    scratch: Box<[u8]>,
}

impl Server {
    fn open(folder: &Path, port: u16, source: Option<u16>) -> io::Result<Server> {
        let log = Log::open(folder)?;
        let poll = Poll::new()?;
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut listener = TcpListener::bind(local(port))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let source = source.map(|port| {
            let mut stream = std::net::TcpStream::connect(local(port))?;
            io::Write::write_all(
                &mut stream,
                format!("GET /follow/{} HTTP/1.1\r\n\r\n", log.end()).as_bytes(),
            )?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, SOURCE, Interest::READABLE)?;
            Ok::<_, io::Error>(Connection::new(stream))
        });
        let source = source.transpose()?;
        Ok(Server {
            poll,
            listener,
            source,
            connections: HashMap::new(),
            followers: HashMap::new(),
            next: FIRST,
            log,
            scratch: vec![0; READ_BYTES].into(),
        })
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(self.next), both)?;
            self.connections.insert(self.next, Connection::new(stream));
            self.next += 1;
        }
    }

    /// What the source sent: whole records go into the log, what is incomplete waits.
    fn take_from_source(&mut self) -> io::Result<()> {
        let Some(source) = &mut self.source else { return Ok(()) };
        if source.read(&mut self.scratch) {
            return Err(io::Error::other("the source went away"));
        }
        let taken = self.log.append_records(&source.arrived)?;
        source.arrived.drain(..taken);
        Ok(())
    }

    fn take(&mut self, number: usize) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.is_over |= connection.read(&mut self.scratch);
        loop {
            let request = match connection.request() {
                Ok(Some(request)) => request,
                Ok(None) => break,
                Err(_) => {
                    connection.is_over = true;
                    break;
                }
            };
            match request {
                Request::Put { key, document } => {
                    self.log.put(&connection.arrived[key], &connection.arrived[document]);
                    connection.answer_nothing();
                }
                Request::PutMany(records) => {
                    for (key, document) in wire::pairs(&connection.arrived[records]) {
                        self.log.put(key, document);
                    }
                    connection.answer_nothing();
                }
                Request::Get { key } => {
                    let document = self.log.get(&connection.arrived[key]);
                    connection.answer(document.as_deref());
                }
                Request::Follow { from } => drop(self.followers.insert(number, from)),
            }
            connection.taken();
        }
    }

    /// Brings followers what is durable: from memory, or from the log if they are behind.
    fn ship(&mut self) -> io::Result<()> {
        for (number, at) in &mut self.followers {
            let Some(connection) = self.connections.get_mut(number) else { continue };
            while *at < self.log.end() && connection.is_idle() {
                *at += self.log.copy(*at, SHIPMENT_BYTES, &mut connection.leaving)? as u64;
                connection.write();
            }
        }
        self.log.forget_last();
        Ok(())
    }

    fn answer(&mut self) {
        self.connections.retain(|number, connection| {
            connection.write();
            if connection.is_over {
                self.followers.remove(number);
            }
            !connection.is_over
        });
    }
}
