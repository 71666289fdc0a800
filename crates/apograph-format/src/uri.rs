//! The name of a document.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::is_nfc;

use crate::limits::URI_BYTES_MAX;

/// The name of a document: absolute, `/`-separated, NFC, at most 1,024 bytes. Parsed once at the gate.
///
/// - it starts with `/` and does not end with one;
/// - no segment is empty, `.` or `..`;
/// - it holds no control character (C0, DEL, C1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uri(Arc<str>);

/// Why a text is no URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Longer than [`URI_BYTES_MAX`].
    #[error("a URI has at most {URI_BYTES_MAX} bytes, this one has {found}")]
    TooLong {
        /// Bytes given.
        found: usize,
    },
    /// Does not start with `/`.
    #[error("a URI starts with `/`")]
    NotAbsolute,
    /// An empty, `.` or `..` segment.
    #[error("segment {number} of the URI is {segment:?}; empty, `.` and `..` segments are not allowed")]
    Segment {
        /// Counted from one.
        number: usize,
        /// The segment.
        segment: String,
    },
    /// A control character.
    #[error("the URI holds the control character U+{code:04X} at byte {offset}")]
    Control {
        /// Code point.
        code: u32,
        /// Where, in bytes.
        offset: usize,
    },
    /// Not in Unicode normalization form C.
    #[error("the URI is not in Unicode normalization form C (NFC)")]
    NotNormalized,
}

impl Uri {
    /// Checks `text`.
    pub fn parse(text: &str) -> Result<Uri, UriError> {
        if text.len() > URI_BYTES_MAX {
            return Err(UriError::TooLong { found: text.len() });
        }
        let Some(path) = text.strip_prefix('/') else {
            return Err(UriError::NotAbsolute);
        };
        if let Some((offset, control)) = text.char_indices().find(|(_, c)| c.is_control()) {
            return Err(UriError::Control { code: u32::from(control), offset });
        }
        let wrong = |segment: &&str| matches!(*segment, "" | "." | "..");
        if let Some((index, segment)) = path.split('/').enumerate().find(|(_, segment)| wrong(segment)) {
            return Err(UriError::Segment { number: index + 1, segment: segment.to_owned() });
        }
        if !is_nfc(text) {
            return Err(UriError::NotNormalized);
        }
        Ok(Uri(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True under `/_system`, where users, roles, servers and configuration live.
    pub fn is_system(&self) -> bool {
        self.0.starts_with("/_system/") || &*self.0 == "/_system"
    }

    /// The documents that name the servers of a database are below this.
    pub const SERVERS: &str = "/_system/servers/";

    /// Is it the place of a document that names a server?
    pub fn is_server(&self) -> bool {
        self.as_str().starts_with(Uri::SERVERS)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uri({:?})", self.0)
    }
}

impl FromStr for Uri {
    type Err = UriError;
    fn from_str(text: &str) -> Result<Uri, UriError> {
        Uri::parse(text)
    }
}

impl Serialize for Uri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Uri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uri::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts() {
        let longest = format!("/{}", "a".repeat(URI_BYTES_MAX - 1));
        for good in ["/a", "/a/b.md", "/Zürich/naïve file", "/...", "/a/.b", "/_system/servers/x", &longest]
        {
            assert_eq!(Uri::parse(good).map(|uri| uri.as_str().to_owned()), Ok(good.to_owned()));
        }
    }

    #[test]
    fn refuses() {
        let long = format!("/{}", "a".repeat(URI_BYTES_MAX));
        let cases = [
            ("", UriError::NotAbsolute),
            ("a/b", UriError::NotAbsolute),
            ("/", UriError::Segment { number: 1, segment: String::new() }),
            ("/a//b", UriError::Segment { number: 2, segment: String::new() }),
            ("/a/", UriError::Segment { number: 2, segment: String::new() }),
            ("/a/../b", UriError::Segment { number: 2, segment: "..".into() }),
            ("/./b", UriError::Segment { number: 1, segment: ".".into() }),
            ("/a\nb", UriError::Control { code: 10, offset: 2 }),
            ("/a\u{85}", UriError::Control { code: 0x85, offset: 2 }),
            ("/a\0", UriError::Control { code: 0, offset: 2 }),
            ("/u\u{308}", UriError::NotNormalized),
            (&long, UriError::TooLong { found: URI_BYTES_MAX + 1 }),
        ];
        for (text, error) in cases {
            assert_eq!(Uri::parse(text), Err(error), "{text:?}");
        }
    }
}
