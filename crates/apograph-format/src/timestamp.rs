//! Commit time, and times of authors.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Commit time in microseconds since 1970, strictly increasing per database: the version number of everything.
/// Zero is *before the first transaction*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// A text is neither microseconds since 1970 nor an RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected microseconds since 1970 or an RFC 3339 time such as 2026-11-21T20:00:00Z, found {found:?}")]
pub struct ParseTimestampError {
    /// The text given, cut to a printable length.
    pub found: String,
}

impl Timestamp {
    /// Before the first transaction.
    pub const ZERO: Timestamp = Timestamp(0);
    /// Store engines keep one bit for themselves.
    pub const MAX: Timestamp = Timestamp((1 << 63) - 1);

    /// The timestamp that follows this one when the clock says `now`: `max(now, last + 1)`.
    pub fn next(self, now_us: u64) -> Timestamp {
        Timestamp(now_us.max(self.0 + 1))
    }

    /// RFC 3339 with microseconds, UTC.
    pub fn to_rfc3339(self) -> String {
        rfc3339(i64::try_from(self.0).unwrap_or(i64::MAX))
    }
}

/// RFC 3339 form of microseconds since 1970; years outside 0–9999 are shown as bare microseconds.
pub fn rfc3339(time_us: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_us) * 1000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{time_us}us"))
}

/// Microseconds since 1970 of an RFC 3339 time; anything finer is cut.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1000)).ok()
}

/// A time as people write one: a date, which begins at midnight UTC, or what a [`Timestamp`] is parsed from.
pub fn parse_date(text: &str) -> Result<Timestamp, ParseTimestampError> {
    let is_date = text.len() == 10 && text.bytes().filter(|byte| *byte == b'-').count() == 2;
    match is_date {
        true => {
            format!("{text}T00:00:00Z").parse().map_err(|_| ParseTimestampError { found: text.to_owned() })
        }
        false => text.parse(),
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;
    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let refused = || ParseTimestampError { found: text.chars().take(80).collect() };
        let micros = match text.parse::<u64>() {
            Ok(micros) => micros,
            Err(_) => {
                parse_rfc3339(text).and_then(|micros| u64::try_from(micros).ok()).ok_or_else(refused)?
            }
        };
        if micros > Timestamp::MAX.0 { Err(refused()) } else { Ok(Timestamp(micros)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_parse() {
        let at: Timestamp = "2014-03-11T20:41:13.000001Z".parse().unwrap();
        assert_eq!(at.0, 1_394_570_473_000_001);
        assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        assert_eq!(at.to_rfc3339().parse::<Timestamp>().unwrap(), at);
        for bad in ["", "yesterday", "-1", "1960-01-01T00:00:00Z", "18446744073709551615"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_date_begins_at_midnight() {
        let midnight: Timestamp = "2014-03-11T00:00:00Z".parse().unwrap();
        assert_eq!(parse_date("2014-03-11"), Ok(midnight));
        assert_eq!(parse_date("2014-03-11T00:00:00Z"), Ok(midnight));
        assert_eq!(parse_date(&midnight.to_string()), Ok(midnight));
        for bad in ["2014-13-11", "2014-3-1", "11.03.2014", "2014-03-11 "] {
            assert!(parse_date(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn never_goes_back() {
        assert_eq!(Timestamp(10).next(5), Timestamp(11));
        assert_eq!(Timestamp(10).next(50), Timestamp(50));
    }
}
