//! The failover decision as a model, checked exhaustively for small sizes: every order of writes, contacts, crashes, switchovers
//! and promotions that the bounds allow.
//!
//! A server is what `database.json` and its journal remember; what a crash forgets is the hold. A step is one durable write of one
//! server, or one contact of two. Servers that have no contact are those for which no step is taken, so every partition of the network
//! is in it, and so is every promotion that an operator decides without knowing what another one did. The rules are those of `docs/decisions/0014-roles.md`; each step names the code that it stands for.
//!
//! The search is breadth first, so what it prints when a law is broken is a shortest way there.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells how far it went"
)]
#![allow(clippy::cast_possible_truncation, reason = "counts are below ten")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;

use apograph_format::{Epoch, Right, ServerKey, Timestamp};
use apograph_replication::epochs::{self, Beginning};

/// A client's write; none is the entry that begins an epoch.
type Entry = (Epoch, Option<u8>);

/// What may happen, and how often.
#[derive(Clone, Copy)]
struct Bounds {
    servers: usize,
    writes: u8,
    /// The highest number of an epoch.
    numbers: u32,
    promotions: u8,
    crashes: u8,
    fault: Option<Fault>,
}

/// A rule that is left out, so that it is seen that the search finds what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// A primary steps down before the other one has everything.
    StepsDownEarly,
    /// An epoch is one above the one that was lived in, not above the highest heard of.
    ForgetsWhatItHeard,
    /// What only a former primary had goes when it synchronizes.
    DropsOrphans,
    /// Epochs are numbers: who began one is not in them.
    EpochsWithoutMarks,
    /// What an epoch cut off is asked of bases alone, not of the way that its history took.
    CutsByBasesAlone,
    /// A token of the history that counts is answered by the times of another one, which the server has not left yet.
    AnswersForAnotherHistory,
    /// A server that was promoted before it heard that the role was given to it takes that for an epoch that began.
    BelievesThatItBegan,
}

/// Everything durable, and what was said to clients.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    servers: Vec<Server>,
    /// Of which write, in which epoch, by whom, at which place of the journal.
    acknowledged: BTreeSet<(u8, Epoch, usize, u8)>,
    /// Of them: those that a copy had on disk when it was answered (`replicas=1`).
    replicated: BTreeSet<u8>,
    writes: u8,
    promotions: u8,
    crashes: u8,
    /// Somebody was promoted, and took no writes.
    in_vain: bool,
}

/// `EpochStart`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Start {
    previous: Option<Epoch>,
    /// So many entries its history goes on with.
    base: u8,
    by: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Server {
    is_primary: bool,
    journal: Vec<Entry>,
    /// Who began which epoch.
    starts: BTreeMap<Epoch, Start>,
    /// It stepped down for this server, which may begin this epoch behind these entries.
    handover: Option<(usize, Epoch, Vec<Entry>)>,
    /// It heard of another primary of its own epoch.
    has_rival: bool,
    orphans: BTreeSet<u8>,
    /// Writes wait; a crash forgets it.
    holds: bool,
}

impl Server {
    fn epoch(&self) -> Epoch {
        self.journal.last().map_or(Epoch::FIRST, |(epoch, _)| *epoch)
    }

    fn seen(&self) -> Epoch {
        self.starts.keys().last().copied().unwrap_or(Epoch::FIRST)
    }

    /// `Shared::check_role`.
    fn takes_writes(&self) -> bool {
        self.is_primary && self.seen() == self.epoch() && !self.has_rival
    }

    /// `DatabaseFile::is_cut`: did a later epoch cut off what stands at this place? Places are the model's timestamps: the same ones in
    /// every history, so nothing is told apart by them.
    fn is_cut(&self, bounds: &Bounds, epoch: Epoch, place: usize) -> bool {
        self.is_cut_up_to(bounds, self.seen(), epoch, place)
    }

    /// Of the history that leads to this epoch.
    fn is_cut_up_to(&self, bounds: &Bounds, highest: Epoch, epoch: Epoch, place: usize) -> bool {
        let starts = self.starts.range(..=highest).rev();
        if bounds.fault == Some(Fault::CutsByBasesAlone) {
            return starts
                .into_iter()
                .any(|(later, start)| *later > epoch && place > usize::from(start.base));
        }
        let beginnings = starts.map(|(epoch, start)| Beginning {
            epoch: *epoch,
            previous: start.previous,
            base: Timestamp(start.base.into()),
        });
        epochs::cut_by(beginnings, epoch, Timestamp(place as u64)).is_some()
    }

