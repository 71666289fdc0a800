//! Clients that write, as real ones should: at whoever takes writes, again when they were told to wait, and under the same
//! name when no answer came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use apograph_client::client::Match;
use apograph_client::format::{Durability, Token, Uri};
use apograph_client::types::{DocumentAnswer, DocumentRequest, ReadQuery};
use apograph_client::{Client, ClientError};
use tokio::time::sleep;

use super::FailoverScale;
use super::history::{Event, Found, Outcome, Recorder, Write};
use crate::process::Server;

/// A client asks the other server first once in so many writes.
const LOOK_ROUND: u64 = 32;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(3);
/// What says that nothing was done.
const NOT_DONE: [&str; 6] = ["read-only", "handing-over", "fenced", "not-ready", "shutting-down", "busy"];

/// Clients at work.
#[derive(Debug)]
pub struct Clients {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    recorder: Arc<Recorder>,
    servers: [(&'static str, Client); 2],
    over: AtomicBool,
    paused: AtomicBool,
    busy: AtomicUsize,
    /// Between two writes of one client.
    pace: Duration,
}

impl Clients {
    /// So many begin to write to whichever of the two takes it.
    pub fn start(servers: [&Server; 2], scale: &FailoverScale, recorder: Arc<Recorder>) -> Clients {
        let (count, pace) = (scale.clients, scale.pace);
        let durable = (scale.durability != Durability::Local).then_some((scale.durability, scale.within));
        let client = |server: &Server| {
            let (durability, within) = durable.unzip();
            server.impatient_client_with("editor", durability, within)
        };
        let shared = Arc::new(Shared {
            recorder,
            servers: servers.map(|server| (server.name, client(server))),
            over: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            pace,
        });
        let working = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(futures_util::future::join_all((0..count).map(|client| working.work(client))));
        });
        Clients { shared, thread: Some(thread) }
    }

    /// They finish what they are at, and wait.
    pub fn pause(&self) {
        self.shared.paused.store(true, Ordering::SeqCst);
        crate::process::eventually("clients finish what they are at", || {
            self.shared.busy.load(Ordering::SeqCst) == 0
        });
    }

    /// They go on.
    pub fn resume(&self) {
        self.shared.paused.store(false, Ordering::SeqCst);
    }

    /// They finish what they are at, and go.
    pub fn stop(mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    async fn work(&self, client: u32) {
        let mut at = 0;
        let mut number = 0;
        while !self.over.load(Ordering::SeqCst) {
            self.busy.fetch_add(1, Ordering::SeqCst);
            if self.paused.load(Ordering::SeqCst) {
                self.busy.fetch_sub(1, Ordering::SeqCst);
                sleep(PAUSE).await;
                continue;
            }
            let write = Write { client, number };
            // Somebody always asks the other one: clients do not agree on who is primary.
            if number % LOOK_ROUND == u64::from(client) % LOOK_ROUND {
                at = (at + 1) % 2;
            }
            let token = self.save(write, &mut at).await;
            if let (Some(token), true) = (token, number % 8 == 0) {
                self.read(write, token, (at + usize::from(number % 16 == 0)) % 2).await;
            }
            self.busy.fetch_sub(1, Ordering::SeqCst);
            number += 1;
            sleep(self.pace).await;
        }
    }

    /// Tries until it is saved, or until nobody knows and it cannot be tried again.
    async fn save(&self, write: Write, at: &mut usize) -> Option<Token> {
        let document = DocumentRequest {
            body: Some(format!("{} says this, and nothing else.\n", write.name())),
            comment: Some(write.name()),
            ..DocumentRequest::default()
        };
        let (uri, precondition) = place(write);
        let mut is_unknown = false;
        loop {
            let (server, client) = &self.servers[*at];
            let asked_us = self.recorder.now_us();
            let answer = client.put_document("main", &uri, &document, precondition).await;
            let outcome = match &answer {
                Ok(saved) if is_missed(saved) => Outcome::Less { token: saved.token },
                Ok(saved) => Outcome::Acknowledged { token: saved.token },
                Err(error) => judge(error, is_unknown),
            };
            let answered_us = self.recorder.now_us();
            self.recorder.record(Event::Attempt {
                write,
                server,
                asked_us,
                answered_us,
                outcome: outcome.clone(),
            });
            match outcome {
                Outcome::Acknowledged { token } | Outcome::Less { token } => return Some(token),
                Outcome::Confirmed => return None,
                Outcome::Unknown { .. } if precondition == Match::Any => return None,
                Outcome::Unknown { .. } => is_unknown = true,
                Outcome::Refused { .. } => {}
            }
            if self.over.load(Ordering::SeqCst) && is_unknown {
                return None;
            }
            *at = (*at + 1) % 2;
            sleep(PAUSE).await;
        }
    }

    async fn read(&self, write: Write, token: Token, at: usize) {
        let (server, client) = &self.servers[at];
        let query = ReadQuery { at_least: Some(token.to_string()), ..ReadQuery::default() };
        let (uri, _) = place(write);
        let found = match client.document("main", &uri, &query).await {
            Ok(found) if found.comment == write.name() => Found::It,
            Ok(_) => Found::Other,
            Err(error) => match error.problem().map(|problem| problem.code.as_str()) {
                Some("not-found") => Found::Other,
                Some("token-other-history") => Found::OtherHistory,
                _ => Found::Nothing,
            },
        };
        self.recorder.record(Event::Read { write, at_least: token, server, found });
    }
}

/// Three of four writes are documents of their own, which can be tried again; the fourth is the next version of the
/// client's one long document.
fn place(write: Write) -> (Uri, Match) {
    let Write { client, number } = write;
    match number % 4 {
        3 => (Uri::parse(&format!("/log/{client}")).unwrap(), Match::Any),
        _ => (Uri::parse(&format!("/w/{client}/{number}")).unwrap(), Match::Absent),
    }
}

/// It is committed, and not as durable as asked for.
fn is_missed(saved: &DocumentAnswer) -> bool {
    saved.durability.as_ref().is_some_and(|durability| durability.missed.is_some())
}

fn judge(error: &ClientError, is_unknown: bool) -> Outcome {
    let Some(problem) = error.problem() else { return Outcome::Unknown { why: error.to_string() } };
    match problem.code.as_str() {
        // The name is this client's own: an earlier attempt did it.
        "exists" if is_unknown => Outcome::Confirmed,
        code if NOT_DONE.contains(&code) => Outcome::Refused { code: code.to_owned() },
        code => Outcome::Unknown { why: format!("{code}: {}", problem.detail) },
    }
}
