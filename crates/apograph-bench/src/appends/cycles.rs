//! Judges what clients saw of lists: is there an order of all transactions, one after the other, that explains it?
//!
//! The order of a list is what its longest read says. From that follows who came before whom: a name stands before another
//! (written before written), a name was read (written before read), a name was not read yet (read before written). Together
//! with the times at which clients asked and knew, by their own clock, there must be no ring in it. Adya, Liskov and O'Neil
//! (2000) name the rings; Kingsbury and Alvaro (2020) find them by lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::graph::Graph;
use super::{Key, List, Told, Transaction};
use crate::failover::history::Write;

/// What has to be so because of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The one stands before the other in a list.
    Written,
    /// The one was read by the other.
    Read,
    /// The one did not read the other yet.
    Unread,
    /// The one was answered before the other was asked for.
    Answered,
}

/// Something that no order of transactions explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// Two reads of a list of which neither continues the other.
    Forked(Key, List, List),
    /// A name stands in a list twice.
    Twice(Key, Write),
    /// A name was read that no client has.
    Unasked(Key, Write),
    /// A name was read of a transaction of which its client was told that it was not done.
    NotDone(Key, Write),
    /// A client was told that it is done, and its name is missing in the end.
    Lost(Key, Write),
    /// Nobody was told, and its name is in some of its lists in the end.
    Half(Key, Write),
    /// Each of them had to come before the next, and the last before the first.
    Ring(Vec<(Write, Because)>),
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Anomaly::Ring(ring) = self else { return write!(f, "{self:?}") };
        write!(f, "a ring:")?;
        for (name, because) in ring {
            write!(f, " {} before ({because:?})", name.name())?;
        }
        Ok(())
    }
}

/// What is wrong; nothing, if all is well. `last` is what the lists hold in the end.
pub fn check(transactions: &[Transaction], last: &BTreeMap<Key, List>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let orders = orders(transactions, last, &mut found);
    let seen = names(&orders, transactions, &mut found);
    endings(transactions, last, &mut found);
    if found.is_empty() {
        found.extend(rings(transactions, &orders, &seen));
    }
    found
}

/// The longest that was read of each list: all others are its beginnings.
fn orders<'a>(
    transactions: &'a [Transaction],
    last: &'a BTreeMap<Key, List>,
    found: &mut Vec<Anomaly>,
) -> BTreeMap<&'a Key, &'a List> {
    let mut orders: BTreeMap<&Key, &List> = BTreeMap::new();
    for (key, list) in transactions.iter().flat_map(|transaction| &transaction.reads).chain(last) {
        let longest = orders.entry(key).or_insert(list);
        let (short, long) = if list.len() < longest.len() { (list, *longest) } else { (*longest, list) };
        if !long.starts_with(short) {
            found.push(Anomaly::Forked(key.clone(), short.clone(), long.clone()));
        }
        *longest = long;
    }
    orders
}

/// Every name that stands anywhere is one that a client has, once, and of something that may have been done.
fn names(
    orders: &BTreeMap<&Key, &List>,
    transactions: &[Transaction],
    found: &mut Vec<Anomaly>,
) -> BTreeSet<Write> {
    let told: BTreeMap<Write, &Transaction> =
        transactions.iter().map(|transaction| (transaction.name, transaction)).collect();
    let mut seen = BTreeSet::new();
    for (key, list) in orders {
        let mut here = BTreeSet::new();
        for name in *list {
            seen.insert(*name);
            if !here.insert(*name) {
                found.push(Anomaly::Twice((*key).clone(), *name));
            }
            match told.get(name) {
                Some(of) if !of.appends.contains(*key) => found.push(Anomaly::Unasked((*key).clone(), *name)),
                None => found.push(Anomaly::Unasked((*key).clone(), *name)),
                Some(of) if of.told == Told::NotDone => found.push(Anomaly::NotDone((*key).clone(), *name)),
                Some(_) => {}
            }
        }
    }
    seen
}

/// What is done is there in the end, and whole.
fn endings(transactions: &[Transaction], last: &BTreeMap<Key, List>, found: &mut Vec<Anomaly>) {
    let there: BTreeSet<(&Key, Write)> =
        last.iter().flat_map(|(key, list)| list.iter().map(move |name| (key, *name))).collect();
    for of in transactions {
        let missing = |key: &&Key| !there.contains(&(*key, of.name));
        let is_there = of.appends.iter().any(|key| there.contains(&(key, of.name)));
        match (of.told, of.appends.iter().find(missing)) {
            (Told::Done, Some(key)) => found.push(Anomaly::Lost(key.clone(), of.name)),
            (Told::Nothing, Some(key)) if is_there => found.push(Anomaly::Half(key.clone(), of.name)),
            _ => {}
        }
    }
}

