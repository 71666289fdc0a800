//! The time of an author.

use std::fmt;
use std::str::FromStr;

use apograph_format::timestamp::{parse_rfc3339, rfc3339};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds since 1970. Requests may give it as a number or as RFC 3339 text; it is sent as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorTime(pub i64);

/// A text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected microseconds since 1970 or an RFC 3339 time such as 2026-11-21T20:00:00Z, found {found:?}")]
pub struct ParseTimeError {
    /// The text given, cut to a printable length.
    pub found: String,
}

impl fmt::Display for AuthorTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rfc3339(self.0))
    }
}

impl FromStr for AuthorTime {
    type Err = ParseTimeError;
    fn from_str(text: &str) -> Result<AuthorTime, ParseTimeError> {
        let micros = text.parse().ok().or_else(|| parse_rfc3339(text));
        micros.map(AuthorTime).ok_or_else(|| ParseTimeError { found: text.chars().take(80).collect() })
    }
}

impl Serialize for AuthorTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for AuthorTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AuthorTime, D::Error> {
        deserializer.deserialize_any(EitherForm)
    }
}

struct EitherForm;

impl Visitor<'_> for EitherForm {
    type Value = AuthorTime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("microseconds since 1970 or an RFC 3339 time")
    }

    fn visit_i64<E: Error>(self, micros: i64) -> Result<AuthorTime, E> {
        Ok(AuthorTime(micros))
    }

    fn visit_u64<E: Error>(self, micros: u64) -> Result<AuthorTime, E> {
        i64::try_from(micros).map(AuthorTime).map_err(|_| E::custom("the time lies too far ahead"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<AuthorTime, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let at = AuthorTime(1_394_570_473_000_001);
        for text in
            ["1394570473000001", "\"2014-03-11T20:41:13.000001Z\"", "\"2014-03-11T21:41:13.000001+01:00\""]
        {
            assert_eq!(serde_json::from_str::<AuthorTime>(text).unwrap(), at, "{text}");
        }
        assert_eq!(serde_json::to_string(&at).unwrap(), "1394570473000001");
        assert_eq!(serde_json::from_str::<AuthorTime>("-5").unwrap(), AuthorTime(-5));
        for bad in ["1.5", "null", "\"yesterday\"", "18446744073709551615"] {
            assert!(serde_json::from_str::<AuthorTime>(bad).is_err(), "{bad}");
        }
    }
}
