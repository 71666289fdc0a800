//! A machine of its own for a server, as far as its network goes: a network namespace of Linux, with a cable (a pair of
//! virtual Ethernet devices) to the one that we are in.
//!
//! [`network`](crate::network) holds bytes back and ends connections; what the kernel does when packets vanish it cannot
//! do: nobody hears of it, connections stay open on both sides, what was sent is sent again later and later, and connections
//! are refused because there is no way, or nobody answers.
//!
//! Nothing leaves the machine: the namespace knows no way but the cable, and our end of the cable is never taken away from
//! those who send to it. Needs root and the command `ip`.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Of names of ours, before the number of the process.
const PREFIX: &str = "ag";
/// The end of the cable inside of a namespace.
const INNER: &str = "cable";
/// Of Ethernet.
const PACKET_BYTES: u16 = 1500;
/// Where `ip` has the namespaces that have a name.
const NAMESPACES: &str = "/var/run/netns";
/// Where the kernel shows devices.
const DEVICES: &str = "/sys/class/net";
/// 198.18.0.0/15 is for tests of network devices, and for nobody else (RFC 2544); a cable has four addresses of it.
const NETWORK: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const CABLES_MAX: u32 = (1 << 17) / 4;
/// Cables of a process before those of the next.
const CABLES_EACH: u32 = 16;

/// What is wrong with a cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// It is pulled out at the server: whoever opens a connection there is told that there is no way, everybody else waits.
    LinkDown,
    /// Packets vanish on their way, and nobody is told.
    Vanish {
        /// To the server.
        inwards: bool,
        /// From the server.
        outwards: bool,
    },
    /// The server has no way out; what is sent to it arrives.
    RouteLost {
        /// Whoever opens a connection there hears that he may not, instead of that there is no way.
        silent: bool,
    },
    /// The server has no address.
    AddressLost,
    /// What is larger vanishes on the way to the server; connections that are opened now know.
    SmallPackets {
        /// So many get through: at least 300, as the kernel never asks for less than 256 of data and their headers.
        bytes: u16,
    },
}

/// A network namespace with a cable to it. It is removed when it is dropped.
#[derive(Debug)]
pub struct Namespace {
    /// Another one when the machine was lost.
    name: Mutex<String>,
    /// The name of our end of the cable.
    outer: String,
    /// The first address of its network.
    network: u32,
}

impl Namespace {
    /// Makes one with nothing wrong; the reason where that is not possible.
    pub fn new() -> Result<Namespace, String> {
        static ALLOWED: OnceLock<Result<(), String>> = OnceLock::new();
        let probe = || {
            sweep();
            let probed = Namespace::set_up()?;
            probed.carries().map_err(|error| format!("its cable carries nothing: {error}"))
        };
        ALLOWED.get_or_init(probe).clone()?;
        Namespace::set_up()
    }

    fn set_up() -> Result<Namespace, String> {
        static CABLES: AtomicU32 = AtomicU32::new(0);
        let first = std::process::id().wrapping_mul(CABLES_EACH);
        let network = loop {
            let cable = first.wrapping_add(CABLES.fetch_add(1, Ordering::Relaxed)) % CABLES_MAX;
            let network = NETWORK + cable * 4;
            if ip(&format!("-o -4 addr show to {}/30", Ipv4Addr::from(network)))?.is_empty() {
                break network;
            }
        };
        let outer = fresh_name();
        ip(&format!("netns add {outer}"))?;
        // From here on what is there is removed if the rest fails.
        let namespace = Namespace { name: Mutex::new(outer.clone()), outer: outer.clone(), network };
        ip(&format!("link add {outer} type veth peer name {INNER} netns {outer}"))?;
        ip(&format!("addr add {}/30 dev {outer}", namespace.outside()))?;
        // Otherwise the kernel passes many packets on as a large one, which no bound of their size stops.
        ip(&format!("link set {outer} gso_max_segs 1 up"))?;
        namespace.join()?;
        Ok(namespace)
    }

