//! What a link does next: one state machine, forever and without a person.
//!
//! It has no clock, no sockets and no randomness: the worker that drives it says what happened and when, and does what
//! comes out, in order. `tests/link.transcript` is its specification.
//!
//! - A link that lost its source comes back after growing waits, which start over when every stream made progress.
//! - A link that *stopped* says why, and asks again at long intervals: whoever repairs the cause has nothing to restart.
//! - One stream that fails takes the others with it: all positions are durable, a new start costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use apograph_format::{DatabaseId, PartitionId, ServerKey, View};

use crate::backoff::Backoff;
use crate::carrier::RefusalKind;

/// A stream that brings no frame for this long is dead: heartbeats come every second.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How often a stopped link asks again.
pub const STOPPED_RETRY: Duration = Duration::from_secs(30);
/// The protocol this software speaks.
pub const PROTOCOL: u32 = 1;

/// What a source says of itself, as far as the link decides by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Version of the protocol it speaks.
    pub protocol: u32,
    /// Which database it serves.
    pub database: DatabaseId,
    /// Which view it will give.
    pub view: View,
    /// How many partitions the database has.
    pub partitions: u16,
    /// Key of the primary, whose signatures count.
    pub primary: Option<ServerKey>,
}

/// What a copy holds already, fixed at its first contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which database.
    pub database: DatabaseId,
    /// How many partitions.
    pub partitions: u16,
    /// The pinned key of the primary.
    pub primary: Option<ServerKey>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The worker begins, or the wait is over.
    Due,
    /// The source greeted.
    Greeted(Greeting),
    /// The source did not greet, or refused a stream.
    Refused(RefusalKind),
    /// A first contact was recorded: from now on this is held.
    Adopted(Held),
    /// A frame came on a stream and was taken.
    Progress(PartitionId),
    /// A stream has bytes in hand that are not taken yet: it is not silent.
    Alive(PartitionId),
    /// A stream ended or broke off.
    Ended(PartitionId),
    /// What arrived was refused: damaged or misdirected on its way.
    Rejected(PartitionId),
    /// This copy differs from its source, or a signature is not the primary's, or this server cannot go on.
    Halted(StopReason),
    /// Time passed.
    Tick,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask the source who it is.
    Greet,
    /// Record the first contact, then say [`Event::Adopted`].
    Adopt,
    /// Open one stream for every partition.
    Open {
        /// How many.
        partitions: u16,
    },
    /// Close all streams.
    Close,
    /// Say [`Event::Due`] after this long.
    Wait {
        /// How long.
        after: Duration,
    },
}

/// Where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Asks the source who it is.
    Connecting,
    /// Streams are open.
    Following,
    /// Waits before the next attempt.
    Waiting,
    /// Stopped, with a reason; asks again at long intervals, or never.
    Stopped(StopReason),
}

/// Why a link stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// Whoever answers does not speak Apograph.
    NotApograph,
    /// The source has another database under that name.
    OtherDatabase,
    /// The source has no such database, or does not give this view.
    NoSuchDatabase,
    /// Another primary signs than the one pinned at the first contact.
    KeyChanged,
    /// The source speaks a newer protocol.
    ProtocolNewer,
    /// The token is missing, wrong, or may not see this view.
    Denied,
    /// The source's journal does not reach back so far: the copy needs to synchronize.
    OutOfWindow,
    /// The source does not know this copy's position: the histories forked.
    UnknownPosition,
    /// This copy differs from its source.
    Diverged,
    /// A signature is not the primary's.
    Signature,
    /// This server cannot take entries: disk, damage.
    Halted,
}

/// One link's state machine.
#[derive(Debug, Clone)]
pub struct Link {
    view: View,
    held: Option<Held>,
    state: State,
    backoff: Backoff,
    heard: BTreeMap<PartitionId, Duration>,
    /// Streams that took nothing since they were opened.
    still: BTreeSet<PartitionId>,
}

