//! The operating system as simulated servers see it: clock, randomness and disks of a thread.
//!
//! The engine, its journal, its store and the libraries under them run as they are. What they ask of the C library ends in
//! [`calls`]: in a thread that has an [`Os`], clocks are what the simulation says, random bytes come from its seed, and what
//! is done to files below its folder is written down, fails, or stops as the simulation wants. The bytes themselves are in
//! files in memory; what a power cut leaves of them is what [`Replay`] says. Other threads notice nothing.

mod calls;
mod host;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use crate::disk::Node;
use crate::random::Random;

pub use host::{Failure, Host, compare, rot, set_to, shown, survive};

/// The first moment: microseconds since 1970.
pub const BEGINNING_US: u64 = 1_800_000_000_000_000;

thread_local! {
    static OS: RefCell<Option<Os>> = const { RefCell::new(None) };
}

/// Clock, randomness and disks of a thread.
#[derive(Debug)]
pub struct Os {
    /// Microseconds since the beginning.
    now_us: u64,
    random: Random,
    /// Folders of it are the disks of the hosts: `0`, `1`, and so on.
    root: PathBuf,
    hosts: Vec<Host>,
    /// Whose code is running.
    current: Option<usize>,
    /// Open files and folders of hosts.
    files: BTreeMap<i32, (usize, Node)>,
    /// The simulation itself is at work: nothing is written down.
    is_away: bool,
}

/// Where a path of a host leads: to something, or to a place in a folder where something may be.
struct Place {
    host: usize,
    /// `None`: the disk itself.
    parent: Option<(Node, OsString)>,
    node: Option<Node>,
}

/// Installs clock, randomness and disks for this thread, until the answer is dropped.
pub fn install(seed: u64, root: PathBuf, hosts: usize) -> Installed {
    let hosts = (0..hosts).map(|_| Host::default()).collect();
    let os = Os {
        now_us: 0,
        random: Random::new(seed),
        root,
        hosts,
        current: None,
        files: BTreeMap::new(),
        is_away: false,
    };
    OS.with(|slot| *slot.borrow_mut() = Some(os));
    Installed(())
}

/// Ends with the simulation of a thread.
#[derive(Debug)]
pub struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = OS.try_with(|slot| slot.borrow_mut().take());
    }
}

/// What a thread's system answers; `None` where there is none, or while the simulation itself is at work.
fn simulated<T>(ask: impl FnOnce(&mut Os) -> T) -> Option<T> {
    let ask = |slot: &RefCell<Option<Os>>| {
        let mut os = slot.try_borrow_mut().ok()?;
        os.as_mut().filter(|os| !os.is_away).map(ask)
    };
    OS.try_with(ask).ok().flatten()
}

/// Asks the system of this thread.
///
/// # Panics
/// If nothing is installed.
pub fn with<T>(ask: impl FnOnce(&mut Os) -> T) -> T {
    OS.with(|slot| ask(slot.borrow_mut().as_mut().expect("a system is installed")))
}

/// Does something as the code of a host.
pub fn as_host<T>(host: usize, run: impl FnOnce() -> T) -> T {
    let before = with(|os| os.current.replace(host));
    let done = run();
    with(|os| os.current = before);
    done
}

/// Does something that is no part of the simulation: its clock is the simulated one, its files are nobody's.
pub fn away<T>(run: impl FnOnce() -> T) -> T {
    let before = with(|os| std::mem::replace(&mut os.is_away, true));
    let done = run();
    with(|os| os.is_away = before);
    done
}

impl Os {
    /// Microseconds since the beginning.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// It is that late now; it never was later.
    pub fn advance_to(&mut self, now_us: u64) {
        self.now_us = self.now_us.max(now_us);
    }

    /// The disk of a host, and what is to become of it.
    pub fn host(&mut self, host: usize) -> &mut Host {
        self.hosts.get_mut(host).expect("the host is one of those installed")
    }

    /// Where a host's disk is.
    pub fn folder(&self, host: usize) -> PathBuf {
        self.root.join(host.to_string())
    }

    /// Nobody has a file of this host open any more.
    fn forget_files(&mut self, host: usize) {
        self.files.retain(|_, (of, _)| *of != host);
    }

    /// Microseconds since 1970 as the clock of the host says that is running.
    fn wall_us(&mut self) -> u64 {
        let skew = self.current.and_then(|host| self.hosts.get(host)).map_or(0, |host| host.skew_us);
        self.monotonic_us().saturating_add(BEGINNING_US).saturating_add_signed(skew)
    }

    /// Time passes for those who look at it, so that whoever waits for it does not wait for ever.
    fn monotonic_us(&mut self) -> u64 {
        self.now_us += 1;
        let Some(host) = self.current.and_then(|host| self.hosts.get_mut(host)) else { return self.now_us };
        if host.busy_until_us <= self.now_us {
            return self.now_us;
        }
        // It waited for its disk, and all others go on from where they are.
        host.busy_until_us += 1;
        host.busy_until_us
    }

    /// A disk did something; if it is slow, it took its time.
    fn took(&mut self, host: usize, is_sync: bool) {
        let now_us = self.now_us;
        let Some(host) = self.hosts.get_mut(host) else { return };
        let (of_sync, of_other) = host.slow_us;
        let us = if is_sync { of_sync } else { of_other };
        if us > 0 {
            host.busy_until_us = host.busy_until_us.max(now_us) + us;
        }
    }

    /// Where a path leads, if to a host's disk.
    fn place(&self, path: &Path) -> Option<Place> {
        let mut below = path.strip_prefix(&self.root).ok()?.components();
        let host = match below.next()? {
            Component::Normal(name) => name.to_str()?.parse::<usize>().ok()?,
            _ => return None,
        };
        let nodes = self.hosts.get(host)?.replay.shown();
        let mut place = Place { host, parent: None, node: Some(crate::disk::ROOT) };
        for component in below {
            let Component::Normal(name) = component else { return None };
            let folder = place.node?;
            place.node = nodes.names(folder).and_then(|names| names.get(name)).copied();
            place.parent = Some((folder, name.to_owned()));
        }
        Some(place)
    }

    /// The same, of a name in an open folder.
    fn place_in(&self, folder: i32, name: &OsStr) -> Option<Place> {
        let (host, parent) = *self.files.get(&folder)?;
        let nodes = self.hosts.get(host)?.replay.shown();
        let node = nodes.names(parent).and_then(|names| names.get(name)).copied();
        Some(Place { host, parent: Some((parent, name.to_owned())), node })
    }
}
