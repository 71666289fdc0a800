//! What clients and operators were told, and whether it was true.
//!
//! The rules for single writes are those of the failover runs ([`apograph_bench::failover::checker`]); here are those that
//! need the order of all transactions.

use std::collections::{BTreeMap, BTreeSet};

use apograph::format::{Timestamp, Token};
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
    pub fn epoch(&mut self, epoch: u64, base: Timestamp, server: &'static str) {
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
