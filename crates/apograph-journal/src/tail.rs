//! The newest entries in memory, for readers near the end.

use std::collections::VecDeque;

use apograph_format::Entry;

/// Consecutive entries, at most `bytes_max` of them in bytes.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    bytes: u64,
    bytes_max: u64,
}

impl Tail {
    pub(crate) fn new(bytes_max: u64) -> Tail {
        Tail { bytes_max, ..Tail::default() }
    }

    /// Adds the next entry and lets the oldest go. After a gap only the new one stays.
    pub(crate) fn push(&mut self, entry: Entry) {
        let sequence = entry.header().sequence;
        if self.entries.back().is_some_and(|last| last.header().sequence + 1 != sequence) {
            self.clear();
        }
        self.bytes += entry.bytes().len() as u64;
        self.entries.push_back(entry);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes().len() as u64;
        }
    }

    /// The entry of this number, if it is here.
    pub(crate) fn get(&self, sequence: u64) -> Option<&Entry> {
        let first = self.entries.front()?.header().sequence;
        self.entries.get(usize::try_from(sequence.checked_sub(first)?).ok()?)
    }

    /// Moves all entries of `other` to the end of this one.
    pub(crate) fn absorb(&mut self, other: &mut Tail) {
        for entry in other.entries.drain(..) {
            self.push(entry);
        }
        other.bytes = 0;
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }
}
