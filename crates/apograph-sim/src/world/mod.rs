//! A world of one thread: servers, clients, the lines between them, and what goes wrong. One seed, one run, one trace.
//!
//! Servers are databases of the engine as they are, driven by steps; links between them are the state machines of the
//! engine. Here is only what is not Apograph: what happens when, what a line does, what clients want, and when a machine
//! dies.

mod client;
mod disks;
mod fault;
mod large;
mod link;
mod network;
mod plan;
mod rot;
mod server;
mod settle;
mod stream;
mod switchover;
mod synchronize;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use apograph::Role;
use apograph::format::{Epoch, Timestamp};

use crate::check::history::History;
use crate::check::truth::Truth;
use crate::disk::survival::Image;
use crate::os;
use crate::random::Random;

use client::Client;
use fault::Fault;
use large::Sent;
use link::Greeted;
use network::Into;
pub use plan::Plan;
use server::Server;
use stream::{Arrival, Stream};
use switchover::{Said, Switchover, Takeover};
use synchronize::Answered;
use trace::Trace;

/// Servers of a run: a primary, a replica, a replica of the replica, a staging server; and in some a replica of a part.
pub const SERVERS: [(&str, Role); 5] = [
    ("a", Role::Primary),
    ("b", Role::Replica),
    ("c", Role::Replica),
    ("d", Role::Staging),
    ("e", Role::Replica),
];
/// The one of a part.
const OF_A_PART: usize = 4;
/// What every database is called.
const MAIN: &str = "main";
/// A run that does not end has come around in a circle.
const EVENTS_MAX: u64 = 3_000_000;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Of the run.
    pub seed: u64,
    /// What is wrong; nothing, if all is well.
    pub fault: Option<String>,
    /// Equal runs have the same.
    pub fingerprint: String,
    /// The last things that happened, or all of them.
    pub lines: Vec<String>,
    /// What was done.
    pub figures: Figures,
}

/// What was done in a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// How long it took, in its own time.
    pub virtual_us: u64,
    /// Transactions that clients were told of as saved.
    pub acknowledged: u64,
    /// Runs with a copy of a part.
    pub parts: u64,
    /// Times a person had it follow a server that it knows.
    pub introduced: u64,
    /// Reads that it refused, because others hold what was asked for.
    pub elsewhere: u64,
    /// Texts in files of their own that clients sent.
    pub large: u64,
    /// Reads compared with the truth.
    pub reads: u64,
    /// Times a server lost its power or was killed.
    pub crashes: u64,
    /// All faults.
    pub faults: u64,
    /// Promotions.
    pub promotions: u64,
    /// Synchronizations that came to an end.
    pub synchronizations: u64,
    /// Operations of all disks.
    pub operations: u64,
    /// Of them, those that sync.
    pub syncs: u64,
    /// From the last fault until all was equal, in the run's own time.
    pub settled_us: u64,
    /// Of the faults, those that [`Mishap`] has names for.
    pub mishaps: [u64; Mishap::ALL.len()],
}

/// Faults that are drawn apart from the others: what older seeds draw is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// A piece is garbled, comes twice or not at all.
    Spoilt,
    /// A question is heard twice.
    AskedTwice,
    /// An answer comes when nobody waits any more.
    Late,
    /// An answer is one of before.
    Old,
    /// A connection that ended looks open.
    HalfOpen,
    /// A reader is slow.
    Narrow,
    /// A disk is slow.
    Slow,
    /// A disk is as it was before.
    SetBack,
    /// Bits of a disk are others.
    Rot,
    /// What rotted was noticed.
    Noticed,
    /// A server begins anew, with an empty disk.
    Anew,
    /// A primary gave its role to another one.
    Switched,
}

