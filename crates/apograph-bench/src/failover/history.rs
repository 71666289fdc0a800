//! What clients and operators saw, as it happened: the only thing that the checker is told besides the end.

use std::sync::Mutex;
use std::time::Instant;

use apograph_client::format::{Epoch, Token};
use serde::Serialize;

/// What a client wanted to be saved, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Write {
    /// Whose.
    pub client: u32,
    /// Which one of this client's.
    pub number: u64,
}

impl Write {
    /// As comments of versions and transactions name it.
    pub fn name(self) -> String {
        format!("write {}.{}", self.client, self.number)
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Write> {
        let (client, number) = name.strip_prefix("write ")?.split_once('.')?;
        Some(Write { client: client.parse().ok()?, number: number.parse().ok()? })
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A client asked, and this is what came of it.
    Attempt {
        /// For what.
        write: Write,
        /// Which server.
        server: &'static str,
        /// When, microseconds since the run began.
        asked_us: u64,
        /// When it knew.
        answered_us: u64,
        /// What came of it.
        outcome: Outcome,
    },
    /// A client read what it had written, from a server that has reached the token.
    Read {
        /// What it looked for.
        write: Write,
        /// What the server must have reached.
        at_least: Token,
        /// Which server.
        server: &'static str,
        /// What it found.
        found: Found,
    },
    /// A server began an epoch.
    Epoch {
        /// Which epoch.
        epoch: Epoch,
        /// The last timestamp that it goes on from.
        base: u64,
        /// Who.
        server: &'static str,
    },
    /// A server that came back listed an orphan.
    Orphan {
        /// The token that its author was answered.
        token: Token,
        /// Which write it was, if a client's.
        write: Option<Write>,
        /// Which server.
        server: &'static str,
    },
    /// An orphan was asked to come back.
    Restored {
        /// Which.
        token: Token,
        /// Which write it was, if a client's.
        write: Option<Write>,
        /// It did.
        came_back: bool,
    },
    /// Somebody asked for the token of a write that was cut off, when everything was healed.
    Asked {
        /// The token.
        token: Token,
        /// Which server.
        server: &'static str,
        /// Its code; none if it answered as if nothing had happened.
        code: Option<String>,
    },
}

/// What came of an attempt to save.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It is saved.
    Acknowledged {
        /// Under this token.
        token: Token,
    },
    /// It is saved, and fewer servers than asked for had it in time.
    Less {
        /// Under this token.
        token: Token,
    },
    /// It had been saved, by an attempt that got no answer.
    Confirmed,
    /// It was not done.
    Refused {
        /// Why.
        code: String,
    },
    /// Nobody knows.
    Unknown {
        /// What the client saw instead of an answer.
        why: String,
    },
}

impl Outcome {
    /// The answer says that it is saved.
    pub fn is_saved(&self) -> bool {
        matches!(self, Outcome::Acknowledged { .. } | Outcome::Less { .. })
    }
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// What was written.
    It,
    /// Something else, or nothing.
    Other,
    /// It was told that the token is of a history that was cut off.
    OtherHistory,
    /// No answer to this question: not reached yet, not there.
    Nothing,
}

/// Events in the order in which they became known.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    events: Mutex<Vec<Event>>,
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder { began: Instant::now(), events: Mutex::default() }
    }
}

impl Recorder {
    /// Microseconds since the run began.
    pub fn now_us(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// It happened.
    pub fn record(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    /// How many things happened.
    pub fn len(&self) -> usize {
        self.events.lock().unwrap().len()
    }

    /// Nothing happened yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What happened behind the first `from`.
    pub fn since(&self, from: usize) -> Vec<Event> {
        self.events.lock().unwrap()[from..].to_vec()
    }

    /// Writes that were answered as saved so far.
    pub fn saved(&self) -> usize {
        let is_one = |event: &&Event| matches!(event, Event::Attempt { outcome, .. } if outcome.is_saved());
        self.events.lock().unwrap().iter().filter(is_one).count()
    }
}
