//! The name of a git object.

use std::fmt;

/// A git object's name: 40 (SHA-1) or 64 (SHA-256) lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Oid(Box<str>);

impl Oid {
    /// Checks `text`; anything but a whole object name is `None`.
    pub(crate) fn parse(text: &str) -> Option<Oid> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (digits && matches!(text.len(), 40 | 64)).then(|| Oid(text.into()))
    }

    /// The name of raw bytes, as they stand in a tree object.
    pub(crate) fn from_raw(raw: &[u8]) -> Option<Oid> {
        Oid::parse(&raw.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// The digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Bytes of the raw name: half of the digits.
    pub(crate) fn raw_bytes(&self) -> usize {
        self.0.len() / 2
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
