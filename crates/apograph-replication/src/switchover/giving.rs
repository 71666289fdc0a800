//! The primary's side.

use std::fmt;
use std::time::Duration;

use apograph_format::seeded::{self, Seeded};
use apograph_format::{Epoch, Timestamp};

use super::{Answer, HOLD_MAX, NEAR_ENTRIES};

/// A primary that is to give its role to one copy.
#[derive(Debug, Clone)]
pub struct Giving {
    /// Given up then.
    until: Duration,
    state: State,
    /// Since when nobody can write.
    held: Option<Duration>,
}

/// Where a switchover stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The copy was called, and has not answered.
    Called,
    /// It asked, and is too far behind for writes to be held.
    Behind,
    /// Writes are held for it.
    Holding,
    /// It is given up; writes are about to go on, and until they do the role may still have been given.
    Releasing(Failure),
    /// The primary stepped down: the epoch is the copy's.
    Given {
        /// Which epoch it may begin.
        epoch: Epoch,
        /// The last commit timestamp before it.
        base: Timestamp,
    },
    /// There is nothing left to do.
    Over(End),
}

/// How a switchover ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The copy may be, or is, the primary.
    Given {
        /// Of which epoch.
        epoch: Epoch,
        /// The last commit timestamp before it.
        base: Timestamp,
        /// It said that it is one.
        confirmed: bool,
        /// So long nobody could write.
        paused: Duration,
    },
    /// The primary is who it was, unless it lost its role otherwise.
    Failed(Failure),
}

/// Why the role was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The copy did not ask for it.
    NoAnswer,
    /// The copy was too far behind, to the end.
    Behind,
    /// The copy did not reach the end in time.
    NotReached,
    /// This server lost its role in another way: it is not its own to give.
    LostRole,
    /// This server stops.
    Stopping,
}

/// Something that happened at the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The copy asks for the role; so many entries it lacks, and `None` if it is no copy of these partitions.
    Asked {
        /// Of all partitions together.
        lacks: Option<u64>,
    },
    /// Writes are held; does the copy end where this server does?
    Held {
        /// It does, to the last bit.
        reached: bool,
    },
    /// This server stepped down for the copy, durably.
    SteppedDown {
        /// Which epoch it may begin.
        epoch: Epoch,
        /// The last commit timestamp before it.
        base: Timestamp,
    },
    /// Writes go on: nobody can step down any more.
    Released,
    /// The copy said that it is the primary.
    Confirmed,
    /// This server is no primary any more, and did not step down for this copy.
    LostRole,
    /// This server stops.
    Stopping,
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Hold writes, and say [`Event::Held`].
    Hold {
        /// Then they go on by themselves.
        at_most: Duration,
    },
    /// Step down, and say [`Event::SteppedDown`].
    StepDown,
    /// Answer the copy that asked.
    Answer(Answer),
    /// Let writes go on; then say what is so: [`Event::SteppedDown`] or [`Event::Released`].
    Release,
}

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 5] =
        [Failure::NoAnswer, Failure::Behind, Failure::NotReached, Failure::LostRole, Failure::Stopping];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::NoAnswer => "no-answer",
            Failure::Behind => "behind",
            Failure::NotReached => "not-reached",
            Failure::LostRole => "lost-role",
            Failure::Stopping => "stopping",
        }
    }

    /// What became of the copy, behind its name.
    pub fn detail(self) -> &'static str {
        match self {
            Failure::NoAnswer => "it did not ask for the role",
            Failure::Behind => "it is too far behind",
            Failure::NotReached => "it did not reach the end in time",
            Failure::LostRole => "this server lost the role to another one meanwhile",
            Failure::Stopping => "this server stops",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Giving {
    /// A copy is called; given up at `until`.
    pub fn new(until: Duration) -> Giving {
        Giving { until, state: State::Called, held: None }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// How it ended, if it did.
    pub fn end(&self) -> Option<End> {
        match self.state {
            State::Over(end) => Some(end),
            _ => None,
        }
    }

    /// Is the copy still to ask for the role?
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Called | State::Behind | State::Holding)
    }

    /// What happened, when (on a clock that never jumps): what to do, in order.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Act> {
        match event {
            Event::Asked { lacks } => self.asked(lacks, now),
            Event::Held { reached } => self.reached(reached || seeded::is(Seeded::GivenTooEarly)),
            Event::SteppedDown { epoch, base } => self.stepped_down(epoch, base),
            Event::Released => self.released(),
            Event::Confirmed => self.confirmed(true, now),
            Event::LostRole => self.give_up(Failure::LostRole),
            Event::Stopping if matches!(self.state, State::Given { .. }) => self.confirmed(false, now),
            Event::Stopping => self.give_up(Failure::Stopping),
            Event::Tick => self.tick(now),
        }
    }

    fn asked(&mut self, lacks: Option<u64>, now: Duration) -> Vec<Act> {
        if matches!(self.state, State::Given { .. }) {
            return vec![Act::Answer(Answer::Given)];
        }
        let left = self.until.saturating_sub(now);
        if !self.is_open() || left.is_zero() {
            return vec![Act::Answer(Answer::None)];
        }
        if lacks.is_none_or(|lacks| lacks > NEAR_ENTRIES) {
            if self.state == State::Called {
                self.state = State::Behind;
            }
            return vec![Act::Answer(Answer::Behind)];
        }
        self.state = State::Holding;
        self.held.get_or_insert(now);
        vec![Act::Hold { at_most: HOLD_MAX.min(left) }]
    }

    fn reached(&mut self, reached: bool) -> Vec<Act> {
        match self.state {
            State::Holding if reached => vec![Act::StepDown],
            State::Holding => vec![Act::Answer(Answer::Held)],
            State::Given { .. } => vec![Act::Answer(Answer::Given)],
            _ => vec![Act::Answer(Answer::None)],
        }
    }

    /// What is durable counts, whatever was given up meanwhile.
    fn stepped_down(&mut self, epoch: Epoch, base: Timestamp) -> Vec<Act> {
        match self.state {
            State::Given { .. } | State::Over(End::Given { .. }) => {}
            _ => self.state = State::Given { epoch, base },
        }
        vec![Act::Answer(Answer::Given)]
    }

    fn released(&mut self) -> Vec<Act> {
        if let State::Releasing(failure) = self.state {
            self.state = State::Over(End::Failed(failure));
        }
        Vec::new()
    }

    fn confirmed(&mut self, confirmed: bool, now: Duration) -> Vec<Act> {
        if let State::Given { epoch, base } = self.state {
            let paused = self.held.map_or(Duration::ZERO, |held| now.saturating_sub(held));
            self.state = State::Over(End::Given { epoch, base, confirmed, paused });
        }
        Vec::new()
    }

    fn give_up(&mut self, failure: Failure) -> Vec<Act> {
        if !self.is_open() {
            return Vec::new();
        }
        self.state = State::Releasing(failure);
        vec![Act::Release]
    }

    fn tick(&mut self, now: Duration) -> Vec<Act> {
        if now < self.until {
            return Vec::new();
        }
        match self.state {
            State::Called => self.give_up(Failure::NoAnswer),
            State::Behind => self.give_up(Failure::Behind),
            State::Holding => self.give_up(Failure::NotReached),
            State::Given { .. } => self.confirmed(false, now),
            State::Releasing(_) | State::Over(_) => Vec::new(),
        }
    }
}
