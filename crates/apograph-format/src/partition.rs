//! Which partition a document lives in, and which partitions a transaction touches.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::PARTITIONS_MAX;
use crate::{Hash, Uri};

/// Number of a partition, counted from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u16);

/// How many partitions a database has: fixed for its life, because every document's place follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Partitioning(u16);

/// A number of partitions out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a database has 1 to {PARTITIONS_MAX} partitions, not {found}")]
pub struct PartitioningError {
    /// The number given.
    pub found: u16,
}

/// The set of partitions that take part in a transaction: one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Participants(pub u64);

impl Partitioning {
    /// `count` partitions, 1 to [`PARTITIONS_MAX`].
    pub fn new(count: u16) -> Result<Partitioning, PartitioningError> {
        if (1..=PARTITIONS_MAX).contains(&count) {
            Ok(Partitioning(count))
        } else {
            Err(PartitioningError { found: count })
        }
    }

    /// How many.
    pub fn count(self) -> u16 {
        self.0
    }

    /// All of them, in order.
    pub fn all(self) -> impl Iterator<Item = PartitionId> {
        (0..self.0).map(PartitionId)
    }

    /// Every partition takes part.
    pub fn everyone(self) -> Participants {
        self.all().collect()
    }

    /// Where `uri` lives: the first eight bytes of its BLAKE3, little-endian, modulo the count.
    pub fn of(self, uri: &Uri) -> PartitionId {
        self.of_bytes(uri.as_str().as_bytes())
    }

    /// Where anything that is named by `bytes` lives.
    pub fn of_bytes(self, bytes: &[u8]) -> PartitionId {
        let hash = Hash::of(bytes);
        let mut first = [0; 8];
        first.copy_from_slice(hash.0.split_at(8).0);
        let index = u64::from_le_bytes(first) % u64::from(self.0);
        PartitionId(u16::try_from(index).expect("the remainder is below a u16"))
    }
}

impl TryFrom<u16> for Partitioning {
    type Error = PartitioningError;
    fn try_from(count: u16) -> Result<Self, PartitioningError> {
        Partitioning::new(count)
    }
}

impl From<Partitioning> for u16 {
    fn from(partitioning: Partitioning) -> u16 {
        partitioning.0
    }
}

impl Participants {
    /// Is this partition one of them? Partitions beyond the limit never are.
    pub fn contains(self, partition: PartitionId) -> bool {
        partition.0 < PARTITIONS_MAX && self.0 & (1 << partition.0) != 0
    }

    /// Adds one. The partition must come from a [`Partitioning`].
    pub fn insert(&mut self, partition: PartitionId) {
        assert!(partition.0 < PARTITIONS_MAX, "a partition comes from a Partitioning");
        self.0 |= 1 << partition.0;
    }

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = PartitionId> {
        (0..PARTITIONS_MAX).map(PartitionId).filter(move |partition| self.contains(*partition))
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The place of a partition among these, in order: where its journal stands in a list that has one for each.
    pub fn slot(self, partition: PartitionId) -> Option<usize> {
        let below = (1_u64 << u32::from(partition.0).min(u64::BITS - 1)) - 1;
        self.contains(partition).then(|| (self.0 & below).count_ones() as usize)
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: Participants) -> Participants {
        Participants(self.0 & other.0)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(self, other: Participants) -> Participants {
        Participants(self.0 & !other.0)
    }

    /// Are all of `other` in it?
    pub fn covers(self, other: Participants) -> bool {
        other.without(self).count() == 0
    }
}

/// As people write them: `0, 2, 5`.
impl fmt::Display for Participants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, partition) in self.iter().enumerate() {
            write!(f, "{}{partition}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// As a list of numbers.
impl Serialize for Participants {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Participants {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Participants, D::Error> {
        let list = Vec::<PartitionId>::deserialize(from)?;
        match list.iter().find(|partition| partition.0 >= PARTITIONS_MAX) {
            Some(PartitionId(found)) => {
                Err(serde::de::Error::custom(format!("there is no partition {found} anywhere")))
            }
            None => Ok(list.into_iter().collect()),
        }
    }
}

impl FromIterator<PartitionId> for Participants {
    fn from_iter<I: IntoIterator<Item = PartitionId>>(partitions: I) -> Self {
        let mut set = Participants::default();
        for partition in partitions {
            set.insert(partition);
        }
        set
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_has_one_place_and_all_places_are_used() {
        let partitioning = Partitioning::new(4).unwrap();
        let mut seen = Participants::default();
        for n in 0..100 {
            seen.insert(partitioning.of(&Uri::parse(&format!("/d/{n}")).unwrap()));
        }
        assert_eq!(seen, partitioning.everyone());
        assert_eq!(seen.iter().count(), 4);
        assert!(Partitioning::new(0).is_err() && Partitioning::new(65).is_err());
    }

    #[test]
    fn partitions_of_a_part_have_places_in_order() {
        let held: Participants = [0, 3, 63].map(PartitionId).into_iter().collect();
        let slots: Vec<_> = [0, 1, 3, 63, 64].map(|partition| held.slot(PartitionId(partition))).to_vec();
        assert_eq!(slots, [Some(0), None, Some(1), Some(2), None]);
        let everyone = Partitioning::new(64).unwrap().everyone();
        assert!(everyone.covers(held) && !held.covers(everyone));
        assert_eq!(everyone.without(held).count(), 61);
        assert_eq!(
            (held.to_string(), held.and(Participants(9)).to_string()),
            ("0, 3, 63".into(), "0, 3".into())
        );
    }
}
