//! Lists that transactions append to, and a judge of what clients saw that believes no timestamp.
//!
//! A list is a document; its content is a line for each element. A transaction reads some lists and puts its own name at the
//! end of each, on condition that they are still what it read. Every name is in a list once, so a list says who came after
//! whom, and a read of it says what its reader has seen ([`cycles`]).

pub mod clients;
pub mod cycles;
mod graph;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::failover::history::Write;

/// A list, by its URI.
pub type Key = String;

/// What it holds: the transactions that put their name into it, in order.
pub type List = Vec<Write>;

/// What a client was told of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// It is done.
    Done,
    /// It was not done.
    NotDone,
    /// Nothing.
    Nothing,
}

/// A transaction as its client saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transaction {
    /// Its name, which is what it appends.
    pub name: Write,
    /// What it read, at one moment.
    pub reads: BTreeMap<Key, List>,
    /// What it appends to.
    pub appends: Vec<Key>,
    /// What its client was told.
    pub told: Told,
    /// When it was asked for, microseconds since the run began, by the clock of the clients; none if it may see an older
    /// state than the newest.
    pub asked_us: Option<u64>,
    /// When its client knew.
    pub answered_us: u64,
}

/// A list as a content.
pub fn written(list: &[Write]) -> String {
    list.iter().map(|name| format!("{}.{}\n", name.client, name.number)).collect()
}

/// The list of a content; none if that is no list.
pub fn read(content: &str) -> Option<List> {
    let element = |line: &str| {
        let (client, number) = line.split_once('.')?;
        Some(Write { client: client.parse().ok()?, number: number.parse().ok()? })
    };
    content.lines().map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let list = [Write { client: 1, number: 2 }, Write { client: 30, number: 4 }];
        assert_eq!(read(&written(&list)).unwrap(), list);
        assert_eq!(read("").unwrap(), []);
        assert_eq!(read("1.2\n3\n"), None);
    }
}
