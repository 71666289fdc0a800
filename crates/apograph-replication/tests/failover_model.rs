//! The failover decision as a model, checked exhaustively for small sizes: every order of writes, contacts, crashes, switchovers
//! and promotions that the bounds allow.
//!
//! A server is what `database.json` and its journal remember; what a crash forgets is the hold. A step is one durable write of one
//! server, or one contact of two. Servers that have no contact are those for which no step is taken, so every partition of the network
//! is in it. The rules are those of `docs/decisions/0014-roles.md`; each step names the code that it stands for.
//!
//! The search is breadth first, so what it prints when a law is broken is a shortest way there.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells how far it went"
)]
#![allow(clippy::cast_possible_truncation, reason = "counts are below ten")]

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

type Epoch = u8;
/// A client's write; none is the entry that begins an epoch.
type Entry = (Epoch, Option<u8>);

/// What may happen, and how often.
#[derive(Clone, Copy)]
struct Bounds {
    servers: usize,
    writes: u8,
    epochs: Epoch,
    promotions: u8,
    crashes: u8,
    /// Operators decide twice at once, on sides that do not know of each other: two promotions, or a promotion and a
    /// switchover, lead into one epoch.
    rivals: bool,
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
}

/// Everything durable, and what was said to clients.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    servers: Vec<Server>,
    /// Whose acknowledgement, in which epoch, of which write.
    acknowledged: BTreeSet<(u8, Epoch, usize)>,
    /// Of them: those that a copy had on disk when it was answered (`replicas=1`).
    replicated: BTreeSet<u8>,
    writes: u8,
    promotions: u8,
    crashes: u8,
    /// Epochs that a promotion began, by whom: for the assumption that operators promote one server.
    forced: BTreeMap<Epoch, usize>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Server {
    is_primary: bool,
    journal: Vec<Entry>,
    /// Who began which epoch, behind how many entries.
    starts: BTreeMap<Epoch, (u8, usize)>,
    /// It stepped down for this server, which may begin this epoch.
    handover: Option<(usize, Epoch)>,
    /// It heard of another primary of its own epoch.
    has_rival: bool,
    orphans: BTreeSet<u8>,
    /// Writes wait; a crash forgets it.
    holds: bool,
}

impl Server {
    fn epoch(&self) -> Epoch {
        self.journal.last().map_or(1, |(epoch, _)| *epoch)
    }

    fn seen(&self) -> Epoch {
        self.starts.keys().last().copied().unwrap_or(1)
    }

    /// `Shared::check_role`.
    fn takes_writes(&self) -> bool {
        self.is_primary && self.seen() == self.epoch() && !self.has_rival
    }

    /// `DatabaseFile::is_cut`: did a later epoch cut off what stands at this place?
    fn is_cut(&self, epoch: Epoch, place: usize) -> bool {
        self.starts.iter().any(|(later, (base, _))| *later > epoch && place > usize::from(*base))
    }
}

