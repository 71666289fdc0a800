//! One record of a journal: header, facts, payloads.

use bytes::Bytes;

use crate::header::{EntryHeader, HEADER_BYTES, HeaderError};
use crate::payload::{Payload, PayloadError};
use crate::seeded::{self, Seeded};
use crate::{Facts, FactsError, Hash, Position};

/// One record of a journal, as its stored bytes. Cloning shares them.
///
/// An `Entry` that exists has a sound header, and facts that match the hash in it. Its payloads were checked only
/// if [`Entry::verify_payloads`] was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    header: EntryHeader,
    bytes: Bytes,
}

/// Why bytes are no entry, or not the next one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The header is not sound.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The bytes end inside the entry.
    #[error("entry {sequence} has {expected} bytes, {found} are there")]
    Short {
        /// Its number.
        sequence: u64,
        /// Bytes it has by its header.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// Header and facts do not match the stored hash.
    #[error("entry {sequence} is damaged: its hash is {expected}, its bytes give {found}")]
    Hash {
        /// Its number.
        sequence: u64,
        /// Stored.
        expected: Hash,
        /// Computed.
        found: Hash,
    },
    /// A payload is not sound.
    #[error("entry {sequence}: {error}")]
    Payload {
        /// Its number.
        sequence: u64,
        /// What is wrong.
        error: PayloadError,
    },
    /// It does not follow the position it was said to follow.
    #[error("entry {sequence} does not follow {after}: the hash before it is {previous}")]
    Chain {
        /// Its number.
        sequence: u64,
        /// Where the reader was.
        after: Position,
        /// What the entry says came before.
        previous: Hash,
    },
    /// Its facts cannot be read.
    #[error("entry {sequence}: {error}")]
    Facts {
        /// Its number.
        sequence: u64,
        /// What is wrong.
        error: FactsError,
    },
    /// It carries a payload that its facts do not name, or in another order.
    #[error("entry {sequence} carries the payload {hash}, which its facts do not name")]
    Unnamed {
        /// Its number.
        sequence: u64,
        /// The payload.
        hash: Hash,
    },
}