impl Link {
    /// A link of a copy that holds `held`, or nothing yet.
    pub fn new(view: View, held: Option<Held>) -> Link {
        let backoff = Backoff::default();
        let (heard, still) = (BTreeMap::new(), BTreeSet::new());
        Link { view, held, state: State::Connecting, backoff, heard, still }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// What happened, when (on a clock that never jumps), and a random number: what to do, in order.
    pub fn on(&mut self, event: Event, now: Duration, random: u16) -> Vec<Action> {
        match event {
            Event::Due => self.connect(),
            Event::Greeted(greeting) => self.greeted(greeting, now),
            Event::Adopted(held) => {
                self.held = Some(held);
                self.open(now)
            }
            Event::Refused(kind) => match reason_of(kind) {
                Some(reason) => self.stop(reason),
                None => self.again(random),
            },
            Event::Progress(partition) => self.progress(partition, now),
            Event::Alive(partition) => self.alive(partition, now),
            Event::Ended(_) | Event::Rejected(_) => self.broken(random),
            Event::Halted(reason) => self.stop(reason),
            Event::Tick => self.tick(now, random),
        }
    }

    fn connect(&mut self) -> Vec<Action> {
        match self.state {
            State::Following => Vec::new(),
            State::Connecting | State::Waiting | State::Stopped(_) => {
                self.state = State::Connecting;
                vec![Action::Greet]
            }
        }
    }

    fn greeted(&mut self, greeting: Greeting, now: Duration) -> Vec<Action> {
        if self.state != State::Connecting {
            return Vec::new();
        }
        if let Err(reason) = check(&greeting, self.view, self.held.as_ref()) {
            return self.stop(reason);
        }
        if self.held.is_some() { self.open(now) } else { vec![Action::Adopt] }
    }

    fn open(&mut self, now: Duration) -> Vec<Action> {
        let Some(held) = &self.held else {
            return Vec::new();
        };
        let partitions = held.partitions;
        self.state = State::Following;
        self.heard = (0..partitions).map(|partition| (PartitionId(partition), now)).collect();
        self.still = self.heard.keys().copied().collect();
        vec![Action::Open { partitions }]
    }

    /// Waits start over only when every stream got on: one that is refused again and again must not be asked ever
    /// faster because the others are well.
    fn progress(&mut self, partition: PartitionId, now: Duration) -> Vec<Action> {
        if self.state == State::Following {
            self.still.remove(&partition);
            if self.still.is_empty() {
                self.backoff.reset();
            }
        }
        self.alive(partition, now)
    }

    fn alive(&mut self, partition: PartitionId, now: Duration) -> Vec<Action> {
        if self.state == State::Following {
            self.heard.insert(partition, now);
        }
        Vec::new()
    }

    fn broken(&mut self, random: u16) -> Vec<Action> {
        if self.state == State::Following { self.again(random) } else { Vec::new() }
    }

    fn tick(&mut self, now: Duration, random: u16) -> Vec<Action> {
        let silent = self.heard.values().any(|heard| now.saturating_sub(*heard) >= SILENCE_MAX);
        if self.state == State::Following && silent { self.again(random) } else { Vec::new() }
    }

    fn again(&mut self, random: u16) -> Vec<Action> {
        let close = self.close();
        self.state = State::Waiting;
        let after = self.backoff.after_failure(random);
        close.into_iter().chain([Action::Wait { after }]).collect()
    }

    fn stop(&mut self, reason: StopReason) -> Vec<Action> {
        let close = self.close();
        self.state = State::Stopped(reason);
        let wait = reason.may_pass().then_some(Action::Wait { after: STOPPED_RETRY });
        close.into_iter().chain(wait).collect()
    }

    fn close(&mut self) -> Option<Action> {
        self.heard.clear();
        (self.state == State::Following).then_some(Action::Close)
    }
}

fn check(greeting: &Greeting, view: View, held: Option<&Held>) -> Result<(), StopReason> {
    if greeting.protocol > PROTOCOL {
        return Err(StopReason::ProtocolNewer);
    }
    if greeting.view != view {
        return Err(StopReason::NoSuchDatabase);
    }
    let Some(held) = held else {
        return Ok(());
    };
    if greeting.database != held.database || greeting.partitions != held.partitions {
        return Err(StopReason::OtherDatabase);
    }
    match (held.primary, greeting.primary) {
        (Some(pinned), Some(found)) if pinned != found => Err(StopReason::KeyChanged),
        _ => Ok(()),
    }
}

/// `None` for what passes by itself.
fn reason_of(kind: RefusalKind) -> Option<StopReason> {
    match kind {
        RefusalKind::OutOfWindow => Some(StopReason::OutOfWindow),
        RefusalKind::UnknownPosition => Some(StopReason::UnknownPosition),
        RefusalKind::Denied => Some(StopReason::Denied),
        RefusalKind::NoSuchDatabase => Some(StopReason::NoSuchDatabase),
        RefusalKind::NotApograph => Some(StopReason::NotApograph),
        RefusalKind::ProtocolNewer => Some(StopReason::ProtocolNewer),
        RefusalKind::Unavailable => None,
    }
}

impl StopReason {
    /// All of them.
    pub const ALL: [StopReason; 11] = [
        StopReason::NotApograph,
        StopReason::OtherDatabase,
        StopReason::NoSuchDatabase,
        StopReason::KeyChanged,
        StopReason::ProtocolNewer,
        StopReason::Denied,
        StopReason::OutOfWindow,
        StopReason::UnknownPosition,
        StopReason::Diverged,
        StopReason::Signature,
        StopReason::Halted,
    ];