    /// `Database::wait_for`: does it say that what was answered with this token can be read here?
    fn says_reached(&self, bounds: &Bounds, epoch: Epoch, place: usize) -> bool {
        let is_here = bounds.fault == Some(Fault::AnswersForAnotherHistory)
            || !self.is_cut_up_to(bounds, self.epoch(), epoch, place);
        !self.is_cut(bounds, epoch, place) && is_here && self.journal.len() >= place && epoch <= self.epoch()
    }

    fn has(&self, write: u8) -> bool {
        self.journal.iter().any(|(_, of)| *of == Some(write))
    }
}

/// The epoch on which this server decides when it heard of that one; none beyond the bounds.
fn next(bounds: &Bounds, seen: Epoch, at: usize, right: Right) -> Option<Epoch> {
    let epoch = match bounds.fault {
        Some(Fault::EpochsWithoutMarks) => Epoch::plain(seen.number() + 1),
        _ => seen.next(&ServerKey([at as u8 + 1; 32]), right)?,
    };
    (epoch.number() <= bounds.numbers).then_some(epoch)
}

impl World {
    fn new(bounds: &Bounds) -> World {
        let server = |is_primary| Server {
            is_primary,
            journal: Vec::new(),
            starts: BTreeMap::from([(Epoch::FIRST, Start { previous: None, base: 0, by: 0 })]),
            handover: None,
            has_rival: false,
            orphans: BTreeSet::new(),
            holds: false,
        };
        World {
            servers: (0..bounds.servers).map(|at| server(at == 0)).collect(),
            acknowledged: BTreeSet::new(),
            replicated: BTreeSet::new(),
            writes: 0,
            promotions: 0,
            crashes: 0,
            in_vain: false,
        }
    }

    /// All that may happen next.
    fn steps(&self, bounds: &Bounds) -> Vec<(String, World)> {
        let mut next = Vec::new();
        let mut add = |what: String, world: Option<World>| next.extend(world.map(|world| (what, world)));
        for at in 0..bounds.servers {
            add(format!("{at} takes a write"), self.write(bounds, at));
            add(format!("{at} is promoted"), self.promote(bounds, at));
            add(format!("{at} holds writes"), self.hold(at));
            add(format!("{at} crashes and starts"), self.crash(bounds, at));
            add(format!("{at} becomes a replica"), self.become_replica(at));
            for other in (0..bounds.servers).filter(|other| *other != at) {
                add(format!("{at} learns from {other}"), self.learn(bounds, at, other));
                add(format!("{at} follows {other}"), self.follow(bounds, at, other));
                add(format!("{at} steps down for {other}"), self.step_down(bounds, at, other));
                add(format!("{at} takes over from {other}"), self.take_over(bounds, at, other));
            }
        }
        next
    }

    /// The committer: durable here, then acknowledged. Whether a copy has it by then, its following decides: see `follow`.
    fn write(&self, bounds: &Bounds, at: usize) -> Option<World> {
        let server = &self.servers[at];
        if !server.takes_writes() || server.holds || self.writes >= bounds.writes {
            return None;
        }
        let mut world = self.clone();
        let epoch = server.epoch();
        world.servers[at].journal.push((epoch, Some(self.writes)));
        world.acknowledged.insert((self.writes, epoch, at, world.servers[at].journal.len() as u8));
        world.writes += 1;
        Some(world)
    }

    /// `Worker::promote`, by an operator, whatever the others do.
    fn promote(&self, bounds: &Bounds, at: usize) -> Option<World> {
        let server = &self.servers[at];
        let heeds = bounds.fault != Some(Fault::ForgetsWhatItHeard);
        let seen = if heeds { server.seen() } else { server.epoch() };
        let epoch = next(bounds, seen, at, Right::Taken)?;
        if server.takes_writes() || self.promotions >= bounds.promotions {
            return None;
        }
        let mut world = self.begin(at, epoch);
        world.promotions += 1;
        world.in_vain |= !world.servers[at].takes_writes();
        Some(world)
    }

    fn begin(&self, at: usize, epoch: Epoch) -> World {
        let mut world = self.clone();
        let server = &mut world.servers[at];
        let start = Start { previous: Some(server.epoch()), base: server.journal.len() as u8, by: at };
        server.starts.insert(epoch, start);
        server.journal.push((epoch, None));
        (server.is_primary, server.handover, server.has_rival) = (true, None, false);
        server.holds = false;
        world
    }

