//! What a seed draws: where servers have their data, and what goes wrong.

use std::time::Duration;

use apograph_bench::namespace::Outage;
use apograph_bench::network::Trouble;
use apograph_replication::link::SILENCE_MAX;

use crate::disk::survival::Survival;
use crate::random::Random;

/// Servers of a run.
pub(super) const SERVERS: [&str; 3] = ["primary", "replica", "staging"];
pub(super) const PRIMARY: usize = 0;
pub(super) const REPLICA: usize = 1;
pub(super) const STAGING: usize = 2;
/// The line from clients to the primary; the others lead from the copy of the same number to its source.
pub(super) const CLIENTS: usize = 0;
/// Kinds of faults, those of networks first: of lines, then of the cable to whoever lives apart.
const KINDS: u64 = 21;
const OF_NETWORKS: u64 = 13;
const OF_LINES: u64 = 8;
/// So many of 1,000 outages of the cable last until links give up.
const LONG: u64 = 100;
/// One run of so many has a large backlog.
const BACKLOG_EVERY: u64 = 8;
/// As large as a server may become, in MiB: whoever keeps it in memory is found.
const BACKLOG_MIB: u64 = super::judge::RESIDENT_MIB_MAX;

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What everything is drawn from.
    pub seed: u64,
    /// Of the database.
    pub partitions: u16,
    /// Whom the staging server follows: the primary, or the replica.
    pub(super) staging_of: usize,
    /// Who write.
    pub(super) clients: u32,
    /// Between two transactions of a client, at most.
    pub(super) pace: Duration,
    /// Longest text that is never published.
    pub(super) draft_bytes_max: u64,
    /// Of a journal.
    pub(super) segment_bytes: u64,
    /// Whose data is on the disk that lies.
    pub(super) lying: usize,
    /// Whose data is on the small disk; nobody's where much is written.
    pub(super) small: Option<usize>,
    /// Who lives in a network namespace.
    pub(super) apart: usize,
    /// What goes wrong, one after the other.
    pub(super) episodes: Vec<Episode>,
}

/// Things that go wrong at the same time.
#[derive(Debug, Clone)]
pub(super) struct Episode {
    /// Nothing goes wrong for so long before.
    pub(super) pause: Duration,
    pub(super) faults: Vec<Fault>,
    /// For so long.
    pub(super) holds: Duration,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// A line.
    Line(usize, Trouble),
    /// The cable to the server that lives apart.
    Cable(Outage),
    /// It is pulled out and put in again, so many times.
    Flaps(u64),
    /// That server is gone with its machine, and nobody hears of it; then there is another machine with its disk.
    MachineLost,
    /// SIGKILL.
    Kill(usize),
    /// SIGTERM.
    Stop(usize),
    /// A process stands still.
    Stall(usize),
    /// The disk that lies loses its power.
    PowerCut(Survival, u64),
    /// Syncs of it fail; then its power is cut, or only the process starts again.
    SyncsFail { count: u64, power: Option<(Survival, u64)> },
    /// Each sync of it takes so many milliseconds longer.
    SlowSyncs(u64),
    /// It takes nothing more.
    LyingFull,
    /// The small disk is full.
    SmallFull,
    /// So many MiB are written.
    Backlog(u64),
}

impl Plan {
    /// What a seed draws.
    pub fn draw(seed: u64) -> Plan {
        let mut random = Random::new(seed).fork(1);
        let lying = *random.pick(&[PRIMARY, PRIMARY, REPLICA, STAGING]);
        let others: Vec<usize> = (0..SERVERS.len()).filter(|server| *server != lying).collect();
        let small = *random.pick(&others);
        let partitions = *random.pick(&[1, 2, 3]);
        // All kinds come in turn, whatever else is drawn.
        let mut kinds: Vec<u64> = (0..3).map(|number| (seed * 3 + number * 5) % KINDS).collect();
        kinds.extend((0..random.between(1, 3)).map(|_| random.below(KINDS)));
        let mut episodes: Vec<Episode> =
            kinds.into_iter().map(|kind| Episode::draw(kind, &mut random)).collect();
        let has_backlog = seed % BACKLOG_EVERY == 1;
        if has_backlog {
            episodes.insert(0, Episode::backlog());
        }
        Plan {
            seed,
            partitions,
            staging_of: *random.pick(&[PRIMARY, REPLICA]),
            clients: u32::try_from(random.between(3, 8)).unwrap_or(3),
            pace: Duration::from_millis(random.between(2, 30)),
            draft_bytes_max: *random.pick(&[100, 4_000, 40_000]),
            segment_bytes: *random.pick(&[64 << 10, 256 << 10, 1 << 20]),
            lying,
            small: (!has_backlog).then_some(small),
            apart: random.index(SERVERS.len()),
            episodes,
        }
    }
}

impl Episode {
    /// Both copies are away while much is written.
    fn backlog() -> Episode {
        let away = |line| Fault::Line(line, Trouble::Refused);
        Episode {
            pause: Duration::ZERO,
            faults: vec![away(REPLICA), away(STAGING), Fault::Backlog(BACKLOG_MIB)],
            holds: Duration::ZERO,
        }
    }

