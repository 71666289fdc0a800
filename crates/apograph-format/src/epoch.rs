//! Epochs: how often the role of primary moved, and who decided it.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::ServerKey;

/// Bits of the number; the mark has the others.
const NUMBER_SHIFT: u32 = 32;
/// Bits of a key in a mark; the right has the four above.
const KEY_BITS: u32 = 28;

/// One reign of one primary: a number that grows with every change of roles, and the mark of the server that decided it: who was
/// promoted, or who stepped down for another one. No server decides one number twice.
///
/// - Two servers that do not know of each other may decide on epochs of one *number*. They are two epochs: their marks differ. Entries,
///   tokens and positions of the one are none of the other.
/// - The order is total, and the same everywhere: the number; at one number a role that was given is above one that was taken, because
///   whoever was given it has everything that was acknowledged before; then the key.
/// - The first epoch of a database has no mark: one server makes a database.
///
/// Text form: `1`, or `3-s5f1c0aa`: the number, `s` (by switchover: given) or `p` (by promotion: taken), and the first seven hex digits of the
/// key of who decided it. Stored form: eight bytes, little-endian; below 2^32 a number without a mark, otherwise the number in the upper
/// 32 bits, and in the lower ones four of the right and 28 of the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(u64);

/// How a server came to begin an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// It was promoted, or restored of a backup.
    Taken,
    /// A primary stepped down for it.
    Given,
}

/// A text is no epoch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an epoch like `1` or `3-s5f1c0aa`, found {found:?}")]
pub struct ParseEpochError {
    /// The text given, cut to a printable length.
    pub found: String,
}

impl Right {
    fn tag(self) -> u32 {
        match self {
            Right::Taken => 1,
            Right::Given => 2,
        }
    }

    fn letter(self) -> char {
        match self {
            Right::Taken => 'p',
            Right::Given => 's',
        }
    }
}

impl Epoch {
    /// Before everything.
    pub const NONE: Epoch = Epoch(0);
    /// Of a new database.
    pub const FIRST: Epoch = Epoch(1);

    /// An epoch without a mark.
    pub const fn plain(number: u32) -> Epoch {
        Epoch(number as u64)
    }

    /// Its stored form.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Of its stored form; any eight bytes are one.
    pub const fn from_bits(bits: u64) -> Epoch {
        Epoch(bits)
    }

    /// How often the role moved, counted from one.
    #[allow(clippy::cast_possible_truncation, reason = "the upper half of 64 bits has 32")]
    pub const fn number(self) -> u32 {
        if self.is_plain() { self.0 as u32 } else { (self.0 >> NUMBER_SHIFT) as u32 }
    }

    /// The epoch on which this server decides when this is the highest that it heard of. `None` behind the last number.
    pub fn next(self, by: &ServerKey, right: Right) -> Option<Epoch> {
        let number = self.number().checked_add(1)?;
        Some(Epoch(u64::from(number) << NUMBER_SHIFT | u64::from(right.tag() << KEY_BITS | key_bits(by))))
    }

    /// How it came to be; `None` for one without a mark, or of a right that this version does not know.
    pub fn right(self) -> Option<Right> {
        let tag = if self.is_plain() { 0 } else { self.mark() >> KEY_BITS };
        [Right::Taken, Right::Given].into_iter().find(|right| right.tag() == tag)
    }

    /// May this server have decided it? One without a mark anybody may have.
    pub fn may_be_by(self, key: &ServerKey) -> bool {
        self.is_plain() || self.mark() & ((1 << KEY_BITS) - 1) == key_bits(key)
    }

    const fn is_plain(self) -> bool {
        self.0 >> NUMBER_SHIFT == 0
    }

    #[allow(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    const fn mark(self) -> u32 {
        self.0 as u32
    }
}

