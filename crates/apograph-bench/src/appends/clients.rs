//! Clients that append to lists, and read them, at servers to which anything may happen.
//!
//! What a client was not told it does not try again: its next transaction is another one. So each happened once, or not.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use apograph_client::client::ClientSettings;
use apograph_client::format::{Token, Uri};
use apograph_client::types::transaction::{Operation, Precondition, Publish, Put, Target};
use apograph_client::types::{ReadQuery, TransactionRequest};
use apograph_client::{Client, ClientError, Secret};
use tokio::time::sleep;

use super::{Key, List, Told, Transaction};
use crate::failover::history::{Event, Found, Outcome, Recorder, Write};
use crate::process::Server;
use crate::random::Random;

/// Lists that are appended to at the same time.
const LISTS: u64 = 6;
/// A list that is longer is left, and another one begun in its place.
const LIST_MAX: usize = 40;
/// How long a client waits when nothing moves: lines are cut, and clients are many.
const IDLE: Duration = Duration::from_secs(4);
/// What says that nothing was done, of those answers that are not the client's own fault.
const NOT_DONE: [&str; 8] =
    ["stalled", "busy", "handing-over", "rolling-back", "lagging", "not-ready", "shutting-down", "disk-full"];

/// Stands in what is never published.
pub const CANARY: &str = "CANARY-51c7-never-published";

/// Who clients are and where they ask.
#[derive(Debug, Clone, Copy)]
pub struct ClientsPlan {
    /// So many.
    pub clients: u32,
    /// Between two transactions of one client, at most.
    pub pace: Duration,
    /// Of what they draw.
    pub seed: u64,
    /// Of what is never published, at most.
    pub draft_bytes_max: u64,
}

/// Clients at work.
#[derive(Debug)]
pub struct Clients {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    plan: ClientsPlan,
    recorder: Arc<Recorder>,
    /// The primary's name, and the way to it that clients have.
    primary: (&'static str, Client),
    /// Everybody who holds all versions, by name.
    readers: Vec<(&'static str, Client)>,
    transactions: Mutex<Vec<Transaction>>,
    generations: [AtomicU32; LISTS as usize],
    /// The token of the last answer to anybody.
    latest: Mutex<Option<Token>>,
    over: AtomicBool,
}

impl Clients {
    /// They write to the primary at this URL, which may be a line to it, and read there and from its replicas.
    pub fn start(
        plan: ClientsPlan,
        primary: (&Server, &str),
        replicas: &[&Server],
        recorder: Arc<Recorder>,
    ) -> Clients {
        let readers = [primary.0].into_iter().chain(replicas.iter().copied());
        let shared = Arc::new(Shared {
            plan,
            recorder,
            primary: (primary.0.name, client(primary.0, primary.1)),
            readers: readers.map(|server| (server.name, client(server, &server.url()))).collect(),
            transactions: Mutex::default(),
            generations: Default::default(),
            latest: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let working = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let all = (0..plan.clients).map(|number| working.work(number));
            runtime.block_on(futures_util::future::join_all(all));
        });
        Clients { shared, thread: Some(thread) }
    }

    /// They finish what they are at, and go; answers what they saw of lists.
    pub fn stop(mut self) -> Vec<Transaction> {
        self.shared.over.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.shared.transactions.lock().unwrap())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
    }
}

/// One that asks once, and does not wait for long.
fn client(server: &Server, url: &str) -> Client {
    let secret = Secret::from_file(&server.token("editor")).unwrap();
    let mut settings = ClientSettings::new(url).with_secret(secret);
    (settings.idle_timeout, settings.connect_timeout, settings.retries) = (IDLE, IDLE / 2, 0);
    Client::new(settings).unwrap()
}

impl Shared {
    async fn work(&self, client: u32) {
        let mut random = Random::new(self.plan.seed, u64::from(client));
        let mut number = 0;
        while !self.over.load(Ordering::SeqCst) {
            let name = Write { client, number };
            let keys = self.keys(&mut random);
            if random.once_in(4) {
                self.look(name, &keys, &mut random).await;
            } else {
                self.append(name, &keys, &mut random).await;
            }
            number += 1;
            sleep(Duration::from_millis(random.below(self.plan.pace.as_millis() as u64 + 1))).await;
        }
    }

    /// One to three of the lists that are appended to now.
    fn keys(&self, random: &mut Random) -> Vec<Key> {
        let first = random.below(LISTS);
        let count = 1 + random.below(3);
        let step = 1 + random.below(LISTS / 3);
        (0..count)
            .map(|number| {
                let list = (first + number * step) % LISTS;
                let generation = self.generations[list as usize].load(Ordering::SeqCst);
                format!("/lists/{list}/{generation}")
            })
            .collect()
    }

    /// Reads lists as they were at one moment, anywhere.
    async fn look(&self, name: Write, keys: &[Key], random: &mut Random) {
        let Some(token) = *self.latest.lock().unwrap() else { return };
        let (_, client) = &self.readers[random.index(self.readers.len())];
        let query = ReadQuery {
            as_of: Some(token.timestamp.0.to_string()),
            at_least: Some(token.to_string()),
            ..ReadQuery::default()
        };
        let mut reads = BTreeMap::new();
        for key in keys {
            let Some((list, _)) = list(client, key, &query).await else { return };
            reads.insert(key.clone(), list);
        }
        self.saw(name, reads, &[], Told::Done, None);
    }