impl Mishap {
    /// All of them, and what they are called.
    pub const ALL: [(Mishap, &'static str); 12] = [
        (Mishap::Spoilt, "pieces spoilt"),
        (Mishap::AskedTwice, "asked twice"),
        (Mishap::Late, "answered late"),
        (Mishap::Old, "answered as before"),
        (Mishap::HalfOpen, "half open"),
        (Mishap::Narrow, "slow readers"),
        (Mishap::Slow, "slow disks"),
        (Mishap::SetBack, "disks set back"),
        (Mishap::Rot, "files rotten"),
        (Mishap::Noticed, "times rot was noticed"),
        (Mishap::Anew, "copies anew"),
        (Mishap::Switched, "switchovers"),
    ];
}

/// Something that is to happen.
#[derive(Debug)]
enum Event {
    Client(usize),
    Step(usize, u64),
    Idle(usize, u64),
    Maintain(usize, u64),
    Start(usize),
    Tick(usize, u64),
    Due(usize, u64),
    Greet(usize, u64),
    Greeted(usize, u64, Box<Greeted>),
    Tell(usize, u64),
    Open(u64),
    Pump(u64),
    Arrive(u64, Arrival),
    Ask(usize, u64),
    AskNewer(usize, Timestamp),
    Answered(usize, u64, Answered),
    Read,
    Chance,
    Mishap,
    Rested(usize, u64),
    Give,
    Take,
    Asked(u64),
    Said(u64, Said),
    Fault(Fault),
    Promote,
    Heal,
    Settled,
}

/// Everything.
struct World {
    plan: Plan,
    /// What clients want.
    wants: Random,
    /// What lines and workers do.
    ways: Random,
    /// What goes wrong.
    chances: Random,
    /// What goes wrong as well: drawn apart, so that what is added here leaves the rest as it was.
    mishaps: Random,
    events: BTreeMap<(u64, u64), Event>,
    numbers: u64,
    servers: Vec<Server>,
    clients: Vec<Client>,
    streams: BTreeMap<u64, Stream>,
    /// What becomes of what comes to each server.
    into: [Into; SERVERS.len()],
    /// A primary that is to give its role away, and who is to take it.
    switchover: Option<Switchover>,
    takeover: Option<Takeover>,
    /// Epochs that a primary gave to another one: nothing may be cut off by them.
    given: BTreeSet<Epoch>,
    /// What the disks of copies were once.
    kept: [Option<Image>; SERVERS.len()],
    /// Nothing of the first comes to the second.
    cut: [[bool; SERVERS.len()]; SERVERS.len()],
    truth: Truth,
    history: History,
    /// What clients sent.
    sent: Sent,
    /// Who is primary, in the highest epoch.
    acting: usize,
    epoch: Epoch,
    /// Nothing goes wrong any more since then.
    healed_us: Option<u64>,
    trace: Trace,
    figures: Figures,
}

/// What must not be; the run ends.
type Checked<T = ()> = Result<T, String>;

/// Runs a seed on disks below `folder`. Must be called in a thread of its own: what hash maps do depends on what the
/// thread did before.
pub fn run(plan: &Plan, folder: &Path, keeps: bool, prints: bool) -> Outcome {
    let installed = os::install(plan.seed, folder.to_owned(), plan.servers());
    for host in 0..plan.servers() {
        let folder = os::with(|os| os.folder(host));
        os::away(|| std::fs::create_dir_all(&folder)).expect("the folder for the disks is there");
    }
    let mut world = World::new(plan.clone(), Trace::new(folder, keeps, prints));
    let fault = world.run().err();
    if let Some(fault) = &fault {
        world.trace.note("fault", fault);
    }
    let mut fingerprints = Vec::new();
    world.figures.virtual_us = os::with(|os| os.now_us());
    for host in 0..plan.servers() {
        os::with(|os| {
            let host = os.host(host);
            host.is_cut = true;
            fingerprints.push(*host.fingerprint.finalize().as_bytes());
            world.figures.operations += host.operations;
            world.figures.syncs += host.syncs;
        });
    }
    let fingerprint = world.trace.fingerprint(&fingerprints);
    let outcome = Outcome {
        seed: plan.seed,
        fault,
        fingerprint,
        lines: world.trace.lines().to_vec(),
        figures: world.figures,
    };
    drop(world);
    drop(installed);
    outcome
}

impl World {
    fn new(plan: Plan, trace: Trace) -> World {
        let random = Random::new(plan.seed);
        let part_of = plan.part.as_ref().map(|part| part.source);
        let sources = [None, Some(0), Some(1), Some(plan.staging_of), part_of];
        let servers = SERVERS.iter().zip(sources).enumerate().take(plan.servers());
        let servers = servers.map(|(host, ((name, role), source))| Server::new(host, name, *role, source));
        World {
            wants: random.fork(2),
            ways: random.fork(3),
            chances: random.fork(4),
            mishaps: random.fork(6),
            events: BTreeMap::new(),
            numbers: 0,
            servers: servers.collect(),
            clients: (0..plan.clients).map(Client::new).collect(),
            streams: BTreeMap::new(),
            into: Default::default(),
            switchover: None,
            takeover: None,
            given: BTreeSet::new(),
            kept: Default::default(),
            cut: Default::default(),
            truth: Truth::default(),
            history: History::default(),
            sent: Sent::default(),
            acting: 0,
            epoch: Epoch::FIRST,
            healed_us: None,
            trace,
            figures: Figures { parts: u64::from(plan.part.is_some()), ..Figures::default() },
            plan,
        }
    }