    /// Can somebody elsewhere repair it while this server runs? What is wrong *here* does not pass by itself.
    pub fn may_pass(self) -> bool {
        self != StopReason::Diverged
    }

    /// The name, as in status.
    pub fn as_str(self) -> &'static str {
        match self {
            StopReason::NotApograph => "not-apograph",
            StopReason::OtherDatabase => "other-database",
            StopReason::NoSuchDatabase => "no-such-database",
            StopReason::KeyChanged => "key-changed",
            StopReason::ProtocolNewer => "protocol-newer",
            StopReason::Denied => "denied",
            StopReason::OutOfWindow => "out-of-window",
            StopReason::UnknownPosition => "unknown-position",
            StopReason::Diverged => "diverged",
            StopReason::Signature => "signature",
            StopReason::Halted => "halted",
        }
    }

    /// What a person can do about it.
    pub fn next(self) -> &'static str {
        match self {
            StopReason::NotApograph => "check the source's url: something else answers there",
            StopReason::OtherDatabase => {
                "point the link at the database it was made from, or start a new copy in an empty folder"
            }
            StopReason::NoSuchDatabase => "check the database's name at the source, and which views it holds",
            StopReason::KeyChanged => {
                "another primary signs: compare its key out of band, then start a new copy in an empty folder"
            }
            StopReason::ProtocolNewer => "update this server first, the source after it",
            StopReason::Denied => "put the source's link token for this role into the token file",
            StopReason::OutOfWindow => {
                "the source's journal no longer reaches back: start a new copy in an empty folder"
            }
            StopReason::UnknownPosition => {
                "the histories forked: keep this folder, start a new copy in another"
            }
            StopReason::Diverged => "run verify against the source; start a new copy in an empty folder",
            StopReason::Signature => "somebody between here and the primary changes what is sent",
            StopReason::Halted => "see the database's reason in status, repair it, restart this server",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl State {
    /// The name, as in status.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Connecting => "connecting",
            State::Following => "following",
            State::Waiting => "waiting",
            State::Stopped(_) => "stopped",
        }
    }

    /// Why it stopped, if it did.
    pub fn reason(self) -> Option<StopReason> {
        match self {
            State::Stopped(reason) => Some(reason),
            State::Connecting | State::Following | State::Waiting => None,
        }
    }
}
