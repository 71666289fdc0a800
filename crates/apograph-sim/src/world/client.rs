//! Clients: what they want to be saved, and what they are told.

use std::pin::Pin;

use apograph::error::{CommitError, ReadError};
use apograph::format::{State, Timestamp, Uri};
use apograph::read::Which;
use apograph::transaction::{Action, ContentBytes, ContentChange, Precondition, Put, Transaction};
use apograph::{Operation, PendingCommit};
use apograph_bench::failover::history::{Outcome, Write};

use super::server::poll;
use super::{Checked, Event, SERVERS, World};
use crate::os;
use crate::random::Random;

/// Whom clients ask: the first servers.
const MAY_WRITE: usize = 3;

/// Somebody who edits.
pub(super) struct Client {
    id: u32,
    done: u64,
    /// Whom it believes to be primary.
    primary: usize,
    waits: bool,
}

/// What a client asked a server, and when.
pub(super) struct Asked {
    client: usize,
    write: Write,
    asked_us: u64,
    pending: PendingCommit,
}

impl Client {
    pub(super) fn new(index: usize) -> Client {
        let id = u32::try_from(index).unwrap_or(u32::MAX);
        Client { id, done: 0, primary: 0, waits: false }
    }

    /// It got everything it wanted.
    pub(super) fn is_done(&self, transactions: u64) -> bool {
        !self.waits && self.done >= transactions
    }
}

/// What only this write says of this document.
pub(super) fn secret(write: &str, uri: &Uri) -> String {
    format!("[{write} of {uri} and nobody else]")
}