impl World {
    fn new(bounds: &Bounds) -> World {
        let server = |is_primary| Server {
            is_primary,
            journal: Vec::new(),
            starts: BTreeMap::from([(1, (0, 0))]),
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
            forced: BTreeMap::new(),
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
                add(format!("{at} learns from {other}"), self.learn(at, other));
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
        world.acknowledged.insert((self.writes, epoch, at));
        world.writes += 1;
        Some(world)
    }

    /// `Worker::promote`, by an operator, whatever the others do.
    fn promote(&self, bounds: &Bounds, at: usize) -> Option<World> {
        let server = &self.servers[at];
        let heeds = bounds.fault != Some(Fault::ForgetsWhatItHeard);
        let epoch = if heeds { server.seen() } else { server.epoch() } + 1;
        let is_rival = heeds && (self.forced.contains_key(&epoch) || self.is_given(epoch, at));
        if server.takes_writes()
            || epoch > bounds.epochs
            || self.promotions >= bounds.promotions
            || (is_rival && !bounds.rivals)
        {
            return None;
        }
        let mut world = self.begin(at, epoch);
        world.promotions += 1;
        world.forced.insert(epoch, at);
        Some(world)
    }

    /// Was the right to begin this epoch given to somebody else, whom the operator could ask?
    fn is_given(&self, epoch: Epoch, at: usize) -> bool {
        self.servers.iter().any(|server| {
            let begun = server.starts.get(&epoch).is_some_and(|(_, by)| *by != at);
            begun || server.handover.is_some_and(|(to, given)| given == epoch && to != at)
        })
    }

    fn begin(&self, at: usize, epoch: Epoch) -> World {
        let mut world = self.clone();
        let server = &mut world.servers[at];
        server.starts.insert(epoch, (server.journal.len() as u8, at));
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
        let epoch = server.seen() + 1;
        let is_early = bounds.fault == Some(Fault::StepsDownEarly);
        let is_reached =
            (is_early || self.servers[to].journal == server.journal) && !self.servers[to].is_primary;
        let is_rival = self.forced.contains_key(&epoch);
        if !server.takes_writes()
            || !server.holds
            || !is_reached
            || epoch > bounds.epochs
            || (is_rival && !bounds.rivals)
        {
            return None;
        }
        let mut world = self.clone();
        let server = &mut world.servers[at];
        server.starts.insert(epoch, (server.journal.len() as u8, to));
        (server.is_primary, server.holds, server.handover) = (false, false, Some((to, epoch)));
        Some(world)
    }

    /// `takeover`: the right is asked for at the one that gave it, and used if nothing later is known.
    fn take_over(&self, bounds: &Bounds, at: usize, from: usize) -> Option<World> {
        let (to, epoch) = self.servers[from].handover?;
        let server = &self.servers[at];
        let (base, _) = self.servers[from].starts[&epoch];
        let is_early = bounds.fault == Some(Fault::StepsDownEarly);
        let is_there = (is_early || server.journal.len() == usize::from(base)) && !server.is_primary;
        let is_over = server.seen() > epoch || server.starts.get(&epoch).is_some_and(|(_, by)| *by != at);
        if to != at || is_over || !is_there {
            return None;
        }
        let mut world = self.begin(at, epoch);
        world.servers[from].handover = None;
        Some(world)
    }

    /// `Worker::learn`: epochs of the other server, and what they mean for a primary.
    fn learn(&self, at: usize, from: usize) -> Option<World> {
        let mut world = self.clone();
        for (epoch, start) in &self.servers[from].starts {
            let server = &mut world.servers[at];
            match server.starts.get(epoch) {
                Some((_, by)) if *by != start.1 => {
                    server.has_rival |= server.is_primary && server.epoch() == *epoch;
                }
                Some(_) => {}
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
        if self.servers[at].is_primary || self.learn(at, source).is_some() {
            return None;
        }
        let (copy, source) = (&self.servers[at], &self.servers[source]);
        if source.seen() < copy.seen() || self.is_rival_history(copy, source) {
            return None;
        }
        let is_whole =
            source.journal.iter().enumerate().all(|(place, (epoch, _))| !source.is_cut(*epoch, place + 1));
        let common = copy.journal.iter().zip(&source.journal).take_while(|(one, other)| one == other).count();
        let mut world = self.clone();
        if common == copy.journal.len() {
            let entry = *source.journal.get(common)?;
            if copy.is_cut(entry.0, common + 1) {
                return None;
            }
            world.servers[at].journal.push(entry);
            let known = |write: &u8| self.acknowledged.contains(&(*write, entry.0, self.of(source)));
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
            .any(|(epoch, (_, by))| copy.starts.get(epoch).is_some_and(|(_, known)| known != by))
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
        world.acknowledged.iter().all(|(_, epoch, by)| primaries.entry(*epoch).or_insert(*by) == by);
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
    let is_kept = |write: u8| {
        servers.iter().any(|server| {
            server.orphans.contains(&write) || server.journal.iter().any(|(_, of)| *of == Some(write))
        })
    };
    let newest = servers.iter().max_by_key(|server| (server.epoch(), server.journal.len())).unwrap();
    let has = |write: u8| newest.journal.iter().any(|(_, of)| *of == Some(write));
    let laws = [
        ("never two acknowledge in one epoch", one_acknowledges || bounds.rivals),
        ("journals that agree somewhere agree on all before", pairs().all(matches) || bounds.rivals),
        (
            "what was acknowledged is in a journal or among orphans",
            world.acknowledged.iter().all(|(write, _, _)| is_kept(*write)),
        ),
        (
            "without a promotion nothing is cut off",
            world.promotions > 0
                || (servers.iter().all(|server| server.orphans.is_empty())
                    && world.acknowledged.iter().all(|(write, _, _)| has(*write))),
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
    let first = World::new(bounds);
    let mut ways: HashMap<World, Option<(World, String)>> = HashMap::from([(first.clone(), None)]);
    let mut next = VecDeque::from([first]);
    while let Some(world) = next.pop_front() {
        if let Some(law) = broken(&world, bounds) {
            let mut way = Vec::new();
            let mut at = world;
            while let Some(Some((before, step))) = ways.get(&at) {
                way.push(step.clone());
                at = before.clone();
            }
            way.reverse();
            return (ways.len(), Some((law, way)));
        }
        for (step, after) in world.steps(bounds) {
            if !ways.contains_key(&after) {
                ways.insert(after.clone(), Some((world.clone(), step)));
                next.push_back(after);
            }
        }
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
    check(Bounds { servers: 2, writes: 3, epochs: 4, promotions: 2, crashes: 1, rivals: false, fault: None });
}

#[test]
fn three_servers() {
    check(Bounds { servers: 3, writes: 2, epochs: 3, promotions: 1, crashes: 1, rivals: false, fault: None });
}

/// Two operators on two sides of a cut may begin one epoch: then both sides acknowledge until they hear of each other, and not behind
/// that. The other laws hold.
#[test]
fn rivals() {
    check(Bounds { servers: 3, writes: 2, epochs: 2, promotions: 2, crashes: 0, rivals: true, fault: None });
}

/// The search finds what it is for: with the assumption taken away, the law about one epoch is broken, and the way there is two promotions
/// and two writes.
#[test]
fn a_broken_law_is_found_by_a_shortest_way() {
    let bounds =
        Bounds { servers: 3, writes: 2, epochs: 2, promotions: 2, crashes: 0, rivals: true, fault: None };
    let first = World::new(&bounds);
    let promoted = first.promote(&bounds, 1).unwrap().promote(&bounds, 2).unwrap();
    let both = promoted.write(&bounds, 1).unwrap().write(&bounds, 2).unwrap();
    let strict = Bounds { rivals: false, ..bounds };
    assert_eq!(broken(&both, &strict), Some("never two acknowledge in one epoch"));
    // When they hear of each other, both stop.
    let heard = both.learn(1, 2).unwrap().learn(2, 1).unwrap();
    assert!(heard.write(&Bounds { writes: 9, ..bounds }, 1).is_none());
    assert!(heard.write(&Bounds { writes: 9, ..bounds }, 2).is_none());
}

/// A rule that is left out breaks a law.
#[test]
fn every_rule_is_needed() {
    for (fault, expected) in [
        (Fault::StepsDownEarly, "without a promotion nothing is cut off"),
        (Fault::ForgetsWhatItHeard, "never two acknowledge in one epoch"),
        (Fault::DropsOrphans, "what was acknowledged is in a journal or among orphans"),
    ] {
        let bounds = Bounds {
            servers: 2,
            writes: 2,
            epochs: 3,
            promotions: 2,
            crashes: 0,
            rivals: false,
            fault: Some(fault),
        };
        let (_, found) = explore(&bounds);
        let (law, way) = found.unwrap_or_else(|| panic!("nothing follows of {fault:?}"));
        println!("{fault:?}: {law}: {}", way.join(", "));
        assert_eq!(law, expected, "{fault:?}");
    }
}
