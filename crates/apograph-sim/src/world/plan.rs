//! What a seed draws: how large everything is, and what goes wrong how often.

use super::{OF_A_PART, SERVERS};
use crate::random::Random;

/// A run. Times are in microseconds, rates in faults for each second of a server or of a line.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What everything is drawn from.
    pub seed: u64,
    /// Of the database.
    pub partitions: u16,
    /// Whom the staging server follows: the primary, or the replica.
    pub staging_of: usize,
    /// A copy of some partitions, if there is one.
    pub part: Option<Part>,
    /// Of a journal.
    pub segment_bytes_max: u64,
    /// Of all journals of a server; whoever is away for long falls out of the window then.
    pub retention_bytes_max: Option<u64>,
    /// Who edit.
    pub clients: usize,
    /// What each of them asks for.
    pub transactions: u64,
    /// Between what a client asks for.
    pub think_us: u64,
    /// Documents that are edited.
    pub documents: u64,
    /// Longest text.
    pub text_bytes_max: u64,
    /// Of a thousand texts, so many are large.
    pub large: u64,
    /// Faults happen up to then.
    pub faults_until_us: u64,
    /// Longest way of a piece between two servers.
    pub latency_us: u64,
    /// Longest wait of a command for its worker.
    pub work_us: u64,
    /// What goes wrong.
    pub faults: Faults,
}

/// A replica that holds some of the partitions.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which.
    pub held: Vec<u16>,
    /// Whom it follows: any of those who hold all.
    pub source: usize,
}

/// How often what goes wrong: of ten thousand chances, of which there are ten in a second. Zero: never in this run.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// A machine loses its power: anything may be left of what was not synced.
    pub power: u64,
    /// A process is killed: everything it wrote is there.
    pub kill: u64,
    /// A server is stopped and started in good order.
    pub restart: u64,
    /// A sync fails.
    pub sync: u64,
    /// A disk is full for a while.
    pub full: u64,
    /// A line is cut, in one direction or both.
    pub cut: u64,
    /// A connection breaks, perhaps in the middle of an entry.
    pub reset: u64,
    /// A server stands still for a while.
    pub pause: u64,
    /// A wall clock jumps.
    pub clock: u64,
    /// A disk is slow for a while.
    pub slow: u64,
    /// The disk of a copy is set back to what it was a while before.
    pub set_back: u64,
    /// Bits of a copy's disk are others.
    pub rot: u64,
    /// The primary is to give its role to another one.
    pub switch: u64,
    /// A piece on its way is garbled.
    pub garbled: u64,
    /// A piece comes twice.
    pub doubled: u64,
    /// A piece does not come, and what is behind it does.
    pub left_out: u64,
    /// A question is heard twice.
    pub asked_twice: u64,
    /// An answer comes when nobody waits for it any more.
    pub late: u64,
    /// An answer is that to an earlier question.
    pub old: u64,
    /// A connection that ended looks open.
    pub half_open: u64,
    /// A reader is slow for a while.
    pub narrow: u64,
    /// When a copy is promoted, if one is.
    pub promote_at_us: Option<u64>,
    /// What happens to the primary before.
    pub before: Before,
}

/// What happens to a primary before another one is promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Before {
    /// It is dead, for a while.
    #[default]
    Dies,
    /// Nobody but clients reaches it.
    IsCutOff,
    /// Nothing: two believe to be primary, until one learns.
    Nothing,
}

const SECOND: u64 = 1_000_000;

impl Plan {
    /// What a seed draws.
    pub fn draw(seed: u64) -> Plan {
        let mut random = Random::new(seed).fork(1);
        let faults_until_us = random.between(5, 20) * SECOND;
        let clients = random.between(1, 3);
        let transactions = random.between(10, 45);
        // They are busy for as long as faults happen.
        let think_us = (faults_until_us / transactions).max(2_000) * 2;
        let partitions = *random.pick(&[1, 2, 2, 3]);
        Plan {
            seed,
            partitions,
            part: Plan::draw_part(seed, partitions),
            staging_of: random.index(2),
            segment_bytes_max: *random.pick(&[2 << 10, 8 << 10, 24 << 10, 128 << 10]),
            retention_bytes_max: *random.pick(&[None, None, Some(24 << 10), Some(96 << 10)]),
            clients: usize::try_from(clients).unwrap_or(1),
            transactions,
            think_us,
            documents: random.between(4, 16),
            text_bytes_max: *random.pick(&[80, 600, 4_000]),
            large: Plan::draw_large(seed),
            faults_until_us,
            latency_us: *random.pick(&[300, 5_000, 60_000, 400_000]),
            work_us: *random.pick(&[50, 2_000, 30_000]),
            faults: Faults::draw(&mut random, faults_until_us).and_more(&mut Random::new(seed).fork(5)),
        }
    }

    /// Pieces on lines are so many times larger than they are where all texts are small.
    pub(super) fn pieces(&self) -> usize {
        if self.large > 0 { 16 } else { 1 }
    }

    /// So many servers there are.
    pub(super) fn servers(&self) -> usize {
        if self.part.is_some() { SERVERS.len() } else { OF_A_PART }
    }

    /// Drawn apart: without it a run is as it was.
    fn draw_part(seed: u64, partitions: u16) -> Option<Part> {
        let mut random = Random::new(seed).fork(8);
        if !random.chance(350) || partitions < 2 {
            return None;
        }
        // Not none of them, and not all.
        let some = random.between(1, (1 << partitions) - 2);
        let held = (0..partitions).filter(|partition| some & 1 << partition != 0).collect();
        Some(Part { held, source: random.index(3) })
    }

    /// Drawn apart: what is written, and when, is the same without large texts.
    fn draw_large(seed: u64) -> u64 {
        let mut random = Random::new(seed).fork(7);
        if random.chance(180) { random.between(20, 120) } else { 0 }
    }
}

impl Faults {
    fn draw(random: &mut Random, until_us: u64) -> Faults {
        let mut rate = |most: u64| if random.chance(450) { random.between(1, most) } else { 0 };
        let mut faults = Faults {
            power: rate(60),
            kill: rate(40),
            restart: rate(30),
            sync: rate(25),
            full: rate(25),
            cut: rate(60),
            reset: rate(150),
            pause: rate(40),
            clock: rate(30),
            ..Faults::default()
        };
        if random.chance(450) {
            faults.promote_at_us = Some(random.between(until_us / 4, until_us * 3 / 4));
            faults.before = *random.pick(&[Before::Dies, Before::IsCutOff, Before::Nothing]);
        }
        faults
    }

    /// What is drawn apart from the rest. One run in five has nothing of it.
    fn and_more(self, random: &mut Random) -> Faults {
        if random.chance(200) {
            return self;
        }
        let mut rate = |most: u64| if random.chance(300) { random.between(1, most) } else { 0 };
        Faults {
            garbled: rate(80),
            doubled: rate(80),
            left_out: rate(80),
            asked_twice: rate(150),
            late: rate(60),
            old: rate(150),
            half_open: rate(60),
            narrow: rate(60),
            slow: rate(60),
            set_back: rate(90),
            rot: rate(200),
            switch: rate(150),
            ..self
        }
    }
}
