//! Places in a history.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Epoch, Hash, Timestamp};

/// A place in a partition's history, after the entry it names. Equal positions mean equal histories.
///
/// Text form: `epoch.sequence.hash`, the hash in hex. Sequence 0 is the beginning; its hash is the genesis hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Epoch of the entry.
    pub epoch: Epoch,
    /// Number of the entry, counted from one.
    pub sequence: u64,
    /// Hash of the entry, which covers everything before it.
    pub hash: Hash,
}

/// Where a copy of a derived view stands in its source's journal: it has everything derived up to an entry, and
/// perhaps the first entries of what is derived from the next one.
///
/// Text form: `epoch.sequence.hash`, and `+entries` if there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourcePoint {
    /// The last source entry of which the copy has everything.
    pub position: Position,
    /// How many entries it has that were derived from the next one that shows.
    pub entries: u32,
}

/// What every write answers: reading with it shows at least that write.
///
/// Text form: `epoch.timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// Epoch in which the write was acknowledged.
    pub epoch: Epoch,
    /// Its commit timestamp.
    pub timestamp: Timestamp,
}

/// A text is no position or no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `{expected}`, found {found:?}")]
pub struct ParsePositionError {
    /// The form.
    pub expected: &'static str,
    /// The text given, cut to a printable length.
    pub found: String,
}

impl Position {
    /// Before the first entry of a journal with this genesis hash.
    pub fn beginning(genesis: Hash) -> Position {
        Position { epoch: Epoch::NONE, sequence: 0, hash: genesis }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.sequence, self.hash)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.timestamp)
    }
}

fn refused(expected: &'static str, text: &str) -> ParsePositionError {
    ParsePositionError { expected, found: text.chars().take(120).collect() }
}

impl FromStr for Position {
    type Err = ParsePositionError;
    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let parse = || {
            let mut parts = text.splitn(3, '.');
            Some(Position {
                epoch: parts.next()?.parse().ok()?,
                sequence: parts.next()?.parse().ok()?,
                hash: parts.next()?.parse().ok()?,
            })
        };
        parse().ok_or_else(|| refused("epoch.sequence.hash", text))
    }
}

impl fmt::Display for SourcePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entries {
            0 => self.position.fmt(f),
            entries => write!(f, "{}+{entries}", self.position),
        }
    }
}

impl FromStr for SourcePoint {
    type Err = ParsePositionError;
    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let (position, entries) = text.split_once('+').unwrap_or((text, "0"));
        match (position.parse(), entries.parse()) {
            (Ok(position), Ok(entries)) => Ok(SourcePoint { position, entries }),
            _ => Err(refused("epoch.sequence.hash+entries", text)),
        }
    }
}

impl FromStr for Token {
    type Err = ParsePositionError;
    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let parse = || {
            let (epoch, timestamp) = text.split_once('.')?;
            let timestamp = Timestamp(timestamp.parse().ok()?);
            (timestamp <= Timestamp::MAX).then_some(Token { epoch: epoch.parse().ok()?, timestamp })
        };
        parse().ok_or_else(|| refused("epoch.timestamp", text))
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(Position);
as_text!(Token);
as_text!(SourcePoint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        let position = Position { epoch: Epoch::plain(3), sequence: 99, hash: Hash::of(b"p") };
        assert_eq!(position.to_string().parse(), Ok(position));
        let token = Token { epoch: Epoch::plain(3), timestamp: Timestamp(77) };
        assert_eq!(token.to_string().parse(), Ok(token));
        for bad in ["", "1", "1.2", "1.2.3", "a.b.c", "1.-2"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
        for entries in [0, 7] {
            let point = SourcePoint { position, entries };
            assert_eq!(point.to_string().parse(), Ok(point));
        }
        assert!("1.2.x+1".parse::<SourcePoint>().is_err());
        for bad in ["", "1", "1.x", ".", "1.99999999999999999999"] {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }
}
