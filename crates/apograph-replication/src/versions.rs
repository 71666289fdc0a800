//! Which servers understand each other. A copy decides, by what its source says when it greets.
//!
//! - Servers of one minor version work together, whichever is newer.
//! - A newer copy of an older source works, as far back as it speaks the source's protocol and reads its journals.
//! - An older copy of a newer source does not: it may be told what it does not know. It pauses until it is updated.

use std::fmt;
use std::str::FromStr;

/// What a server is, speaks, and reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Its software.
    pub software: Release,
    /// What it says to other servers, and what it asks of them.
    pub protocol: u32,
    /// The oldest protocol of a source that it understands.
    pub protocol_min: u32,
    /// Format of the journals that it writes.
    pub format: u16,
    /// The oldest format that it reads.
    pub format_min: u16,
}

impl Versions {
    /// Those of this software.
    pub const CURRENT: Versions = Versions {
        software: Release::CURRENT,
        protocol: 1,
        protocol_min: 1,
        format: apograph_format::header::FORMAT_VERSION,
        format_min: apograph_format::header::FORMAT_VERSION,
    };
}

impl Default for Versions {
    fn default() -> Versions {
        Versions::CURRENT
    }
}

/// A version of the software, without what stands behind the third number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// Grows when older servers are left behind.
    pub major: u32,
    /// Grows with what older servers do not know.
    pub minor: u32,
    /// Grows with every release.
    pub patch: u32,
}

impl Release {
    /// That of this software.
    pub const CURRENT: Release = Release {
        major: number(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: number(env!("CARGO_PKG_VERSION_MINOR")),
        patch: number(env!("CARGO_PKG_VERSION_PATCH")),
    };

    fn line(self) -> (u32, u32) {
        (self.major, self.minor)
    }
}

/// Of digits only: what cargo gives.
const fn number(digits: &str) -> u32 {
    let mut bytes = digits.as_bytes();
    let mut number = 0;
    while let [first, rest @ ..] = bytes {
        number = number * 10 + (*first - b'0') as u32;
        bytes = rest;
    }
    number
}

/// What a source says of its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// Its software, if it can be read.
    pub software: Option<Release>,
    /// The protocol that it speaks.
    pub protocol: u32,
    /// Format of its journals.
    pub format: u16,
}

/// Why a copy cannot follow a source of other versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skew {
    /// The source may say what this server does not know.
    SourceNewer,
    /// The source speaks what this server does not speak any more.
    SourceOlder,
}

/// Does a copy understand this source?
pub fn fits(copy: &Versions, source: &Offered) -> Result<(), Skew> {
    let is_newer = source.protocol > copy.protocol
        || source.format > copy.format
        || source.software.is_some_and(|software| software.line() > copy.software.line());
    let is_older = source.protocol < copy.protocol_min || source.format < copy.format_min;
    match (is_newer, is_older) {
        (true, _) => Err(Skew::SourceNewer),
        (false, true) => Err(Skew::SourceOlder),
        (false, false) => Ok(()),
    }
}

/// Not a version of the software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a version such as 1.2.3")]
pub struct ParseReleaseError;

impl FromStr for Release {
    type Err = ParseReleaseError;

    /// With the software's name before it, or without; what stands behind the numbers does not count.
    fn from_str(text: &str) -> Result<Release, ParseReleaseError> {
        let version = text.rsplit(' ').next().unwrap_or(text);
        let numbers = version.split(['-', '+']).next().unwrap_or(version);
        let mut numbers =
            numbers.split('.').map(|number| number.parse::<u32>().map_err(|_| ParseReleaseError));
        let mut next = || numbers.next().unwrap_or(Err(ParseReleaseError));
        let release = Release { major: next()?, minor: next()?, patch: next()? };
        if numbers.next().is_some() { Err(ParseReleaseError) } else { Ok(release) }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (protocol {}, format {})", self.software, self.protocol, self.format)
    }
}

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.software {
            Some(software) => write!(f, "{software} ")?,
            None => f.write_str("an unknown version ")?,
        }
        write!(f, "(protocol {}, format {})", self.protocol, self.format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(minor: u32, patch: u32) -> Release {
        Release { major: 1, minor, patch }
    }

    fn source(minor: u32, patch: u32, protocol: u32, format: u16) -> Offered {
        Offered { software: Some(release(minor, patch)), protocol, format }
    }

    /// The rule, for a copy of 1.4.2 that speaks protocols 3 to 5 and reads formats 2 and 3.
    #[test]
    fn who_understands_whom() {
        let copy =
            Versions { software: release(4, 2), protocol: 5, protocol_min: 3, format: 3, format_min: 2 };
        let newer = Err(Skew::SourceNewer);
        let older = Err(Skew::SourceOlder);
        for (offered, expected) in [
            (source(4, 2, 5, 3), Ok(())),
            (source(4, 9, 5, 3), Ok(())),
            (source(4, 0, 5, 3), Ok(())),
            (source(3, 9, 4, 3), Ok(())),
            (source(0, 1, 3, 2), Ok(())),
            (source(5, 0, 5, 3), newer),
            (source(4, 2, 6, 3), newer),
            (source(4, 2, 5, 4), newer),
            (source(3, 0, 2, 2), older),
            (source(3, 0, 3, 1), older),
            // Both at once: what is newer is what nobody here can know.
            (source(5, 0, 2, 3), newer),
            (Offered { software: None, protocol: 5, format: 3 }, Ok(())),
            (Offered { software: None, protocol: 6, format: 3 }, newer),
        ] {
            assert_eq!(fits(&copy, &offered), expected, "{offered}");
        }
        let next_major =
            Offered { software: Some(Release { major: 2, minor: 0, patch: 0 }), ..source(0, 0, 5, 3) };
        assert_eq!(fits(&copy, &next_major), newer);
    }

    #[test]
    fn versions_are_read_as_they_are_written() {
        for (text, expected) in [
            ("1.2.3", Some((1, 2, 3))),
            ("apograph 0.10.2", Some((0, 10, 2))),
            ("1.2.3-rc.1+5", Some((1, 2, 3))),
            ("1.2", None),
            ("1.2.3.4", None),
            ("apograph", None),
            ("", None),
            ("1.-2.3", None),
        ] {
            let found: Option<Release> = text.parse().ok();
            assert_eq!(found.map(|of| (of.major, of.minor, of.patch)), expected, "{text:?}");
        }
        assert_eq!(Release::CURRENT.to_string(), env!("CARGO_PKG_VERSION"));
    }
}