fn rings(
    transactions: &[Transaction],
    orders: &BTreeMap<&Key, &List>,
    seen: &BTreeSet<Write>,
) -> Vec<Anomaly> {
    let is_done = |of: &Transaction| of.told == Told::Done || seen.contains(&of.name);
    let done: Vec<&Transaction> = transactions.iter().filter(|of| is_done(of)).collect();
    let nodes: BTreeMap<Write, usize> = done.iter().enumerate().map(|(node, of)| (of.name, node)).collect();
    let mut graph = Graph::new(done.len());
    for list in orders.values() {
        for pair in list.windows(2) {
            graph.edge(nodes[&pair[0]], nodes[&pair[1]], Because::Written);
        }
    }
    for (node, of) in done.iter().enumerate() {
        for (key, list) in &of.reads {
            if let Some(read) = list.last() {
                graph.edge(nodes[read], node, Because::Read);
            }
            if let Some(unread) = orders.get(key).and_then(|order| order.get(list.len())) {
                graph.edge(node, nodes[unread], Because::Unread);
            }
        }
    }
    real_time(&done, &mut graph);
    let name = |(node, because): (usize, Because)| Some((done.get(node)?.name, because));
    graph.rings().into_iter().map(|ring| Anomaly::Ring(ring.into_iter().filter_map(name).collect())).collect()
}