    /// `Worker::hold_writes`.
    fn hold(&self, at: usize) -> Option<World> {
        let server = &self.servers[at];
        if !server.takes_writes() || server.holds {
            return None;
        }
        let mut world = self.clone();
        world.servers[at].holds = true;
        Some(world)
    }

    /// `Worker::step_down`: the other one ends where this one does.
    fn step_down(&self, bounds: &Bounds, at: usize, to: usize) -> Option<World> {
        let server = &self.servers[at];
        let epoch = next(bounds, server.seen(), at, Right::Given)?;
        let is_early = bounds.fault == Some(Fault::StepsDownEarly);
        let is_reached =
            (is_early || self.servers[to].journal == server.journal) && !self.servers[to].is_primary;
        if !server.takes_writes() || !server.holds || !is_reached {
            return None;
        }
        let mut world = self.clone();
        let server = &mut world.servers[at];
        let start = Start { previous: Some(server.epoch()), base: server.journal.len() as u8, by: to };
        server.starts.insert(epoch, start);
        (server.is_primary, server.holds) = (false, false);
        server.handover = Some((to, epoch, server.journal.clone()));
        Some(world)
    }

    /// `takeover`: the right is asked for at the one that gave it, and used if nothing later is known.
    fn take_over(&self, bounds: &Bounds, at: usize, from: usize) -> Option<World> {
        let (to, epoch, positions) = self.servers[from].handover.clone()?;
        let server = &self.servers[at];
        let is_early = bounds.fault == Some(Fault::StepsDownEarly);
        let is_there = (is_early || server.journal == positions) && !server.is_primary;
        let is_over = server.seen() > epoch || server.starts.get(&epoch).is_some_and(|start| start.by != at);
        if to != at || is_over || !is_there {
            return None;
        }
        let mut world = self.begin(at, epoch);
        world.servers[from].handover = None;
        Some(world)
    }

    /// `Worker::learn`: epochs of the other server, and what they mean for a primary.
    fn learn(&self, bounds: &Bounds, at: usize, from: usize) -> Option<World> {
        let mut world = self.clone();
        for (epoch, start) in &self.servers[from].starts {
            let server = &mut world.servers[at];
            match server.starts.get(epoch) {
                Some(known) if known.by != start.by => {
                    server.has_rival |= server.is_primary && server.epoch() == *epoch;
                }
                Some(_) => {}
                // `Worker::was_never_begun`
                None if server.is_primary && start.by == at && *epoch > server.seen() => {
                    if bounds.fault == Some(Fault::BelievesThatItBegan) {
                        server.starts.insert(*epoch, *start);
                        continue;
                    }
                    world = world.begin(at, next(bounds, *epoch, at, Right::Taken)?);
                }
                None => drop(server.starts.insert(*epoch, *start)),
            }
        }
        let server = &mut world.servers[at];
        server.holds &= server.takes_writes();
        (world != *self).then_some(world)
    }

    /// `Database::become_replica`, when it was told.
    fn become_replica(&self, at: usize) -> Option<World> {
        let server = &self.servers[at];
        if !server.is_primary || server.seen() <= server.epoch() {
            return None;
        }
        let mut world = self.clone();
        (world.servers[at].is_primary, world.servers[at].has_rival) = (false, false);
        Some(world)
    }

    /// One more entry of the source, or a synchronization where both histories parted.
    fn follow(&self, bounds: &Bounds, at: usize, source: usize) -> Option<World> {
        // The handshake comes first, and is a step of its own.
        if self.servers[at].is_primary || self.learn(bounds, at, source).is_some() {
            return None;
        }
        let (copy, source) = (&self.servers[at], &self.servers[source]);
        if source.seen() < copy.seen() || self.is_rival_history(copy, source) {
            return None;
        }
        let is_whole = source
            .journal
            .iter()
            .enumerate()
            .all(|(place, (epoch, _))| !source.is_cut(bounds, *epoch, place + 1));
        let common = copy.journal.iter().zip(&source.journal).take_while(|(one, other)| one == other).count();
        let mut world = self.clone();
        if common == copy.journal.len() {
            let entry = *source.journal.get(common)?;
            if copy.is_cut(bounds, entry.0, common + 1) {
                return None;
            }
            world.servers[at].journal.push(entry);
            let known = |write: &u8| {
                self.acknowledged
                    .iter()
                    .any(|(of, epoch, by, _)| (*of, *epoch, *by) == (*write, entry.0, self.of(source)))
            };
            world.replicated.extend(entry.1.filter(known));
        } else {
            // A source that is behind in the same history is waited for.
            if !is_whole || common == source.journal.len() {
                return None;
            }
            let orphans: Vec<u8> = copy.journal[common..].iter().filter_map(|(_, write)| *write).collect();
            if bounds.fault != Some(Fault::DropsOrphans) {
                world.servers[at].orphans.extend(orphans);
            }
            world.servers[at].journal.clone_from(&source.journal);
        }
        Some(world)
    }