/// The first 28 bits of a key, which are the first seven digits of its text.
fn key_bits(key: &ServerKey) -> u32 {
    let [a, b, c, d, ..] = key.0;
    u32::from_be_bytes([a, b, c, d]) >> (u32::BITS - KEY_BITS)
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_plain() {
            return write!(f, "{}", self.number());
        }
        let (number, mark) = (self.number(), self.mark());
        let (tag, key) = (mark >> KEY_BITS, mark & ((1 << KEY_BITS) - 1));
        match self.right() {
            Some(right) => write!(f, "{number}-{}{key:07x}", right.letter()),
            // Of a later version, which knows other rights.
            None => write!(f, "{number}-{tag:x}{key:07x}"),
        }
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Epoch {
    type Err = ParseEpochError;
    fn from_str(text: &str) -> Result<Epoch, ParseEpochError> {
        let parse = || {
            let Some((number, mark)) = text.split_once('-') else {
                return text.parse().ok().map(Epoch::plain);
            };
            let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
            let tag = match mark.chars().next()? {
                'p' => Right::Taken.tag(),
                's' => Right::Given.tag(),
                other => other.to_digit(16)?,
            };
            let key = mark.get(1..).filter(|key| key.len() == 7 && !key.contains('+'))?;
            let key = u32::from_str_radix(key, 16).ok()?;
            Some(Epoch(u64::from(number) << NUMBER_SHIFT | u64::from(tag << KEY_BITS | key)))
        };
        parse().ok_or_else(|| ParseEpochError { found: text.chars().take(40).collect() })
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// As text; files of the first versions have numbers.
impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Epoch, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Epoch;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an epoch like `1` or `3-s5f1c0aa`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Epoch, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Epoch, E> {
                let number = u32::try_from(number);
                number.map(Epoch::plain).map_err(|_| E::custom("an epoch's number has 32 bits"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: ServerKey = ServerKey([0x11; 32]);
    const HIGH: ServerKey = ServerKey([0xee; 32]);

    #[test]
    fn text_and_bits_round_trip() {
        let marked = Epoch::plain(2).next(&HIGH, Right::Given).unwrap();
        assert_eq!(marked.to_string(), "3-seeeeeee");
        assert_eq!(Epoch::FIRST.next(&LOW, Right::Taken).unwrap().to_string(), "2-p1111111");
        for epoch in
            [Epoch::NONE, Epoch::FIRST, marked, Epoch::from_bits(u64::MAX), Epoch::from_bits(1 << 32)]
        {
            assert_eq!(epoch.to_string().parse(), Ok(epoch));
            assert_eq!(Epoch::from_bits(epoch.bits()), epoch);
            assert_eq!(
                serde_json::from_str::<Epoch>(&serde_json::to_string(&epoch).unwrap()).unwrap(),
                epoch
            );
        }
        assert_eq!(serde_json::from_str::<Epoch>("7").unwrap(), Epoch::plain(7));
        for bad in [
            "",
            "-",
            "x",
            "1-",
            "2-p",
            "2-p111111",
            "2-p11111111",
            "2-q1111111",
            "2-p+111111",
            "0-p1111111",
            "4294967296",
        ] {
            assert!(bad.parse::<Epoch>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_number_counts_first_then_the_right_then_the_key() {
        let next = |from: Epoch, key, right| from.next(&key, right).unwrap();
        let ascending = [
            Epoch::NONE,
            Epoch::FIRST,
            Epoch::plain(9),
            next(Epoch::FIRST, LOW, Right::Taken),
            next(Epoch::FIRST, HIGH, Right::Taken),
            next(Epoch::FIRST, LOW, Right::Given),
            next(Epoch::FIRST, HIGH, Right::Given),
            next(Epoch::plain(2), LOW, Right::Taken),
        ];
        assert!(ascending.is_sorted());
        assert_eq!(ascending.map(Epoch::number), [0, 1, 9, 2, 2, 2, 2, 3]);
        assert_eq!(Epoch::plain(u32::MAX).next(&LOW, Right::Taken), None);
    }

    #[test]
    fn a_mark_says_whose_it_is() {
        let epoch = Epoch::FIRST.next(&LOW, Right::Taken).unwrap();
        assert!(epoch.may_be_by(&LOW) && !epoch.may_be_by(&HIGH));
        assert!(Epoch::plain(2).may_be_by(&LOW) && Epoch::plain(2).may_be_by(&HIGH));
    }
}