    /// Of a server that lives there.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 2)
    }

    /// Ours, for a server that lives there.
    pub fn outside(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 1)
    }

    /// Does something there, in a thread of its own: what it starts and opens is there for good.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let own = File::open(Path::new(NAMESPACES).join(self.name()))?;
        let enter = || {
            move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        std::thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }

    /// This is wrong with its cable, until [`heal`](Namespace::heal).
    pub fn suffer(&self, outage: Outage) {
        let (name, outer, inside, outside) = (self.name(), &self.outer, self.address(), self.outside());
        // Nobody has this hardware address.
        let nobody = "lladdr 02:00:00:00:00:01 nud permanent";
        match outage {
            Outage::LinkDown => self.pull(),
            Outage::Vanish { inwards, outwards } => {
                if inwards {
                    ip(&format!("neigh replace {inside} dev {outer} {nobody}")).unwrap();
                }
                if outwards {
                    ip(&format!("-n {name} neigh replace {outside} dev {INNER} {nobody}")).unwrap();
                }
            }
            Outage::RouteLost { silent } => {
                let kind = if silent { "blackhole" } else { "unreachable" };
                ip(&format!("-n {name} route add {kind} {outside}/32")).unwrap();
            }
            Outage::AddressLost => {
                ip(&format!("-n {name} addr flush dev {INNER}")).unwrap();
            }
            Outage::SmallPackets { bytes } => {
                ip(&format!("-n {name} link set {INNER} mtu {bytes}")).unwrap();
            }
        }
    }

    /// The cable is pulled out and put in again so many times, each time for so long.
    pub fn flap(&self, times: u64, each: Duration) {
        for _ in 0..times {
            self.pull();
            std::thread::sleep(each);
            self.heal();
            std::thread::sleep(each);
        }
    }

    /// Nothing is wrong any more.
    pub fn heal(&self) {
        let (name, outer) = (self.name(), &self.outer);
        // First: without an address there may be no table of routes.
        self.join().unwrap();
        ip(&format!("neigh flush dev {outer} nud permanent")).unwrap();
        ip(&format!("-n {name} neigh flush dev {INNER} nud permanent")).unwrap();
        for kind in ["blackhole", "unreachable"] {
            ip(&format!("-n {name} route flush type {kind}")).unwrap();
        }
    }

    /// The machine lost its power, with the cable pulled out and all of its processes ended before: here is another one at its
    /// place, well, that knows nothing of the connections of the one before. Nobody was told that they ended.
    pub fn replace(&self) {
        let (old, new) = (self.name(), fresh_name());
        ip(&format!("netns add {new}")).unwrap();
        // Connections of the old one keep it for a while, without a name and without a cable.
        self.name.lock().unwrap().clone_from(&new);
        let moved = ip(&format!("-n {old} link set {INNER} netns {new}"));
        let removed = ip(&format!("netns del {old}"));
        moved.and(removed).unwrap();
        self.heal();
    }

    fn name(&self) -> String {
        self.name.lock().unwrap().clone()
    }

    fn pull(&self) {
        ip(&format!("-n {} link set {INNER} down", self.name())).unwrap();
    }

    /// Its end of the cable is in, has its address and takes whole packets; also if it had before.
    fn join(&self) -> Result<(), String> {
        let name = self.name();
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} link set {INNER} mtu {PACKET_BYTES} up"))?;
        ip(&format!("-n {name} addr replace {}/30 dev {INNER}", self.address()))?;
        Ok(())
    }

    /// Connections are opened in both directions.
    fn carries(&self) -> io::Result<()> {
        let patience = Duration::from_secs(5);
        let listener = TcpListener::bind((self.outside(), 0))?;
        let here = listener.local_addr()?;
        self.within(|| TcpStream::connect_timeout(&here, patience))??;
        let listener = self.within(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
        let there = SocketAddr::from((self.address(), listener.local_addr()?.port()));
        TcpStream::connect_timeout(&there, patience)?;
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&format!("link del {}", self.outer));
        let _ = ip(&format!("netns del {}", self.name()));
    }
}

/// A name with the number of this process in it, which nobody who had that number before left behind. Names of devices have
/// at most 15 characters.
fn fresh_name() -> String {
    static NAMES: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NAMES.fetch_add(1, Ordering::Relaxed) % 100_000;
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        if [DEVICES, NAMESPACES].iter().all(|folder| !Path::new(folder).join(&name).exists()) {
            return name;
        }
    }
}

/// Removes what processes that were killed left behind.
fn sweep() {
    let is_left = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX));
        let process =
            name.and_then(|name| name.split_once('-')).and_then(|(process, _)| process.parse().ok());
        process.is_some_and(|process: u32| !Path::new("/proc").join(process.to_string()).exists())
    };
    for (folder, remove) in [(DEVICES, "link del"), (NAMESPACES, "netns del")] {
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        for left in entries.map(|entry| entry.path()).filter(is_left) {
            // Another process may be at it too.
            let _ = ip(&format!("{remove} {}", left.file_name().unwrap_or_default().to_string_lossy()));
        }
    }
}

