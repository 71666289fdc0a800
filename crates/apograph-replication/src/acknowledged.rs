//! Which copies have a transaction on disk, as they say themselves.
//!
//! A copy acknowledges a time: everything that was committed up to it is complete in its journals, and synced. Positions
//! would not do: a copy that is promoted cuts what lies behind the first gap in any partition, so an entry that is
//! durable behind a gap is not safe there.

use std::collections::BTreeMap;

use apograph_format::{ServerKey, Token};

/// What the copies of one database acknowledged. Each server counts once, by its key.
#[derive(Debug, Clone)]
pub struct Acknowledged<T> {
    copies: BTreeMap<ServerKey, Copy<T>>,
    /// More are not remembered: the one that was not heard for longest goes.
    copies_max: usize,
}

#[derive(Debug, Clone)]
struct Copy<T> {
    name: String,
    up_to: Token,
    heard: T,
}

impl<T: std::marker::Copy + Ord> Acknowledged<T> {
    /// Nothing yet; `copies_max` are remembered.
    pub fn new(copies_max: usize) -> Acknowledged<T> {
        Acknowledged { copies: BTreeMap::new(), copies_max }
    }

    /// A copy has everything up to this token on disk. Its last word counts, also when it names less than before: it
    /// may have been put back.
    pub fn note(&mut self, key: ServerKey, name: &str, up_to: Token, heard: T) {
        if !self.copies.contains_key(&key) && self.copies.len() >= self.copies_max {
            let oldest = self.copies.iter().min_by_key(|(_, copy)| copy.heard).map(|(key, _)| *key);
            oldest.map(|oldest| self.copies.remove(&oldest));
        }
        self.copies.insert(key, Copy { name: name.to_owned(), up_to, heard });
    }

    /// Did this server acknowledge anything?
    pub fn knows(&self, key: &ServerKey) -> bool {
        self.copies.contains_key(key)
    }

    /// Servers that have what the token names. Times of another epoch may be of another history, and do not count.
    pub fn reached(&self, token: Token) -> impl Iterator<Item = (ServerKey, &str)> {
        let has = move |up_to: Token| up_to.epoch == token.epoch && up_to.timestamp >= token.timestamp;
        let copies = self.copies.iter().filter(move |(_, copy)| has(copy.up_to));
        copies.map(|(key, copy)| (*key, copy.name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apograph_format::{Epoch, Timestamp};

    fn token(epoch: u32, at: u64) -> Token {
        Token { epoch: Epoch::plain(epoch), timestamp: Timestamp(at) }
    }

    fn key(number: u8) -> ServerKey {
        ServerKey([number; 32])
    }

    fn names(acknowledged: &Acknowledged<u32>, token: Token) -> Vec<&str> {
        acknowledged.reached(token).map(|(_, name)| name).collect()
    }

    #[test]
    fn each_server_counts_once_and_by_its_last_word() {
        let mut all = Acknowledged::new(8);
        assert!(names(&all, token(1, 1)).is_empty());
        all.note(key(1), "one", token(1, 10), 1);
        all.note(key(1), "one", token(1, 12), 2);
        all.note(key(2), "two", token(1, 11), 3);
        assert_eq!(names(&all, token(1, 11)), ["one", "two"]);
        assert_eq!(names(&all, token(1, 12)), ["one"]);
        assert!(names(&all, token(1, 13)).is_empty());
        all.note(key(1), "one", token(1, 9), 4);
        assert_eq!(names(&all, token(1, 11)), ["two"], "it was put back to an older state");
    }

    #[test]
    fn a_time_of_another_epoch_proves_nothing() {
        let mut all = Acknowledged::new(8);
        all.note(key(1), "fork", token(1, 900), 1);
        all.note(key(2), "ahead", token(3, 900), 1);
        assert!(names(&all, token(2, 100)).is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut all = Acknowledged::new(2);
        for number in 1..=5 {
            all.note(key(number), &number.to_string(), token(1, 10), u32::from(number));
        }
        assert_eq!(names(&all, token(1, 10)), ["4", "5"]);
    }
}