    fn draw(kind: u64, random: &mut Random) -> Episode {
        let mut faults = vec![Fault::draw(kind, random)];
        // Often a line and a server at once.
        if random.chance(500) {
            let is_of_network = kind < OF_NETWORKS;
            let other = if is_of_network {
                random.between(OF_NETWORKS, KINDS - 1)
            } else {
                random.below(OF_NETWORKS)
            };
            faults.push(Fault::draw(other, random));
        }
        let pause = Duration::from_millis(random.between(50, 400));
        let mut holds = Duration::from_millis(random.between(100, 1_500));
        if (OF_LINES..OF_NETWORKS).contains(&kind) && random.chance(LONG) {
            holds += SILENCE_MAX;
        }
        Episode { pause, faults, holds }
    }
}

impl Fault {
    fn draw(kind: u64, random: &mut Random) -> Fault {
        let line = random.index(SERVERS.len());
        // Nobody asks twice between a client and its server; what a client appends it may not append again.
        let link = 1 + random.index(SERVERS.len() - 1);
        let server = random.index(SERVERS.len());
        let power = |random: &mut Random| (*random.pick(&Survival::ALL), random.next());
        match kind {
            0 => Fault::Line(line, Trouble::Late { milliseconds: random.between(5, 300) }),
            1 => Fault::Line(line, Trouble::Narrow { bytes_per_second: random.between(1_000, 50_000) }),
            2 => Fault::Line(line, Trouble::Cut { up: true, down: false }),
            3 => Fault::Line(line, Trouble::Cut { up: random.chance(500), down: true }),
            4 => Fault::Line(line, Trouble::Refused),
            5 => Fault::Line(line, Trouble::Reset { after_bytes: random.between(1, 20_000) }),
            6 => Fault::Line(line, Trouble::HalfOpen),
            7 => Fault::Line(link, Trouble::Doubled),
            8 => Fault::Cable(Outage::LinkDown),
            9 => Fault::Flaps(random.between(2, 6)),
            10 => {
                let (inwards, outwards) = *random.pick(&[(true, false), (false, true), (true, true)]);
                Fault::Cable(Outage::Vanish { inwards, outwards })
            }
            11 if random.chance(500) => Fault::Cable(Outage::AddressLost),
            11 => Fault::Cable(Outage::RouteLost { silent: random.chance(500) }),
            12 => Fault::Cable(Outage::SmallPackets { bytes: *random.pick(&[400, 576, 1_000]) }),
            13 => Fault::Kill(server),
            14 => Fault::Stop(server),
            15 => Fault::Stall(server),
            16 => Fault::MachineLost,
            17 => {
                let (survival, seed) = power(random);
                Fault::PowerCut(survival, seed)
            }
            18 => {
                let cut = power(random);
                let power = random.chance(600).then_some(cut);
                Fault::SyncsFail { count: random.between(1, 3), power }
            }
            19 if random.chance(500) => Fault::LyingFull,
            19 => Fault::SlowSyncs(random.between(5, 200)),
            _ => Fault::SmallFull,
        }
    }

    /// For figures.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Fault::Line(_, trouble) => match trouble {
                Trouble::Nothing => "line well",
                Trouble::Late { .. } => "line late",
                Trouble::Narrow { .. } => "line narrow",
                Trouble::Cut { up: true, down: true } => "line cut",
                Trouble::Cut { .. } => "line cut one way",
                Trouble::Refused => "line refused",
                Trouble::Reset { .. } => "line reset",
                Trouble::HalfOpen => "line half open",
                Trouble::Doubled => "line doubled",
            },
            Fault::Cable(outage) => match outage {
                Outage::LinkDown => "link down",
                Outage::Vanish { inwards: true, outwards: true } => "packets vanish",
                Outage::Vanish { .. } => "packets vanish one way",
                Outage::RouteLost { .. } => "route lost",
                Outage::AddressLost => "address lost",
                Outage::SmallPackets { .. } => "small packets only",
            },
            Fault::Flaps(_) => "link flaps",
            Fault::MachineLost => "machine lost",
            Fault::Kill(_) => "kill",
            Fault::Stop(_) => "stop",
            Fault::Stall(_) => "stall",
            Fault::PowerCut(..) => "power cut",
            Fault::SyncsFail { power: Some(_), .. } => "sync fails, power cut",
            Fault::SyncsFail { power: None, .. } => "sync fails",
            Fault::SlowSyncs(_) => "slow syncs",
            Fault::LyingFull | Fault::SmallFull => "full disk",
            Fault::Backlog(_) => "backlog",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn equal_seeds_draw_equal_plans_and_few_seeds_draw_everything() {
        assert_eq!(format!("{:?}", Plan::draw(7)), format!("{:?}", Plan::draw(7)));
        let kinds = |seeds: u64| -> BTreeSet<&str> {
            let plans: Vec<Plan> = (0..seeds).map(Plan::draw).collect();
            let faults = plans.iter().flat_map(|plan| &plan.episodes).flat_map(|episode| &episode.faults);
            faults.map(|fault| fault.kind()).collect()
        };
        assert!(kinds(7).len() >= 18, "{:?}", kinds(7));
        assert_eq!(kinds(50).len(), 25, "{:?}", kinds(50));
        assert!((0..50).map(Plan::draw).all(|plan| Some(plan.lying) != plan.small));
    }
}