impl Entry {
    /// Builds an entry. Lengths and hash of `header` are computed here; everything else is taken as given.
    pub fn seal(mut header: EntryHeader, facts: &[u8], payloads: &[Payload]) -> Entry {
        let stored: usize = payloads.iter().map(Payload::stored_bytes).sum();
        header.facts_bytes = u32::try_from(facts.len()).expect("facts are bounded by FACTS_BYTES_MAX");
        header.payloads = u32::try_from(payloads.len()).expect("payloads are bounded by PAYLOADS_MAX");
        header.payloads_bytes = stored as u64;
        header.hash = header.hash_with(facts);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + facts.len() + stored);
        bytes.extend(header.encode());
        bytes.extend_from_slice(facts);
        for payload in payloads {
            payload.encode(&mut bytes);
        }
        Entry { header, bytes: bytes.into() }
    }

    /// Takes the entry at the front of `bytes`: checks header, length, and the hash over header and facts.
    pub fn decode(bytes: &mut Bytes) -> Result<Entry, EntryError> {
        let header = EntryHeader::decode(bytes)?;
        let expected = header.entry_bytes();
        let (sequence, found) = (header.sequence, bytes.len() as u64);
        let length = usize::try_from(expected).unwrap_or(usize::MAX);
        if bytes.len() < length {
            return Err(EntryError::Short { sequence, expected, found });
        }
        let entry = Entry { header, bytes: bytes.split_to(length) };
        let found = header.hash_with(&entry.facts_bytes());
        if found != header.hash && !seeded::is(Seeded::DamageTaken) {
            return Err(EntryError::Hash { sequence, expected: header.hash, found });
        }
        Ok(entry)
    }

    /// The fixed part.
    pub fn header(&self) -> &EntryHeader {
        &self.header
    }

    /// The stored form, all of it.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The position after this entry.
    pub fn position(&self) -> Position {
        self.header.position()
    }

    /// The facts, as stored.
    pub fn facts_bytes(&self) -> Bytes {
        self.bytes.slice(HEADER_BYTES..HEADER_BYTES + self.header.facts_bytes as usize)
    }

    /// The facts, read.
    pub fn facts(&self) -> Result<Facts, EntryError> {
        Facts::decode(self.header.kind, self.facts_bytes())
            .map_err(|error| EntryError::Facts { sequence: self.header.sequence, error })
    }

    /// The payloads in order, each with its checksums tested but not its hash.
    pub fn payloads(&self) -> impl Iterator<Item = Result<Payload, EntryError>> + use<> {
        let mut rest = self.bytes.slice(HEADER_BYTES + self.header.facts_bytes as usize..);
        let sequence = self.header.sequence;
        (0..self.header.payloads)
            .map(move |_| Payload::decode(&mut rest).map_err(|error| EntryError::Payload { sequence, error }))
    }

    /// Does this entry follow `after`? Sequence, chain, and an epoch that does not fall.
    pub fn follows(&self, after: &Position) -> Result<(), EntryError> {
        let header = &self.header;
        if header.sequence == after.sequence + 1
            && header.previous_hash == after.hash
            && header.epoch >= after.epoch
        {
            return Ok(());
        }
        let previous = header.previous_hash;
        Err(EntryError::Chain { sequence: header.sequence, after: *after, previous })
    }

    /// Checks every payload: its bytes match its name, its length adds up, and the facts name it.
    pub fn verify_payloads(&self, facts: &Facts) -> Result<(), EntryError> {
        let sequence = self.header.sequence;
        let named = facts.payload_names();
        let mut bytes = 0;
        for payload in self.payloads() {
            let payload = payload?;
            payload.verify().map_err(|error| EntryError::Payload { sequence, error })?;
            if !named.contains(&payload.hash) {
                return Err(EntryError::Unnamed { sequence, hash: payload.hash });
            }
            bytes += payload.stored_bytes() as u64;
        }
        if bytes == self.header.payloads_bytes {
            Ok(())
        } else {
            Err(EntryError::Payload { sequence, error: PayloadError::Header })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::sample_transaction;
    use crate::header::tests::sample;

    fn entry() -> (Entry, Facts) {
        let (facts, payloads) = sample_transaction();
        (Entry::seal(sample(), &facts.encode(), &payloads), facts)
    }

    #[test]
    fn round_trip() {
        let (entry, facts) = entry();
        let mut bytes = entry.bytes().clone();
        let read = Entry::decode(&mut bytes).unwrap();
        assert_eq!(read, entry);
        assert_eq!(read.facts().unwrap(), facts);
        read.verify_payloads(&facts).unwrap();
        assert!(bytes.is_empty());
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_noticed() {
        let (entry, _) = entry();
        let check = |bytes: Vec<u8>| {
            let entry = Entry::decode(&mut bytes.into())?;
            entry.verify_payloads(&entry.facts()?)
        };
        for at in 0..entry.bytes().len() {
            let mut bad = entry.bytes().to_vec();
            bad[at] ^= 1;
            assert!(check(bad).is_err(), "byte {at}");
            assert!(check(entry.bytes()[..at].to_vec()).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn erasing_a_payload_leaves_the_hash_alone() {
        let (facts, payloads) = sample_transaction();
        let whole = Entry::seal(sample(), &facts.encode(), &payloads);
        let erased: Vec<_> =
            payloads.iter().map(|payload| Payload::erased(payload.hash, payload.bytes.len())).collect();
        let gone = Entry::seal(sample(), &facts.encode(), &erased);
        assert_eq!(whole.position(), gone.position());
        assert_eq!(whole.bytes().len(), gone.bytes().len());
        gone.verify_payloads(&facts).unwrap();
    }

    #[test]
    fn the_chain_is_checked() {
        let (entry, _) = entry();
        let before = Position { epoch: crate::Epoch::FIRST, sequence: 6, hash: Hash::of(b"before") };
        entry.follows(&before).unwrap();
        for wrong in [
            Position { sequence: 5, ..before },
            Position { epoch: crate::Epoch::plain(2), ..before },
            Position { hash: Hash::of(b"other"), ..before },
        ] {
            assert!(matches!(entry.follows(&wrong), Err(EntryError::Chain { .. })));
        }
    }

    #[test]
    fn an_unnamed_payload_is_refused() {
        let (facts, _) = sample_transaction();
        let entry = Entry::seal(sample(), &facts.encode(), &[Payload::of(&b"stowaway"[..])]);
        assert!(matches!(entry.verify_payloads(&facts), Err(EntryError::Unnamed { .. })));
    }
}
