//! What clients and operators were told, and whether it was true.
//!
//! The rules for single writes are those of the failover runs ([`apograph_bench::failover::checker`]); here are those that
//! need the order of all transactions.

use std::collections::{BTreeMap, BTreeSet};

use apograph::format::{Epoch, Timestamp, Token};
use apograph_bench::failover::checker::{Holdings, Promise, check};
use apograph_bench::failover::history::{Event, Outcome, Write};

use super::truth::Truth;

/// What clients and operators were told, in the order in which they were.
#[derive(Debug, Default)]
pub struct History {
    events: Vec<Event>,
    /// What was cut off and is listed by somebody.
    listed: BTreeMap<Token, BTreeSet<&'static str>>,
}

impl History {
    /// A client asked, and this is what came of it.
    pub fn attempt(
        &mut self,
        write: Write,
        server: &'static str,
        asked_us: u64,
        answered_us: u64,
        outcome: Outcome,
    ) {
        self.events.push(Event::Attempt { write, server, asked_us, answered_us, outcome });
    }

    /// A server began an epoch.
    pub fn epoch(&mut self, epoch: Epoch, base: Timestamp, server: &'static str) {
        self.events.push(Event::Epoch { epoch, base: base.0, server });
    }

    /// A server lists a transaction that a later epoch cut off.
    pub fn orphan(&mut self, token: Token, server: &'static str) {
        self.listed.entry(token).or_default().insert(server);
    }

    /// What is wrong, if something is. `truth` is what happened, to the end; `lists_all` says that everything that was cut
    /// off must be listed.
    pub fn judge(&self, truth: &Truth, lists_all: bool) -> Result<(), String> {
        self.real_time(truth)?;
        let mut holdings = Holdings::new();
        for (_, happened) in truth.transactions() {
            if let Some(write) = Write::parse(&happened.comment) {
                *holdings.entry(write).or_default() += 1;
            }
        }
        // What was cut off is none of the final history; somebody must list it.
        let is_cut = |event: &Event| match event {
            Event::Attempt { outcome: Outcome::Acknowledged { token }, .. } => {
                truth.is_cut(token.epoch, token.timestamp)
            }
            _ => false,
        };
        let kept: Vec<Event> = self.events.iter().filter(|event| !is_cut(event)).cloned().collect();
        for event in self.events.iter().filter(|event| is_cut(event)) {
            let Event::Attempt { write, outcome: Outcome::Acknowledged { token }, .. } = event else {
                continue;
            };
            if lists_all && !self.listed.contains_key(token) {
                return Err(format!(
                    "{} was saved as {token} and cut off, and nobody lists it",
                    write.name()
                ));
            }
        }
        match check(Promise::Lossless, &kept, &holdings).first() {
            None => Ok(()),
            Some(violation) => Err(violation.to_string()),
        }
    }