    fn of(&self, server: &Server) -> usize {
        self.servers.iter().position(|of| std::ptr::eq(of, server)).unwrap()
    }

    /// In one epoch the copy knows another primary than the source: `key-changed`.
    fn is_rival_history(&self, copy: &Server, source: &Server) -> bool {
        source
            .starts
            .iter()
            .any(|(epoch, start)| copy.starts.get(epoch).is_some_and(|known| known.by != start.by))
    }

    fn crash(&self, bounds: &Bounds, at: usize) -> Option<World> {
        if self.crashes >= bounds.crashes || !self.servers[at].holds {
            // Nothing else is forgotten.
            return None;
        }
        let mut world = self.clone();
        world.servers[at].holds = false;
        world.crashes += 1;
        Some(world)
    }
}

/// What must be true of every world: the law that is broken, if one is.
fn broken(world: &World, bounds: &Bounds) -> Option<&'static str> {
    let servers = &world.servers;
    let mut primaries: BTreeMap<Epoch, usize> = BTreeMap::new();
    let one_acknowledges =
        world.acknowledged.iter().all(|(_, epoch, by, _)| primaries.entry(*epoch).or_insert(*by) == by);
    let pairs = || {
        servers
            .iter()
            .enumerate()
            .flat_map(|(at, one)| servers[at + 1..].iter().map(move |other| (one, other)))
    };
    // Journals that agree on an entry agree on all before it.
    let matches = |(one, other): (&Server, &Server)| {
        let last = (0..one.journal.len().min(other.journal.len()))
            .rev()
            .find(|at| one.journal[*at] == other.journal[*at]);
        last.is_none_or(|last| one.journal[..last] == other.journal[..last])
    };
    let is_kept =
        |write: u8| servers.iter().any(|server| server.orphans.contains(&write) || server.has(write));
    // A token is good at one history only, whatever the server heard of the others.
    let no_token_lies = world.acknowledged.iter().all(|(write, epoch, _, place)| {
        servers.iter().all(|of| of.has(*write) || !of.says_reached(bounds, *epoch, usize::from(*place)))
    });
    let stops_itself = |(at, of): (usize, &Server)| {
        of.is_primary && !of.takes_writes() && !of.has_rival && of.starts[&of.seen()].by == at
    };
    let two_of_one_mind = |(one, other): (&Server, &Server)| {
        one.takes_writes() && other.takes_writes() && one.seen() == other.seen()
    };
    let newest = servers.iter().max_by_key(|server| (server.epoch(), server.journal.len())).unwrap();
    let has = |write: u8| newest.has(write);
    let laws = [
        ("never two acknowledge in one epoch", one_acknowledges),
        ("who is promoted takes writes", !world.in_vain),
        ("nobody is stopped by itself", !servers.iter().enumerate().any(stops_itself)),
        ("two that know the same do not both take writes", !pairs().any(two_of_one_mind)),
        ("journals that agree somewhere agree on all before", pairs().all(matches)),
        ("who says that a token is reached has what was written with it", no_token_lies),
        (
            "what was acknowledged is in a journal or among orphans",
            world.acknowledged.iter().all(|(write, ..)| is_kept(*write)),
        ),
        (
            "without a promotion nothing is cut off",
            world.promotions > 0
                || (servers.iter().all(|server| server.orphans.is_empty())
                    && world.acknowledged.iter().all(|(write, ..)| has(*write))),
        ),
        (
            "of two servers, what both had stays",
            bounds.servers > 2 || world.replicated.iter().all(|write| has(*write)),
        ),
    ];
    laws.into_iter().find(|(_, holds)| !holds).map(|(law, _)| law)
}