/// Who was answered comes before who was asked for later. Moments stand between them, each before the next: an edge from
/// everybody to everybody would be too many.
fn real_time(done: &[&Transaction], graph: &mut Graph<Because>) {
    let mut answered: Vec<(u64, usize)> = Vec::new();
    let mut asked: Vec<(u64, usize)> = Vec::new();
    for (node, of) in done.iter().enumerate() {
        let Some(asked_us) = of.asked_us else { continue };
        asked.push((asked_us, node));
        if of.told == Told::Done {
            answered.push((of.answered_us, node));
        }
    }
    answered.sort_unstable();
    asked.sort_unstable();
    let (mut moment, mut answered) = (None, answered.into_iter().peekable());
    for (asked_us, node) in asked {
        while let Some((_, before)) = answered.next_if(|(answered_us, _)| *answered_us < asked_us) {
            let next = graph.node();
            graph.edge(before, next, Because::Answered);
            if let Some(moment) = moment.replace(next) {
                graph.edge(moment, next, Because::Answered);
            }
        }
        if let Some(moment) = moment {
            graph.edge(moment, node, Because::Answered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Write = Write { client: 0, number: 0 };
    const B: Write = Write { client: 1, number: 0 };
    const C: Write = Write { client: 2, number: 0 };

    /// At no time in particular.
    fn transaction(name: Write, reads: &[(&str, &[Write])], appends: &[&str], told: Told) -> Transaction {
        Transaction {
            name,
            reads: lists(reads),
            appends: appends.iter().map(|key| (*key).to_owned()).collect(),
            told,
            asked_us: None,
            answered_us: 0,
        }
    }

    fn lists(of: &[(&str, &[Write])]) -> BTreeMap<Key, List> {
        of.iter().map(|(key, list)| ((*key).to_owned(), list.to_vec())).collect()
    }

    fn done(name: Write, reads: &[(&str, &[Write])], appends: &[&str]) -> Transaction {
        transaction(name, reads, appends, Told::Done)
    }

    fn at(asked_us: u64, answered_us: u64, of: Transaction) -> Transaction {
        Transaction { asked_us: Some(asked_us), answered_us, ..of }
    }

    fn ring_of(found: &[Anomaly]) -> Vec<Because> {
        match found {
            [Anomaly::Ring(ring)] => ring.iter().map(|(_, because)| *because).collect(),
            other => panic!("not one ring: {other:?}"),
        }
    }

    #[test]
    fn a_good_history_is_well() {
        let history = [
            at(1, 2, done(A, &[("x", &[]), ("y", &[])], &["x", "y"])),
            at(3, 4, done(B, &[("x", &[A])], &["x"])),
            // At an older time: that is no fault.
            done(C, &[("x", &[A]), ("y", &[A])], &[]),
        ];
        assert_eq!(check(&history, &lists(&[("x", &[A, B]), ("y", &[A])])), []);
        // Nobody was told of it: it may be there, or not.
        let history = [transaction(A, &[], &["x", "y"], Told::Nothing)];
        assert_eq!(check(&history, &lists(&[("x", &[A]), ("y", &[A])])), []);
        assert_eq!(check(&history, &lists(&[])), []);
        let history = [transaction(A, &[], &["x"], Told::NotDone)];
        assert_eq!(check(&history, &lists(&[])), []);
    }

    #[test]
    fn lists_that_do_not_continue_each_other_are_found() {
        let history = [done(A, &[], &["x"]), done(B, &[], &["x"]), done(C, &[("x", &[B])], &[])];
        let forked = Anomaly::Forked("x".to_owned(), vec![B], vec![A, B]);
        assert!(check(&history, &lists(&[("x", &[A, B])])).contains(&forked));
    }

    #[test]
    fn names_that_must_not_stand_there_are_found() {
        let x = || "x".to_owned();
        let one = [done(A, &[], &["x"])];
        assert_eq!(check(&one, &lists(&[("x", &[A, A])])), [Anomaly::Twice(x(), A)]);
        assert_eq!(check(&one, &lists(&[("x", &[A, B])])), [Anomaly::Unasked(x(), B)]);
        assert_eq!(check(&one, &lists(&[("x", &[A]), ("y", &[A])])), [Anomaly::Unasked("y".to_owned(), A)]);
        let refused = [transaction(A, &[], &["x"], Told::NotDone)];
        assert_eq!(check(&refused, &lists(&[("x", &[A])])), [Anomaly::NotDone(x(), A)]);
    }

    #[test]
    fn what_was_promised_and_is_missing_is_found() {
        let history = [done(A, &[], &["x", "y"])];
        assert_eq!(check(&history, &lists(&[("x", &[A])])), [Anomaly::Lost("y".to_owned(), A)]);
        let history = [transaction(A, &[], &["x", "y"], Told::Nothing)];
        assert_eq!(check(&history, &lists(&[("y", &[A])])), [Anomaly::Half("x".to_owned(), A)]);
        // It was read once, and is gone.
        let history = [transaction(A, &[], &["x"], Told::Done), done(B, &[("x", &[A])], &[])];
        assert_eq!(check(&history, &lists(&[("x", &[])])), [Anomaly::Lost("x".to_owned(), A)]);
    }

    /// Two lists disagree on who came first.
    #[test]
    fn a_ring_of_writes_is_found() {
        let history = [done(A, &[], &["x", "y"]), done(B, &[], &["x", "y"])];
        let found = check(&history, &lists(&[("x", &[A, B]), ("y", &[B, A])]));
        assert_eq!(ring_of(&found), [Because::Written, Because::Written]);
    }

    /// Each has read the other.
    #[test]
    fn a_ring_of_reads_is_found() {
        let history = [done(A, &[("y", &[B])], &["x"]), done(B, &[("x", &[A])], &["y"])];
        let found = check(&history, &lists(&[("x", &[A]), ("y", &[B])]));
        assert_eq!(ring_of(&found), [Because::Read, Because::Read]);
    }

    /// A half of a transaction was seen.
    #[test]
    fn a_read_of_one_half_is_found() {
        let history = [done(A, &[], &["x", "y"]), done(B, &[("x", &[A]), ("y", &[])], &[])];
        let found = check(&history, &lists(&[("x", &[A]), ("y", &[A])]));
        assert_eq!(ring_of(&found), [Because::Read, Because::Unread]);
    }

    /// Both read the same, and both wrote: one has not seen the other.
    #[test]
    fn a_lost_update_is_found() {
        let history = [done(A, &[("x", &[])], &["x"]), done(B, &[("x", &[])], &["x"])];
        let found = check(&history, &lists(&[("x", &[A, B])]));
        assert_eq!(ring_of(&found), [Because::Written, Because::Unread]);
    }

    /// Neither has seen what the other wrote elsewhere.
    #[test]
    fn write_skew_is_found() {
        let history =
            [done(A, &[("x", &[]), ("y", &[])], &["x"]), done(B, &[("x", &[]), ("y", &[])], &["y"])];
        let found = check(&history, &lists(&[("x", &[A]), ("y", &[B])]));
        assert_eq!(ring_of(&found), [Because::Unread, Because::Unread]);
    }

    /// Two readers that see two writers in different orders.
    #[test]
    fn a_long_fork_is_found() {
        let d = Write { client: 3, number: 0 };
        let history = [
            done(A, &[], &["x"]),
            done(B, &[], &["y"]),
            done(C, &[("x", &[A]), ("y", &[])], &[]),
            done(d, &[("x", &[]), ("y", &[B])], &[]),
        ];
        let found = check(&history, &lists(&[("x", &[A]), ("y", &[B])]));
        assert_eq!(ring_of(&found).len(), 4);
    }

    /// It was answered before the other was asked for, and stands behind it.
    #[test]
    fn an_order_against_the_clients_clock_is_found() {
        let history = |asked| [at(1, 2, done(A, &[], &["x"])), at(asked, 5, done(B, &[], &["x"]))];
        let last = lists(&[("x", &[B, A])]);
        assert_eq!(check(&history(1), &last), [], "at the same time");
        assert!(ring_of(&check(&history(3), &last)).contains(&Because::Answered));
        // Nobody was told of the first: it may have come at any later time.
        let unknown = [at(1, 2, transaction(A, &[], &["x"], Told::Nothing)), at(3, 4, done(B, &[], &["x"]))];
        assert_eq!(check(&unknown, &last), []);
    }
}
