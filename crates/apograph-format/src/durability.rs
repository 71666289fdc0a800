//! How many servers must have a transaction on disk before it is answered.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many servers must have a transaction on disk before it is answered. Text form: `local`, `replicas=N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Durability {
    /// The primary.
    #[default]
    Local,
    /// The primary, and this many replicas besides it.
    Replicas(NonZeroU8),
}

/// More replicas than anybody runs of one database; what is beyond is a mistake.
pub const REPLICAS_MAX: u8 = 64;

/// A text is no durability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `local` or `replicas=N` with N from 1 to {REPLICAS_MAX}, found {found:?}")]
pub struct ParseDurabilityError {
    /// The text given, cut to a printable length.
    pub found: String,
}

impl Durability {
    /// That of so many replicas.
    pub fn of(replicas: usize) -> Durability {
        let replicas = u8::try_from(replicas).unwrap_or(u8::MAX);
        NonZeroU8::new(replicas).map_or(Durability::Local, Durability::Replicas)
    }

    /// How many replicas.
    pub fn replicas(self) -> usize {
        match self {
            Durability::Local => 0,
            Durability::Replicas(replicas) => usize::from(replicas.get()),
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Durability::Local => f.write_str("local"),
            Durability::Replicas(replicas) => write!(f, "replicas={replicas}"),
        }
    }
}

impl FromStr for Durability {
    type Err = ParseDurabilityError;
    fn from_str(text: &str) -> Result<Durability, ParseDurabilityError> {
        if text == "local" {
            return Ok(Durability::Local);
        }
        let digits = text.strip_prefix("replicas=");
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let replicas = digits.and_then(|digits| digits.parse::<NonZeroU8>().ok());
        replicas
            .filter(|replicas| replicas.get() <= REPLICAS_MAX)
            .map(Durability::Replicas)
            .ok_or_else(|| ParseDurabilityError { found: text.chars().take(80).collect() })
    }
}

impl Serialize for Durability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Durability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Durability, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["local", "replicas=1", "replicas=64"] {
            let durability: Durability = text.parse().unwrap();
            assert_eq!(durability.to_string(), text);
            assert_eq!(Durability::of(durability.replicas()), durability);
            let json = serde_json::to_string(&durability).unwrap();
            assert_eq!(serde_json::from_str::<Durability>(&json).unwrap(), durability);
        }
        for bad in ["", "replicas=0", "replicas=65", "replicas=-1", "replicas=+1", "replicas", "Local", "1"] {
            assert!(bad.parse::<Durability>().is_err(), "{bad}");
        }
    }
}