    /// What was asked after another was answered is later than that.
    fn real_time(&self, truth: &Truth) -> Result<(), String> {
        let mut saved: Vec<(u64, u64, Token, Write)> = Vec::new();
        for event in &self.events {
            let Event::Attempt { write, asked_us, answered_us, outcome, .. } = event else { continue };
            if let Outcome::Acknowledged { token } = outcome
                && !truth.is_cut(token.epoch, token.timestamp)
            {
                saved.push((*asked_us, *answered_us, *token, *write));
            }
        }
        saved.sort_by_key(|(_, answered, ..)| *answered);
        let mut asked = saved.clone();
        asked.sort_by_key(|(asked, ..)| *asked);
        let (mut latest, mut answered) = (None::<(Token, Write)>, saved.iter().peekable());
        for (asked_us, _, token, write) in &asked {
            while let Some((.., before, of)) = answered.next_if(|(_, answered, ..)| answered < asked_us) {
                if latest.is_none_or(|(latest, _)| latest.timestamp < before.timestamp) {
                    latest = Some((*before, *of));
                }
            }
            if let Some((before, of)) = latest.filter(|(before, _)| before.timestamp >= token.timestamp) {
                return Err(format!(
                    "{} was asked after {} was answered with {before}, and has {token}",
                    write.name(),
                    of.name()
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use apograph::database::roles::EpochStart;

    use super::super::truth::tests::truth;
    use super::*;

    const A: Write = Write { client: 0, number: 0 };
    const B: Write = Write { client: 1, number: 0 };

    fn saved(epoch: u32, timestamp: u64) -> Outcome {
        Outcome::Acknowledged { token: Token { epoch: Epoch::plain(epoch), timestamp: Timestamp(timestamp) } }
    }

    fn history(attempts: &[(Write, &'static str, u64, u64, Outcome)]) -> History {
        let mut history = History::default();
        for (write, server, asked, answered, outcome) in attempts {
            history.attempt(*write, server, *asked, *answered, outcome.clone());
        }
        history
    }

    fn found(history: &History, happened: &[(u64, &str, Vec<apograph::format::Change>)]) -> String {
        history.judge(&truth(happened), true).err().unwrap_or_default()
    }

    fn both() -> Vec<(u64, &'static str, Vec<apograph::format::Change>)> {
        vec![(10, "write 0.0", Vec::new()), (11, "write 1.0", Vec::new())]
    }

    #[test]
    fn a_good_history_is_well() {
        let good = history(&[(A, "a", 1, 2, saved(1, 10)), (B, "a", 3, 4, saved(1, 11))]);
        assert_eq!(found(&good, &both()), "");
        // Asked at the same time, they may have come in either order.
        let at_once = history(&[(A, "a", 1, 4, saved(1, 11)), (B, "a", 2, 3, saved(1, 10))]);
        assert_eq!(found(&at_once, &both()), "");
        // Nobody was told of the second.
        let unknown = Outcome::Unknown { why: String::new() };
        assert_eq!(found(&history(&[(A, "a", 1, 2, unknown)]), &[]), "");
    }

    #[test]
    fn what_was_saved_and_is_not_there_is_found() {
        let of = history(&[(A, "a", 1, 2, saved(1, 10))]);
        assert!(found(&of, &[]).contains("Lost"));
    }

    #[test]
    fn what_is_there_twice_is_found() {
        let of = history(&[(A, "a", 1, 2, saved(1, 10))]);
        assert!(
            found(&of, &[(10, "write 0.0", Vec::new()), (11, "write 0.0", Vec::new())]).contains("Doubled")
        );
    }

    #[test]
    fn what_nobody_asked_for_is_found() {
        assert!(found(&History::default(), &[(10, "write 0.0", Vec::new())]).contains("Unasked"));
    }

    #[test]
    fn two_servers_that_save_in_one_epoch_are_found() {
        let of = history(&[(A, "a", 1, 2, saved(1, 10)), (B, "b", 3, 4, saved(1, 11))]);
        assert!(found(&of, &both()).contains("TwoPrimaries"));
    }

    #[test]
    fn one_token_for_two_writes_is_found() {
        let of = history(&[(A, "a", 1, 3, saved(1, 10)), (B, "a", 2, 4, saved(1, 10))]);
        assert!(found(&of, &both()).contains("OneToken"));
    }

    #[test]
    fn an_order_that_clients_saw_otherwise_is_found() {
        let of = history(&[(A, "a", 1, 2, saved(1, 11)), (B, "a", 3, 4, saved(1, 10))]);
        assert!(found(&of, &both()).contains("was asked after"));
    }

    #[test]
    fn what_was_cut_off_has_to_be_listed() {
        let mut of = history(&[(A, "a", 1, 2, saved(1, 10))]);
        let mut what = truth(&[]);
        let primary = apograph::status::ServerIdentity {
            name: "b".to_owned(),
            key: apograph::format::ServerKey([0; 32]),
            url: None,
        };
        what.begin(EpochStart { epoch: Epoch::plain(2), previous: None, base: Timestamp(9), primary });
        of.epoch(Epoch::plain(2), Timestamp(9), "b");
        assert!(of.judge(&what, true).unwrap_err().contains("nobody lists it"));
        assert_eq!(of.judge(&what, false), Ok(()), "a bounded journal may have retired it");
        of.orphan(Token { epoch: Epoch::FIRST, timestamp: Timestamp(10) }, "a");
        assert_eq!(of.judge(&what, true), Ok(()));
    }

    #[test]
    fn an_epoch_that_two_servers_began_is_found() {
        let mut of = History::default();
        of.epoch(Epoch::plain(2), Timestamp(9), "b");
        of.epoch(Epoch::plain(2), Timestamp(9), "c");
        assert!(found(&of, &[]).contains("TwoBegan"));
    }
}