    fn run(&mut self) -> Checked {
        self.note("seed", &format!("{:?}", self.plan));
        for host in 0..self.servers.len() {
            self.make(host)?;
            self.start(host)?;
        }
        for client in 0..self.clients.len() {
            self.after(1_000, Event::Client(client));
        }
        self.after(50_000, Event::Read);
        self.after(100_000, Event::Chance);
        self.after(100_000, Event::Mishap);
        self.at(self.plan.faults_until_us, Event::Heal);
        if let Some(at) = self.plan.faults.promote_at_us {
            self.at(at, Event::Promote);
        }
        let mut count = 0;
        while let Some(((at, _), event)) = self.events.pop_first() {
            os::with(|os| os.advance_to(at));
            if matches!(event, Event::Settled) {
                if self.look_if_settled()? {
                    return Ok(());
                }
            } else {
                self.happen(event)?;
            }
            self.look_at_disks()?;
            count += 1;
            if count > EVENTS_MAX {
                return Err(format!("{count} events, and no end"));
            }
        }
        Err("nothing is left to happen, and nothing was settled".to_owned())
    }

    fn happen(&mut self, event: Event) -> Checked {
        match event {
            Event::Client(client) => self.ask_for_something(client),
            Event::Step(host, life) => self.if_alive(host, life, World::step),
            Event::Idle(host, life) => self.if_alive(host, life, World::idle),
            Event::Maintain(host, life) => self.if_alive(host, life, World::maintain),
            Event::Start(host) => self.start(host),
            Event::Tick(host, life) => self.if_alive(host, life, World::tick),
            Event::Due(host, number) => self.due(host, number),
            Event::Greet(host, number) => self.greet_there(host, number),
            Event::Greeted(host, number, greeted) => self.greeted(host, number, *greeted),
            Event::Tell(host, life) => self.if_alive(host, life, World::tell_the_former_primary),
            Event::Open(stream) => self.open_there(stream),
            Event::Pump(stream) => self.pump(stream),
            Event::Arrive(stream, arrival) => self.arrive(stream, arrival),
            Event::Ask(host, number) => self.answer_there(host, number),
            Event::AskNewer(host, above) => self.make_newer(host, above),
            Event::Answered(host, number, answered) => self.answered(host, number, answered),
            Event::Read => self.read_somewhere(),
            Event::Chance => self.take_chances(),
            Event::Mishap => self.mishap(),
            Event::Give => self.give(),
            Event::Take => self.take_over(),
            Event::Asked(question) => self.asked(question),
            Event::Said(question, said) => self.said(question, said),
            Event::Rested(host, life) => self.if_alive(host, life, World::rested),
            Event::Fault(fault) => self.befall(fault),
            Event::Promote => self.promote(),
            Event::Heal => self.heal(),
            Event::Settled => Ok(()),
        }
    }

    fn if_alive(&mut self, host: usize, life: u64, then: fn(&mut World, usize) -> Checked) -> Checked {
        let server = self.server(host);
        if server.life != life || server.up.is_none() {
            return Ok(());
        }
        then(self, host)
    }

    fn now(&self) -> u64 {
        os::with(|os| os.now_us())
    }

    fn at(&mut self, at_us: u64, event: Event) {
        self.numbers += 1;
        let at = at_us.max(self.now());
        self.events.insert((at, self.numbers), event);
    }

    fn after(&mut self, us: u64, event: Event) {
        self.at(self.now() + us, event);
    }

    /// A number that nothing else has.
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn server(&mut self, host: usize) -> &mut Server {
        self.servers.get_mut(host).expect("hosts are servers")
    }

    fn note(&mut self, who: &str, what: &str) {
        self.trace.note(who, what);
    }

    fn note_of(&mut self, host: usize, what: &str) {
        let name = self.server(host).name;
        self.trace.note(name, what);
    }

    /// How long something takes from one server to another; `None` if it does not arrive.
    fn way(&mut self, from: usize, to: usize) -> Option<u64> {
        let takes = self.ways.between(50, self.plan.latency_us);
        let is_cut = self.cut.get(from).and_then(|cut| cut.get(to)).copied().unwrap_or(false);
        (!is_cut).then_some(takes)
    }

    /// Did somebody lose its power in the middle of what it did?
    fn look_at_disks(&mut self) -> Checked {
        for host in 0..self.servers.len() {
            if self.server(host).up.is_some() && os::with(|os| os.host(host).is_cut) {
                self.die(host, true)?;
            }
        }
        Ok(())
    }
}
