//! What the database remembers of its last rollback: a cursor, moved by the transactions that did it. So copies know it,
//! and whoever comes after a crash.

use std::fmt;
use std::str::FromStr;

use apograph_format::Timestamp;

use super::super::Database;
use super::super::plan::newest_cursor_at;
use crate::error::ReadError;

/// The cursor.
pub(super) const CURSOR: &str = "rollback:last";

/// What the cursor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) is_done: bool,
    pub(super) to: Timestamp,
    pub(super) from: Timestamp,
}

/// The last rollback of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRollback {
    /// To when.
    pub to: Timestamp,
    /// The last moment before it: rolling back to it takes it back.
    pub from: Timestamp,
    /// Its last transaction so far.
    pub at: Timestamp,
    /// Nothing of it is left to be done.
    pub is_done: bool,
}

impl Database {
    /// The last rollback, on servers that hold everything.
    pub fn last_rollback(&self) -> Result<Option<LastRollback>, ReadError> {
        let found = newest_cursor_at(&self.shared.stores, CURSOR, self.visible())?;
        let Some((at, text)) = found else { return Ok(None) };
        // Any editor may move cursors; what says nothing is none.
        let mark: Option<Mark> = text.parse().ok();
        Ok(mark.map(|Mark { is_done, to, from }| LastRollback { to, from, at, is_done }))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_done { "done" } else { "begun" };
        write!(f, "{word} to {} from {}", self.to.0, self.from.0)
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Mark, ()> {
        let words: Vec<&str> = text.split(' ').collect();
        let [word, "to", to, "from", from] = words.as_slice() else { return Err(()) };
        let time = |text: &str| text.parse().map(Timestamp).map_err(|_| ());
        let is_done = match *word {
            "done" => true,
            "begun" => false,
            _ => return Err(()),
        };
        Ok(Mark { is_done, to: time(to)?, from: time(from)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_nothing_else_is_one() {
        for is_done in [true, false] {
            let mark = Mark { is_done, to: Timestamp(7), from: Timestamp(u64::MAX) };
            assert_eq!(mark.to_string().parse(), Ok(mark));
        }
        for text in
            ["", "done", "done to 1 from", "done to 1 from x", "gone to 1 from 2", "done to 1 from 2 "]
        {
            assert_eq!(text.parse::<Mark>(), Err(()), "{text:?}");
        }
    }
}
