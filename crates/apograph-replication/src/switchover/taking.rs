//! The copy's side.

use std::time::Duration;

use super::{ASK_AGAIN, BEHIND_PAUSE, PATIENCE};

/// A copy that is to become primary.
#[derive(Debug, Clone)]
pub struct Taking {
    until: Duration,
}

/// What the primary answers to a copy that asks for the role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nobody wants this copy to become primary.
    None,
    /// It is too far behind for writes to be held.
    Behind,
    /// Writes are held: reach the end, and ask again.
    Held,
    /// The role is the copy's: it begins the epoch.
    Given,
}

/// What the copy does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask for the role.
    Ask,
    /// Wait.
    Wait {
        /// So long.
        after: Duration,
    },
    /// Wait until everything that the primary has is here, a while.
    Reach {
        /// At most so long.
        at_most: Duration,
    },
    /// Begin the epoch.
    Begin,
    /// Leave it.
    Stop,
}

impl Answer {
    /// All of them.
    pub const ALL: [Answer; 4] = [Answer::None, Answer::Behind, Answer::Held, Answer::Given];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Answer::None => "none",
            Answer::Behind => "behind",
            Answer::Held => "held",
            Answer::Given => "given",
        }
    }
}

impl Taking {
    /// Begun at `now`.
    pub fn new(now: Duration) -> Taking {
        Taking { until: now + PATIENCE }
    }

    /// It begins, or a wait is over.
    pub fn due(&self, now: Duration) -> Step {
        if now < self.until { Step::Ask } else { Step::Stop }
    }

    /// The primary answered; `None` if it did not: what was given meanwhile its next greeting says.
    pub fn answered(&self, answer: Option<Answer>) -> Step {
        match answer {
            None | Some(Answer::None) => Step::Stop,
            Some(Answer::Behind) => Step::Wait { after: BEHIND_PAUSE },
            Some(Answer::Held) => Step::Reach { at_most: ASK_AGAIN },
            Some(Answer::Given) => Step::Begin,
        }
    }
}