    async fn append(&self, name: Write, keys: &[Key], random: &mut Random) {
        let (server, client) = &self.primary;
        let (mut reads, mut puts) = (BTreeMap::new(), Vec::new());
        for key in keys {
            let Some((mut list, version)) = list(client, key, &ReadQuery::default()).await else { return };
            reads.insert(key.clone(), list.clone());
            if list.len() >= LIST_MAX {
                self.next_generation(key);
            }
            list.push(name);
            let precondition =
                Precondition { if_version: version, if_absent: version.is_none(), if_id: None };
            puts.push(put(key, precondition, super::written(&list)));
        }
        if random.once_in(2) {
            puts.push(Operation::Publish(Publish { target: Target::of(&keys[0]), version: None }));
        }
        puts.extend(self.draft(name, random));
        let transaction =
            TransactionRequest { operations: puts, comment: name.name(), ..TransactionRequest::default() };
        let asked_us = self.recorder.now_us();
        let answer = client.commit("main", &transaction).await;
        let answered_us = self.recorder.now_us();
        let outcome = match &answer {
            Ok(answer) => Outcome::Acknowledged { token: answer.token },
            Err(error) => judge(error),
        };
        self.recorder.record(Event::Attempt {
            write: name,
            server,
            asked_us,
            answered_us,
            outcome: outcome.clone(),
        });
        let told = match outcome {
            Outcome::Acknowledged { .. } => Told::Done,
            Outcome::Refused { .. } => Told::NotDone,
            _ => Told::Nothing,
        };
        self.saw(name, reads, keys, told, Some(asked_us));
        if let Outcome::Acknowledged { token } = outcome {
            self.answered(token);
            if random.once_in(6) {
                self.find(name, &keys[0], token, random).await;
            }
        }
    }

    /// Looks for what was just written, anywhere.
    async fn find(&self, name: Write, key: &Key, token: Token, random: &mut Random) {
        let (server, client) = &self.readers[random.index(self.readers.len())];
        let query = ReadQuery { at_least: Some(token.to_string()), ..ReadQuery::default() };
        let uri = Uri::parse(key).unwrap();
        let found = match client.document("main", &uri, &query).await {
            Ok(found) => match found.body.as_deref().and_then(super::read) {
                Some(list) if list.contains(&name) => Found::It,
                _ => Found::Other,
            },
            Err(error) => match error.problem().map(|problem| problem.code.as_str()) {
                Some("not-found") => Found::Other,
                Some("token-other-history") => Found::OtherHistory,
                _ => Found::Nothing,
            },
        };
        self.recorder.record(Event::Read { write: name, at_least: token, server, found });
    }

    /// Sometimes something that is not for everybody: a document that is never published, or a version of one that is.
    fn draft(&self, name: Write, random: &mut Random) -> Vec<Operation> {
        let secret = CANARY.repeat(1 + random.below(self.plan.draft_bytes_max) as usize / CANARY.len());
        let shared = format!("/mixed/{}", name.client);
        match random.below(8) {
            0 => vec![put(
                &format!("/drafts/{}/{}", name.client, name.number),
                Precondition::default(),
                secret,
            )],
            1 => vec![put(&shared, Precondition::default(), secret)],
            2 => vec![
                put(&shared, Precondition::default(), format!("{} is for everybody\n", name.name())),
                Operation::Publish(Publish { target: Target::of(&shared), version: None }),
            ],
            _ => Vec::new(),
        }
    }

    fn saw(
        &self,
        name: Write,
        reads: BTreeMap<Key, List>,
        appends: &[Key],
        told: Told,
        asked_us: Option<u64>,
    ) {
        let answered_us = self.recorder.now_us();
        let of = Transaction { name, reads, appends: appends.to_vec(), told, asked_us, answered_us };
        self.transactions.lock().unwrap().push(of);
    }

    fn answered(&self, token: Token) {
        let mut latest = self.latest.lock().unwrap();
        *latest = (*latest).max(Some(token));
    }

    fn next_generation(&self, key: &Key) {
        let mut parts = key.rsplit('/').map(|part| part.parse::<u32>().unwrap_or_default());
        if let (Some(generation), Some(list)) = (parts.next(), parts.next()) {
            self.generations[list as usize].fetch_max(generation + 1, Ordering::SeqCst);
        }
    }
}

fn put(uri: &str, precondition: Precondition, body: String) -> Operation {
    Operation::Put(Put {
        target: Target { uri: uri.to_owned(), precondition },
        body: Some(body),
        ..Put::default()
    })
}

/// A list, and the number of the version that is; nothing if there was no answer to that.
async fn list(client: &Client, key: &Key, query: &ReadQuery) -> Option<(List, Option<u64>)> {
    let uri = Uri::parse(key).unwrap();
    match client.document("main", &uri, query).await {
        Ok(document) => {
            let list = super::read(document.body.as_deref().unwrap_or_default());
            let list = list.unwrap_or_else(|| panic!("{key} is no list: {:?}", document.body));
            Some((list, Some(document.version)))
        }
        Err(error) => {
            let is_absent = error.problem().is_some_and(|problem| problem.code == "not-found");
            is_absent.then(|| (List::new(), None))
        }
    }
}

fn judge(error: &ClientError) -> Outcome {
    let Some(problem) = error.problem() else { return Outcome::Unknown { why: error.to_string() } };
    let code = problem.code.as_str();
    // The body did not come in time: that says nothing of an earlier one.
    let is_refusal = (400..500).contains(&problem.status) && problem.status != 408;
    if is_refusal || NOT_DONE.contains(&code) {
        Outcome::Refused { code: code.to_owned() }
    } else {
        Outcome::Unknown { why: format!("{code}: {}", problem.detail) }
    }
}
