//! Judges a recorded history: what was promised to clients, against what was there in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;

use apograph_client::format::{Durability, Epoch, Token};

use super::history::{Event, Found, Outcome, Write};

/// What the servers hold in the end: how many versions of the database are which write.
pub type Holdings = BTreeMap<Write, u64>;

/// What may happen to an acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// It is there, always; nothing is ever cut off.
    Lossless,
    /// It is there, always, if it was acknowledged as durable as asked for. If fewer servers had it: as `Accounted`.
    Replicated,
    /// It is there, or a failover cut it off: then it is listed, and comes back.
    Accounted,
}

impl Promise {
    /// What an answer of this durability promises when a primary is lost.
    pub fn of(durability: Durability) -> Promise {
        match durability {
            Durability::Local => Promise::Accounted,
            Durability::Replicas(_) => Promise::Replicated,
        }
    }
}

/// What is known of a write that was answered as saved.
#[derive(Debug, Clone, Copy)]
struct Saved {
    /// None if that was only found out by another attempt.
    token: Option<Token>,
    /// As durable as asked for.
    is_whole: bool,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Acknowledged, and nowhere in the end.
    Lost(Write, Option<Token>),
    /// Acknowledged and cut off, where nothing may be.
    CutOff(Write, Token),
    /// More than once in the end.
    Doubled(Write, u64),
    /// Two servers acknowledged in one epoch.
    TwoPrimaries(Epoch, &'static str, &'static str),
    /// A server said that it had reached a token, and did not have what was written with it.
    StaleRead(Write, Token, &'static str),
    /// A server said that a token was cut off, and it was not.
    FalseAlarm(Write, Token, &'static str),
    /// Acknowledged and cut off, and no server listed it.
    NotListed(Write, Token),
    /// Listed, and it could not come back.
    NotRestored(Token, Option<Write>),
    /// Asked for a token that was cut off, a server did not say so.
    Silence(Token, &'static str),
    /// Two writes that were acknowledged have one token.
    OneToken(Write, Write, Token),
    /// Two servers began one epoch.
    TwoBegan(Epoch, &'static str, &'static str),
    /// In the end there is a write that nobody asked for.
    Unasked(Write),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Everything that is wrong with a history, in the order of the rules; empty if nothing is.
pub fn check(promise: Promise, events: &[Event], holdings: &Holdings) -> Vec<Violation> {
    let mut checker = Checker { promise, found: Vec::new() };
    let epochs = checker.epochs(events);
    let acknowledged = checker.acknowledged(events);
    checker.presence(events, &acknowledged, &epochs, holdings);
    checker.orphans(events, &acknowledged, &epochs);
    checker.reads(events, &epochs);
    checker.found
}

struct Checker {
    promise: Promise,
    found: Vec<Violation>,
}

/// Bases of epochs.
type Epochs = BTreeMap<Epoch, u64>;

fn is_cut(epochs: &Epochs, token: Token) -> bool {
    epochs.range((Bound::Excluded(token.epoch), Bound::Unbounded)).any(|(_, base)| token.timestamp.0 > *base)
}

impl Checker {
    fn epochs(&mut self, events: &[Event]) -> Epochs {
        let mut began: BTreeMap<Epoch, (u64, &'static str)> = BTreeMap::new();
        for event in events {
            let Event::Epoch { epoch, base, server } = event else { continue };
            match began.get(epoch) {
                Some((_, other)) if other != server => {
                    self.found.push(Violation::TwoBegan(*epoch, other, server));
                }
                _ => drop(began.insert(*epoch, (*base, *server))),
            }
        }
        began.into_iter().map(|(epoch, (base, _))| (epoch, base)).collect()
    }

    /// Tokens of what was acknowledged; and who acknowledged in which epoch.
    fn acknowledged(&mut self, events: &[Event]) -> BTreeMap<Write, Saved> {
        let mut acknowledged = BTreeMap::new();
        let mut primaries: BTreeMap<Epoch, &'static str> = BTreeMap::new();
        let mut tokens: BTreeMap<Token, Write> = BTreeMap::new();
        for event in events {
            let Event::Attempt { write, server, outcome, .. } = event else { continue };
            match outcome {
                Outcome::Acknowledged { token } | Outcome::Less { token } => {
                    let is_whole = matches!(outcome, Outcome::Acknowledged { .. });
                    acknowledged.insert(*write, Saved { token: Some(*token), is_whole });
                    let primary = primaries.entry(token.epoch).or_insert(server);
                    if primary != server {
                        self.found.push(Violation::TwoPrimaries(token.epoch, primary, server));
                    }
                    let first = *tokens.entry(*token).or_insert(*write);
                    if first != *write {
                        self.found.push(Violation::OneToken(first, *write, *token));
                    }
                }
                Outcome::Confirmed => {
                    acknowledged.entry(*write).or_insert(Saved { token: None, is_whole: false });
                }
                Outcome::Refused { .. } | Outcome::Unknown { .. } => {}
            }
        }
        acknowledged
    }

    fn presence(
        &mut self,
        events: &[Event],
        acknowledged: &BTreeMap<Write, Saved>,
        epochs: &Epochs,
        holdings: &Holdings,
    ) {
        for (write, Saved { token, is_whole }) in acknowledged {
            let cut = token.filter(|token| is_cut(epochs, *token));
            let may_be_cut = match self.promise {
                Promise::Lossless => false,
                Promise::Replicated => !is_whole,
                Promise::Accounted => true,
            };
            match cut {
                Some(token) if !may_be_cut => self.found.push(Violation::CutOff(*write, token)),
                _ if !holdings.contains_key(write) => self.found.push(Violation::Lost(*write, *token)),
                _ => {}
            }
        }
        let doubled = holdings.iter().filter(|(_, count)| **count > 1);
        self.found.extend(doubled.map(|(write, count)| Violation::Doubled(*write, *count)));
        let asked: BTreeSet<Write> = events
            .iter()
            .filter_map(|event| match event {
                Event::Attempt { write, .. } => Some(*write),
                _ => None,
            })
            .collect();
        let unasked = holdings.keys().filter(|write| !asked.contains(write));
        self.found.extend(unasked.map(|write| Violation::Unasked(*write)));
    }

    /// What was cut off is listed, comes back, and whoever asks for it is told.
    fn orphans(&mut self, events: &[Event], acknowledged: &BTreeMap<Write, Saved>, epochs: &Epochs) {
        let mut listed = BTreeMap::new();
        let mut back = BTreeSet::new();
        for event in events {
            match event {
                Event::Orphan { token, write, .. } => drop(listed.insert(*token, *write)),
                Event::Restored { token, came_back: true, .. } => drop(back.insert(*token)),
                Event::Asked { token, server, code } => {
                    let is_told = code.as_deref() == Some("token-other-history");
                    if is_cut(epochs, *token) && !is_told {
                        self.found.push(Violation::Silence(*token, server));
                    }
                }
                _ => {}
            }
        }
        for (write, saved) in acknowledged {
            let Some(token) = saved.token.filter(|token| is_cut(epochs, *token)) else { continue };
            if listed.get(&token) != Some(&Some(*write)) {
                self.found.push(Violation::NotListed(*write, token));
            }
        }
        let missing = listed.into_iter().filter(|(token, write)| write.is_some() && !back.contains(token));
        self.found.extend(missing.map(|(token, write)| Violation::NotRestored(token, write)));
    }

    fn reads(&mut self, events: &[Event], epochs: &Epochs) {
        for event in events {
            let Event::Read { write, at_least, server, found } = event else { continue };
            match found {
                Found::Other => self.found.push(Violation::StaleRead(*write, *at_least, server)),
                Found::OtherHistory if !is_cut(epochs, *at_least) => {
                    self.found.push(Violation::FalseAlarm(*write, *at_least, server));
                }
                Found::OtherHistory | Found::It | Found::Nothing => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use apograph_client::format::Timestamp;

    use super::*;

    const A: Write = Write { client: 0, number: 0 };
    const B: Write = Write { client: 0, number: 1 };

    fn token(epoch: u32, timestamp: u64) -> Token {
        Token { epoch: Epoch::plain(epoch), timestamp: Timestamp(timestamp) }
    }

    fn attempt(write: Write, server: &'static str, outcome: Outcome) -> Event {
        Event::Attempt { write, server, asked_us: 0, answered_us: 1, outcome }
    }

    fn acknowledged(write: Write, server: &'static str, epoch: u32, timestamp: u64) -> Event {
        attempt(write, server, Outcome::Acknowledged { token: token(epoch, timestamp) })
    }

    fn epoch(epoch: u32, base: u64, server: &'static str) -> Event {
        Event::Epoch { epoch: Epoch::plain(epoch), base, server }
    }

    fn listed(write: Write, epoch: u32, timestamp: u64) -> Event {
        Event::Orphan { token: token(epoch, timestamp), write: Some(write), server: "x" }
    }

    fn restored(write: Write, epoch: u32, timestamp: u64, came_back: bool) -> Event {
        Event::Restored { token: token(epoch, timestamp), write: Some(write), came_back }
    }

    fn holds(writes: &[(Write, u64)]) -> Holdings {
        writes.iter().copied().collect()
    }

    #[test]
    fn a_sound_history_is_sound() {
        let unknown = || Outcome::Unknown { why: "reset".into() };
        let events = [
            acknowledged(A, "x", 1, 10),
            attempt(B, "x", unknown()),
            epoch(2, 10, "y"),
            attempt(B, "y", Outcome::Refused { code: "handing-over".into() }),
            acknowledged(B, "y", 2, 20),
            Event::Read { write: B, at_least: token(2, 20), server: "x", found: Found::It },
        ];
        assert_eq!(check(Promise::Lossless, &events, &holds(&[(A, 1), (B, 1)])), []);
        // One of unknown fate may be there or not.
        let events = [attempt(A, "x", unknown())];
        assert_eq!(check(Promise::Lossless, &events, &holds(&[(A, 1)])), []);
        assert_eq!(check(Promise::Lossless, &events, &holds(&[])), []);
        // Cut off, listed, back, and told.
        let events = [
            acknowledged(A, "x", 1, 11),
            epoch(2, 10, "y"),
            listed(A, 1, 11),
            restored(A, 1, 11, true),
            Event::Asked { token: token(1, 11), server: "y", code: Some("token-other-history".into()) },
        ];
        assert_eq!(check(Promise::Accounted, &events, &holds(&[(A, 1)])), []);
    }

    #[test]
    fn a_lost_write_is_found() {
        let events = [acknowledged(A, "x", 1, 10)];
        let lost = [Violation::Lost(A, Some(token(1, 10)))];
        for promise in [Promise::Lossless, Promise::Accounted] {
            assert_eq!(check(promise, &events, &holds(&[])), lost);
        }
        let events = [attempt(A, "x", Outcome::Confirmed)];
        assert_eq!(check(Promise::Lossless, &events, &holds(&[])), [Violation::Lost(A, None)]);
    }

    #[test]
    fn a_write_that_was_cut_off_breaks_the_promise_even_if_it_came_back() {
        let events =
            [acknowledged(A, "x", 1, 11), epoch(2, 10, "y"), listed(A, 1, 11), restored(A, 1, 11, true)];
        assert_eq!(
            check(Promise::Lossless, &events, &holds(&[(A, 1)])),
            [Violation::CutOff(A, token(1, 11))]
        );
    }

    #[test]
    fn what_a_replica_had_must_not_be_cut_off_and_what_none_had_is_accounted_for() {
        let less = |timestamp| attempt(A, "x", Outcome::Less { token: token(1, timestamp) });
        let after = || [epoch(2, 10, "y"), listed(A, 1, 11), restored(A, 1, 11, true)];
        let [began, of, back] = after();
        let sound = [less(11), began, of, back];
        assert_eq!(check(Promise::Replicated, &sound, &holds(&[(A, 1)])), []);
        let lost = check(Promise::Replicated, &sound, &holds(&[]));
        assert_eq!(lost, [Violation::Lost(A, Some(token(1, 11)))]);
        let [began, of, back] = after();
        let broken = [acknowledged(A, "x", 1, 11), began, of, back];
        let cut = [Violation::CutOff(A, token(1, 11))];
        assert_eq!(check(Promise::Replicated, &broken, &holds(&[(A, 1)])), cut);
        let silent = [less(11), epoch(2, 10, "y")];
        let unlisted = [Violation::NotListed(A, token(1, 11))];
        assert_eq!(check(Promise::Replicated, &silent, &holds(&[(A, 1)])), unlisted);
    }

    #[test]
    fn a_doubled_write_is_found() {
        let events = [acknowledged(A, "x", 1, 10)];
        assert_eq!(check(Promise::Lossless, &events, &holds(&[(A, 2)])), [Violation::Doubled(A, 2)]);
    }

    #[test]
    fn acknowledgements_of_two_servers_in_one_epoch_are_found() {
        let events = [acknowledged(A, "x", 2, 10), acknowledged(B, "y", 2, 11)];
        let two = [Violation::TwoPrimaries(Epoch::plain(2), "x", "y")];
        assert_eq!(check(Promise::Lossless, &events, &holds(&[(A, 1), (B, 1)])), two);
        // In two epochs that is a split, and no fault by itself.
        let events = [acknowledged(A, "x", 1, 10), acknowledged(B, "y", 2, 11)];
        assert_eq!(check(Promise::Lossless, &events, &holds(&[(A, 1), (B, 1)])), []);
        let events = [epoch(2, 1, "x"), epoch(2, 1, "y")];
        assert_eq!(
            check(Promise::Lossless, &events, &holds(&[])),
            [Violation::TwoBegan(Epoch::plain(2), "x", "y")]
        );
    }

    #[test]
    fn one_token_for_two_writes_is_found() {
        let events = [acknowledged(A, "x", 1, 10), acknowledged(B, "x", 1, 10)];
        let one = [Violation::OneToken(A, B, token(1, 10))];
        assert_eq!(check(Promise::Lossless, &events, &holds(&[(A, 1), (B, 1)])), one);
    }

    #[test]
    fn a_stale_read_is_found() {
        let read = |found| Event::Read { write: A, at_least: token(1, 10), server: "y", found };
        let of =
            |found| check(Promise::Lossless, &[acknowledged(A, "x", 1, 10), read(found)], &holds(&[(A, 1)]));
        assert_eq!(of(Found::Other), [Violation::StaleRead(A, token(1, 10), "y")]);
        assert_eq!(of(Found::OtherHistory), [Violation::FalseAlarm(A, token(1, 10), "y")]);
        for found in [Found::It, Found::Nothing] {
            assert_eq!(of(found), []);
        }
    }

    #[test]
    fn an_orphan_that_is_not_listed_is_found() {
        let events = [acknowledged(A, "x", 1, 11), epoch(2, 10, "y")];
        assert_eq!(
            check(Promise::Accounted, &events, &holds(&[(A, 1)])),
            [Violation::NotListed(A, token(1, 11))]
        );
        // Under another's name it is not listed either.
        let events =
            [acknowledged(A, "x", 1, 11), epoch(2, 10, "y"), listed(B, 1, 11), restored(B, 1, 11, true)];
        assert_eq!(
            check(Promise::Accounted, &events, &holds(&[(A, 1)])),
            [Violation::NotListed(A, token(1, 11))]
        );
    }

    #[test]
    fn an_orphan_that_does_not_come_back_is_found() {
        let not = [Violation::NotRestored(token(1, 11), Some(A))];
        let begin = [acknowledged(A, "x", 1, 11), epoch(2, 10, "y"), listed(A, 1, 11)];
        assert_eq!(check(Promise::Accounted, &begin, &holds(&[(A, 1)])), not);
        let tried = [&begin[..], &[restored(A, 1, 11, false)]].concat();
        assert_eq!(check(Promise::Accounted, &tried, &holds(&[(A, 1)])), not);
        // Said to be back, and not there.
        let said = [&begin[..], &[restored(A, 1, 11, true)]].concat();
        let lost = [Violation::Lost(A, Some(token(1, 11)))];
        assert_eq!(check(Promise::Accounted, &said, &holds(&[])), lost);
    }

    #[test]
    fn silence_about_a_lost_token_is_found() {
        let events = |code: Option<&str>| {
            [
                epoch(2, 10, "y"),
                Event::Asked { token: token(1, 11), server: "y", code: code.map(str::to_owned) },
            ]
        };
        for code in [None, Some("not-reached")] {
            let found = check(Promise::Accounted, &events(code), &holds(&[]));
            assert_eq!(found, [Violation::Silence(token(1, 11), "y")]);
        }
        assert_eq!(check(Promise::Accounted, &events(Some("token-other-history")), &holds(&[])), []);
    }

    #[test]
    fn a_write_that_nobody_asked_for_is_found() {
        assert_eq!(check(Promise::Lossless, &[], &holds(&[(A, 1)])), [Violation::Unasked(A)]);
    }
}
