//! Identifiers: fixed bytes, shown as lower-case hex.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text is not the hex form of an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hex digits, found {found:?}")]
pub struct ParseIdError {
    /// How many hex digits the identifier has.
    pub expected: usize,
    /// The text given, cut to a printable length.
    pub found: String,
}

macro_rules! identifier {
    ($(#[$meta:meta])* $name:ident, $bytes:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const BYTES: usize = $bytes;

            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// From a slice of exactly [`Self::BYTES`] bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $bytes];
                match hex::decode_to_slice(text, &mut bytes) {
                    Ok(()) => Ok(Self(bytes)),
                    Err(_) => {
                        Err(ParseIdError { expected: 2 * $bytes, found: text.chars().take(80).collect() })
                    }
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

identifier!(
    /// BLAKE3 hash of stored bytes; the name of a version, a content, a chunk, an entry.
    Hash,
    32
);
identifier!(
    /// Random identity of a database, drawn once by its first primary.
    DatabaseId,
    16
);
identifier!(
    /// Ed25519 public key: the identity of a server.
    ServerKey,
    32
);

impl Hash {
    /// Hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(*blake3::hash(bytes).as_bytes())
    }

    /// Hash of several pieces, as if they were one.
    pub fn of_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Hash {
        let mut hasher = blake3::Hasher::new();
        for piece in pieces {
            hasher.update(piece);
        }
        Hash(*hasher.finalize().as_bytes())
    }

    /// Hash in a domain of its own, so that it can never equal a hash of other things. `context` names the domain.
    pub fn derive(context: &'static str, pieces: &[&[u8]]) -> Hash {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        for piece in pieces {
            hasher.update(piece);
        }
        Hash(*hasher.finalize().as_bytes())
    }

    /// First twelve hex digits, for people.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl DatabaseId {
    /// The hash before the first entry of a partition's journal: it binds the chain to database, view and partition.
    pub fn genesis(&self, view: crate::View, partition: crate::PartitionId) -> Hash {
        Hash::derive("apograph 2026 genesis", &[&self.0, &[view.tag()], &partition.0.to_le_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip_and_refusals() {
        let hash = Hash::of(b"x");
        assert_eq!(hash.to_string().parse::<Hash>().unwrap(), hash);
        assert!("zz".parse::<Hash>().is_err());
        assert!(hash.to_string()[1..].parse::<Hash>().is_err());
        assert_eq!(hash.short().len(), 12);
    }

    #[test]
    fn genesis_depends_on_everything() {
        let (a, b) = (DatabaseId([1; 16]), DatabaseId([2; 16]));
        let p = crate::PartitionId;
        let all = [
            a.genesis(crate::View::Full, p(0)),
            b.genesis(crate::View::Full, p(0)),
            a.genesis(crate::View::Published, p(0)),
            a.genesis(crate::View::Full, p(1)),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), 4);
    }
}