/// Runs `ip`; answers what it says.
fn ip(arguments: &str) -> Result<String, String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("the command ip: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::sync::mpsc;

    use super::*;

    /// `None`, and a word about it, where there can be none.
    fn namespace() -> Option<Namespace> {
        Namespace::new().map_err(|reason| eprintln!("skipped: network namespaces: {reason}")).ok()
    }

    /// Somebody there, who says everything again that he hears, and tells how much he heard.
    fn parrot(namespace: &Namespace) -> (SocketAddr, mpsc::Receiver<usize>) {
        let listener = namespace.within(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))).unwrap().unwrap();
        let at = SocketAddr::from((namespace.address(), listener.local_addr().unwrap().port()));
        let (tell, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let tell = tell.clone();
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = socket.read(&mut bytes) {
                        let _ = tell.send(length);
                        let _ = socket.write_all(&bytes[..length]);
                    }
                });
            }
        });
        (at, heard)
    }

    fn connect(at: SocketAddr) -> TcpStream {
        TcpStream::connect_timeout(&at, Duration::from_secs(20)).unwrap()
    }

    /// What comes back of so many bytes.
    fn hear(socket: &mut TcpStream, length: usize, patience: Duration) -> io::Result<()> {
        socket.set_read_timeout(Some(patience))?;
        socket.read_exact(&mut vec![0; length])
    }

    fn is_silence(heard: &io::Result<()>) -> bool {
        heard.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    const SHORT: Duration = Duration::from_millis(150);
    const LONG: Duration = Duration::from_secs(60);

    /// A connection bears every outage: nobody is told, and what was said meanwhile comes when it is over.
    #[test]
    fn nothing_comes_through_while_there_is_an_outage_and_everything_afterwards() {
        let Some(namespace) = namespace() else { return };
        let (at, heard) = parrot(&namespace);
        for (outage, arrives) in [
            (Outage::LinkDown, Some(false)),
            (Outage::Vanish { inwards: true, outwards: false }, Some(false)),
            (Outage::Vanish { inwards: false, outwards: true }, Some(true)),
            // Some systems take nothing from whom they have no way to.
            (Outage::RouteLost { silent: false }, None),
            (Outage::RouteLost { silent: true }, None),
            (Outage::AddressLost, Some(false)),
        ] {
            let mut socket = connect(at);
            socket.write_all(b"before").unwrap();
            hear(&mut socket, 6, LONG).unwrap();
            assert_eq!(heard.recv().unwrap(), 6);
            namespace.suffer(outage);
            socket.write_all(b"meanwhile").unwrap();
            let answer = hear(&mut socket, 1, SHORT);
            assert!(is_silence(&answer), "{outage:?}: {answer:?}");
            let arrived = heard.try_recv().is_ok();
            assert!(arrives.is_none_or(|arrives| arrives == arrived), "{outage:?}");
            namespace.heal();
            hear(&mut socket, 9, LONG).unwrap_or_else(|error| panic!("{outage:?}: {error}"));
            while heard.try_recv().is_ok() {}
        }
    }

    #[test]
    fn large_packets_vanish_and_small_ones_come_through() {
        let Some(namespace) = namespace() else { return };
        let (at, _heard) = parrot(&namespace);
        let mut socket = connect(at);
        hear_all(&mut socket, 9_000);
        namespace.suffer(Outage::SmallPackets { bytes: 576 });
        socket.write_all(&[1; 100]).unwrap();
        hear(&mut socket, 100, LONG).unwrap();
        socket.write_all(&[1; 9_000]).unwrap();
        let answer = hear(&mut socket, 9_000, SHORT);
        assert!(is_silence(&answer), "{answer:?}");
        hear_all(&mut connect(at), 9_000);
        namespace.heal();
        hear(&mut socket, 9_000, LONG).unwrap();
        hear_all(&mut connect(at), 9_000);
    }

    fn hear_all(socket: &mut TcpStream, length: usize) {
        socket.write_all(&vec![1; length]).unwrap();
        hear(socket, length, LONG).unwrap();
    }

    /// Who only listens never hears of it; who says something is told that nobody knows him.
    #[test]
    fn connections_to_a_machine_that_was_lost_stay_open_until_somebody_speaks() {
        let Some(namespace) = namespace() else { return };
        let (at, _heard) = parrot(&namespace);
        let (mut listening, mut speaking) = (connect(at), connect(at));
        hear_all(&mut listening, 5);
        hear_all(&mut speaking, 5);
        namespace.suffer(Outage::LinkDown);
        namespace.replace();
        let again =
            namespace.within(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, at.port()))).unwrap().unwrap();
        drop((connect(at), again.accept().unwrap()));
        assert!(is_silence(&hear(&mut listening, 1, SHORT)));
        speaking.write_all(b"still there?").unwrap();
        let answer = hear(&mut speaking, 1, LONG).unwrap_err();
        assert_eq!(answer.kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn what_killed_processes_left_behind_is_removed_and_nothing_else() {
        let Some(namespace) = namespace() else { return };
        let there = |name: &str| Path::new(NAMESPACES).join(name).exists();
        // No process has such a number.
        let left = "ag99999999-1";
        ip(&format!("netns add {left}")).unwrap();
        ip(&format!("link add {left} type veth peer name {INNER} netns {left}")).unwrap();
        let of_the_living = "ag1-1";
        let _ = ip(&format!("netns del {of_the_living}"));
        ip(&format!("netns add {of_the_living}")).unwrap();
        sweep();
        let is_kept = there(of_the_living);
        ip(&format!("netns del {of_the_living}")).unwrap();
        assert!(is_kept);
        assert!(!there(left));
        assert!(!Path::new(DEVICES).join(left).exists());
        let name = namespace.name();
        drop(namespace);
        assert!(!there(&name));
        assert!(!Path::new(DEVICES).join(name).exists());
    }
}