fn brief(transaction: &Transaction) -> String {
    let one = |operation: &Operation| {
        let what = match &operation.action {
            Action::Put(_) => "put".to_owned(),
            Action::Move { to } => format!("to {to} move"),
            action => format!("{action:?}").split([' ', '{']).next().unwrap_or_default().to_lowercase(),
        };
        format!("{what} {}", operation.uri)
    };
    transaction.operations.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Is it certain that nothing was done?
fn leaves_no_trace(error: &CommitError) -> bool {
    !matches!(
        error,
        CommitError::Stopped { .. }
            | CommitError::Unshown { .. }
            | CommitError::Store(_)
            | CommitError::Spool(_)
    )
}

fn documents(count: u64) -> Vec<Uri> {
    let name = |index: u64| match index % 4 {
        0 => format!("/news/{index}"),
        1 => format!("/{index}"),
        2 => format!("/deep/er/{index}"),
        _ => format!("/news/of/{index}"),
    };
    (0..count).filter_map(|index| Uri::parse(&name(index)).ok()).collect()
}

impl World {
    pub(super) fn ask_for_something(&mut self, index: usize) -> Checked {
        let total = self.plan.transactions;
        let think = self.wants.between(self.plan.think_us / 4, self.plan.think_us);
        let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
        if client.waits {
            return Ok(());
        }
        // Who runs goes on after the faults: what a failover left undone shows when somebody writes.
        if client.done >= total {
            return Ok(());
        }
        let (host, write) = (client.primary, Write { client: client.id, number: client.done });
        client.done += 1;
        let now = self.now();
        let mut transaction = self.transaction(write);
        self.note(&format!("client {}", write.client), &format!("{}: {}", write.name(), brief(&transaction)));
        let database = self.server(host).database().filter(|_| self.is_reachable(host));
        let refusal = match database {
            None => "nobody answers".to_owned(),
            Some(database) => match self.upload(host, &database, &mut transaction).and_then(|()| {
                os::as_host(host, || database.submit(transaction)).map_err(|error| error.to_string())
            }) {
                Ok(pending) => {
                    let asked = Asked { client: index, write, asked_us: now, pending };
                    if let Some(client) = self.clients.get_mut(index) {
                        client.waits = true;
                    }
                    if let Some(up) = &mut self.server(host).up {
                        up.asked.push(asked);
                    }
                    self.wake(host);
                    return Ok(());
                }
                Err(error) => error,
            },
        };
        self.history.attempt(write, SERVERS[host].0, now, now, Outcome::Refused { code: refusal });
        if let Some(client) = self.clients.get_mut(index) {
            client.primary = self.wants.index(MAY_WRITE);
        }
        self.after(think, Event::Client(index));
        Ok(())
    }

    fn is_reachable(&self, host: usize) -> bool {
        self.servers.get(host).is_some_and(|server| server.paused_until_us <= self.now())
    }

    /// What is known now of what was asked.
    pub(super) fn answer_clients(&mut self, host: usize) {
        let Some(up) = &mut self.server(host).up else { return };
        let mut asked = std::mem::take(&mut up.asked);
        let mut answers = Vec::new();
        asked.retain_mut(|asked| match poll(Pin::new(&mut asked.pending)) {
            Some(answer) => {
                answers.push((asked.client, asked.write, asked.asked_us, answer));
                false
            }
            None => true,
        });
        up.asked = asked;
        for (client, write, asked_us, answer) in answers {
            let outcome = match answer {
                // An answer gets lost now and then.
                Ok(_) if self.chances.chance(20) => Outcome::Unknown { why: "no answer came".to_owned() },
                Ok(committed) => Outcome::Acknowledged { token: committed.token },
                Err(error) if leaves_no_trace(&error) => Outcome::Refused { code: error.to_string() },
                Err(error) => Outcome::Unknown { why: error.to_string() },
            };
            self.told(client, write, host, asked_us, outcome);
        }
    }

    fn told(&mut self, index: usize, write: Write, host: usize, asked_us: u64, outcome: Outcome) {
        let now = self.now();
        let text = match &outcome {
            Outcome::Acknowledged { token } | Outcome::Less { token } => {
                self.figures.acknowledged += 1;
                format!("saved as {token}")
            }
            Outcome::Refused { code } => format!("refused: {code}"),
            Outcome::Unknown { why } => format!("unknown: {why}"),
            Outcome::Confirmed => "saved".to_owned(),
        };
        self.note_of(host, &format!("{}: {text}", write.name()));
        self.history.attempt(write, SERVERS[host].0, asked_us, now, outcome);
        let think = self.wants.between(self.plan.think_us / 4, self.plan.think_us);
        if let Some(client) = self.clients.get_mut(index) {
            client.waits = false;
        }
        self.after(think, Event::Client(index));
    }

    /// A server is gone: nobody knows what became of what it was asked.
    pub(super) fn lose_clients(&mut self, host: usize) {
        let Some(up) = &mut self.server(host).up else { return };
        for asked in std::mem::take(&mut up.asked) {
            let why = "the server is gone".to_owned();
            self.told(asked.client, asked.write, host, asked.asked_us, Outcome::Unknown { why });
        }
    }

    /// One or more changes, that are likely to be possible.
    fn transaction(&mut self, write: Write) -> Transaction {
        let all = documents(self.plan.documents);
        let mut random = self.wants.fork(write.number << 8 | u64::from(write.client));
        let count = *random.pick(&[1, 1, 1, 2, 3, 5]);
        let mut operations: Vec<Operation> = Vec::new();
        let is_purge = |operation: &Operation| matches!(operation.action, Action::Purge);
        for _ in 0..count {
            let uri = random.pick(&all).clone();
            if operations.iter().any(|operation| operation.uri == uri) {
                continue;
            }
            let head = self.truth.head(&uri, self.truth.visible);
            let state = head.map(|head| head.state);
            let actions = self.actions(write, &uri, state, &all, &mut random);
            // A purge stands alone.
            if actions.iter().any(|action| matches!(action, Action::Purge)) && !operations.is_empty()
                || operations.iter().any(is_purge)
            {
                continue;
            }
            for action in actions {
                operations.push(Operation { uri: uri.clone(), precondition: Precondition::None, action });
            }
        }
        Transaction {
            author: format!("client {}", write.client),
            comment: write.name(),
            operations,
            privileged: true,
            ..Transaction::default()
        }
    }

    fn actions(
        &self,
        write: Write,
        uri: &Uri,
        state: Option<State>,
        all: &[Uri],
        random: &mut Random,
    ) -> Vec<Action> {
        let text = |random: &mut Random| {
            let mut text = secret(&write.name(), uri);
            let length = random.below(self.plan.text_bytes_max);
            while (text.len() as u64) < length {
                text.push_str(&format!(" {:x}", random.next()));
            }
            Action::Put(Put {
                content: ContentChange::Set {
                    media_type: "text/plain".to_owned(),
                    bytes: ContentBytes::Inline(text.into()),
                },
                ..Put::default()
            })
        };
        let publish = || Action::Publish { version: None };
        match (state, random.below(20)) {
            (None | Some(State::Purged), of) if of < 8 => vec![text(random), publish()],
            (None | Some(State::Purged), _) => vec![text(random)],
            (Some(State::Trashed), of) if of < 12 => vec![Action::Restore],
            (Some(State::Trashed), _) => vec![Action::Purge],
            (_, 0 | 1) => vec![Action::Withdraw],
            (_, 2) => vec![Action::Trash],
            (_, 3) => vec![Action::Purge],
            (_, 4) => {
                let to = random.pick(all);
                let is_free =
                    self.truth.head(to, self.truth.visible).is_none_or(|head| head.state == State::Purged);
                if is_free && to != uri { vec![Action::Move { to: to.clone() }] } else { vec![publish()] }
            }
            (_, 5..=8) => vec![publish()],
            (_, 9..=11) => vec![text(random), publish()],
            _ => vec![text(random)],
        }
    }

    /// Somebody reads documents somewhere, as of some time.
    pub(super) fn read_somewhere(&mut self) -> Checked {
        if self.healed_us.is_none() {
            let pause = self.ways.between(20_000, 300_000);
            self.after(pause, Event::Read);
        }
        let host = self.ways.index(self.servers.len());
        self.read_at(host, None)
    }

    /// What a server says of all documents at a time must be what was then.
    pub(super) fn read_at(&mut self, host: usize, at: Option<Timestamp>) -> Checked {
        let Some(database) = self.server(host).database() else { return Ok(()) };
        let visible = database.visible();
        let times: Vec<Timestamp> =
            self.truth.transactions().map(|(at, _)| at).filter(|at| *at <= visible).collect();
        let at = match at {
            Some(at) => at,
            None if times.is_empty() || self.ways.chance(400) => visible,
            None => *self.ways.pick(&times),
        };
        // What the witness has not seen yet cannot be compared.
        // A server that has such a history may have purged in it what is still there in the other.
        if self.truth.is_cut(database.epoch(), visible) || at > self.truth.visible || at < database.horizon()
        {
            return Ok(());
        }
        let is_full = database.view() == apograph::format::View::Full;
        let held = database.held_partitions();
        for uri in self.truth.uris() {
            if self.truth.is_purged_after(&uri, at) {
                continue;
            }
            let found = os::as_host(host, || database.head(&uri, Some(at)));
            let name = SERVERS[host].0;
            if !held.contains(database.partitioning().of(&uri)) {
                if !matches!(found, Err(ReadError::Elsewhere { .. })) {
                    return Err(format!("{name} does not hold {uri}, and answers {found:?}"));
                }
                self.figures.elsewhere += 1;
                continue;
            }
            if let (Err(error), true) = (&found, self.server(host).is_rotten) {
                // No answer is no wrong answer.
                self.noticed(host, &format!("cannot read {uri} at {at}: {error}"));
                continue;
            }
            let found = found.map_err(|error| format!("{name} cannot read {uri} at {at}: {error}"))?;
            let compared = if is_full {
                self.truth.compare(&uri, at, found.as_ref())
            } else {
                self.truth.compare_live(&uri, at, found.as_ref())
            };
            let epoch = database.epoch();
            compared.map_err(|error| format!("{name}, which shows {visible} of epoch {epoch}: {error}"))?;
            if is_full && found.is_some_and(|head| head.state != State::Purged && head.live.is_some()) {
                let read = os::as_host(host, || database.document(&uri, Which::Live, Some(at)));
                if let (Err(error), true) = (&read, self.server(host).is_rotten) {
                    self.noticed(host, &format!("cannot read {uri} at {at}: {error}"));
                    continue;
                }
                read.map_err(|error| format!("{name} cannot read {uri} at {at}: {error}"))?;
            }
            self.figures.reads += 1;
        }
        Ok(())
    }
}