/// Every world that can be reached, and the shortest way to one that breaks a law.
fn explore(bounds: &Bounds) -> (usize, Option<(&'static str, Vec<String>)>) {
    let first = Rc::new(World::new(bounds));
    let mut known = HashSet::from([Rc::clone(&first)]);
    // Every world, the one before it, and the step between them.
    let mut ways = vec![(first, 0, String::new())];
    let mut at = 0;
    while let Some((world, ..)) = ways.get(at) {
        let world = Rc::clone(world);
        if let Some(law) = broken(&world, bounds) {
            let mut way = Vec::new();
            while at > 0 {
                let (_, before, step) = &ways[at];
                way.push(step.clone());
                at = *before;
            }
            way.reverse();
            return (ways.len(), Some((law, way)));
        }
        for (step, after) in world.steps(bounds) {
            if !known.contains(&after) {
                let after = Rc::new(after);
                known.insert(Rc::clone(&after));
                ways.push((after, at, step));
            }
        }
        at += 1;
    }
    (ways.len(), None)
}

fn check(bounds: Bounds) {
    let (worlds, found) = explore(&bounds);
    println!("{worlds} worlds of {} servers", bounds.servers);
    assert_eq!(found, None);
}

#[test]
fn two_servers() {
    check(Bounds { servers: 2, writes: 3, numbers: 4, promotions: 2, crashes: 1, fault: None });
}

/// One is promoted, whatever the others are about.
#[test]
fn three_servers() {
    check(Bounds { servers: 3, writes: 2, numbers: 3, promotions: 1, crashes: 1, fault: None });
}

/// Two operators decide at once, or one decides twice.
#[test]
fn three_servers_and_two_promotions() {
    check(Bounds { servers: 3, writes: 2, numbers: 2, promotions: 2, crashes: 0, fault: None });
}

/// The same, and what comes after it. Minutes and gigabytes; `docs/failover-runs.md`.
#[test]
#[ignore = "takes long: once for every change of the rules"]
fn three_servers_and_two_promotions_and_a_third_number() {
    check(Bounds { servers: 3, writes: 2, numbers: 3, promotions: 2, crashes: 0, fault: None });
}

/// Whoever hears of all that happened: at most one takes writes, and it is the same one for all.
#[test]
fn who_begins_one_number_twice_is_ordered_alike_by_all() {
    let bounds = Bounds { servers: 3, writes: 2, numbers: 3, promotions: 2, crashes: 0, fault: None };
    let first = World::new(&bounds);
    let promoted = first.promote(&bounds, 1).unwrap().promote(&bounds, 2).unwrap();
    let both = promoted.write(&bounds, 1).unwrap().write(&bounds, 2).unwrap();
    assert_eq!(broken(&both, &bounds), None);
    // As it was: epochs that are numbers.
    let numbers = Bounds { fault: Some(Fault::EpochsWithoutMarks), ..bounds };
    let promoted = first.promote(&numbers, 1).unwrap().promote(&numbers, 2).unwrap();
    let acknowledged = promoted.write(&numbers, 1).unwrap().write(&numbers, 2).unwrap();
    assert_eq!(broken(&acknowledged, &numbers), Some("never two acknowledge in one epoch"));
    for (one, other) in [(1, 2), (2, 1)] {
        let heard = both.learn(&bounds, one, other).unwrap().learn(&bounds, other, one).unwrap();
        let heard = heard.learn(&bounds, 0, 1).unwrap();
        let takes: Vec<usize> = (0..3).filter(|at| heard.servers[*at].takes_writes()).collect();
        assert_eq!(takes, [2], "the one with the higher key");
    }
}

/// A rule that is left out breaks a law.
#[test]
fn every_rule_is_needed() {
    for (fault, servers, expected) in [
        (Fault::StepsDownEarly, 2, "without a promotion nothing is cut off"),
        (Fault::ForgetsWhatItHeard, 2, "who is promoted takes writes"),
        (Fault::DropsOrphans, 2, "what was acknowledged is in a journal or among orphans"),
        (Fault::EpochsWithoutMarks, 3, "two that know the same do not both take writes"),
        (Fault::CutsByBasesAlone, 3, "who says that a token is reached has what was written with it"),
        (Fault::AnswersForAnotherHistory, 2, "who says that a token is reached has what was written with it"),
        (Fault::BelievesThatItBegan, 2, "nobody is stopped by itself"),
    ] {
        let bounds = Bounds { servers, writes: 2, numbers: 3, promotions: 2, crashes: 0, fault: Some(fault) };
        let (_, found) = explore(&bounds);
        let (law, way) = found.unwrap_or_else(|| panic!("nothing follows of {fault:?}"));
        println!("{fault:?}: {law}: {}", way.join(", "));
        assert_eq!(law, expected, "{fault:?}");
    }
}
