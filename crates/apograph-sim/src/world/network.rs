//! What lines do to what they carry: bytes are others, come twice or not at all; questions are heard twice, answers come too
//! late, or are those of an earlier question; a connection that ended looks open, and a reader is slow.

use std::collections::BTreeMap;

use apograph::Handshake;
use apograph::synchronize::Snapshot;
use bytes::{Bytes, BytesMut};

use super::{Checked, Event, Mishap, World};

/// What happens to the next piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoil {
    /// Some of its bits are others.
    Garbled,
    /// It comes twice.
    Doubled,
    /// It does not come, and what is behind it does.
    LeftOut,
}

/// What is to happen to what comes into a server next, and what came before.
#[derive(Debug, Default)]
pub(super) struct Into {
    /// The next piece of a stream.
    stream: Option<Spoil>,
    /// The next piece of an answer.
    answer: Option<Spoil>,
    /// Its next question is heard twice.
    asks_twice: bool,
    /// The next answer comes when nobody waits for it any more.
    late: bool,
    /// The next greeting, and the next snapshot, is one of before.
    old_greeting: bool,
    old_snapshot: bool,
    /// What each source said first, and what it said last.
    greetings: BTreeMap<usize, Vec<Handshake>>,
    snapshots: BTreeMap<usize, Vec<Snapshot>>,
}

impl World {
    /// Things happen to lines.
    pub(super) fn take_chances_of_lines(&mut self) -> Checked {
        let faults = self.plan.faults.clone();
        for host in 1..self.servers.len() {
            let spoils = [
                (faults.garbled, Spoil::Garbled),
                (faults.doubled, Spoil::Doubled),
                (faults.left_out, Spoil::LeftOut),
            ];
            for (rate, spoil) in spoils {
                if self.comes(rate) {
                    let into = &mut self.into[host];
                    (into.stream, into.answer) = (Some(spoil), Some(spoil));
                }
            }
            self.into[host].asks_twice |= self.comes(faults.asked_twice);
            self.into[host].late |= self.comes(faults.late);
            let is_old = self.comes(faults.old);
            self.into[host].old_greeting |= is_old;
            self.into[host].old_snapshot |= is_old;
        }
        if self.comes(faults.half_open) {
            self.leave_half_open();
        }
        if self.comes(faults.narrow) {
            self.read_slowly();
        }
        Ok(())
    }

    pub(super) fn comes(&mut self, rate: u64) -> bool {
        self.mishaps.below(10_000) < rate
    }

    /// A piece of a stream into a server, as it comes out.
    pub(super) fn spoilt_of_stream(&mut self, host: usize, piece: Bytes) -> Vec<Bytes> {
        match self.into[host].stream.take() {
            None => vec![piece],
            Some(spoil) => self.spoil(host, spoil, piece),
        }
    }

    /// The same, of an answer.
    pub(super) fn spoilt_of_answer(&mut self, host: usize, piece: Bytes) -> Bytes {
        match self.into[host].answer.take() {
            None => piece,
            Some(spoil) => self.spoil(host, spoil, piece).concat().into(),
        }
    }

    fn spoil(&mut self, host: usize, spoil: Spoil, piece: Bytes) -> Vec<Bytes> {
        self.befell(host, Mishap::Spoilt, &format!("{} bytes that come are {spoil:?}", piece.len()));
        match spoil {
            Spoil::Doubled => vec![piece.clone(), piece],
            Spoil::LeftOut => Vec::new(),
            Spoil::Garbled => {
                let mut garbled = BytesMut::from(piece.as_ref());
                for _ in 0..self.mishaps.between(1, 3) {
                    let (at, bit) = (self.mishaps.index(garbled.len()), self.mishaps.below(8));
                    if let Some(byte) = garbled.get_mut(at) {
                        *byte ^= 1 << bit;
                    }
                }
                vec![garbled.freeze()]
            }
        }
    }

    /// Is the question that a server asks now heard twice?
    pub(super) fn asks_twice(&mut self, host: usize) -> bool {
        let twice = std::mem::take(&mut self.into[host].asks_twice);
        if twice {
            self.befell(host, Mishap::AskedTwice, "its question is heard twice");
        }
        twice
    }

    /// How much later than it would the answer to a server comes, if at all.
    pub(super) fn is_late(&mut self, host: usize) -> Option<u64> {
        let is_late = std::mem::take(&mut self.into[host].late);
        is_late.then(|| {
            self.befell(host, Mishap::Late, "an answer comes too late");
            self.mishaps.below(5_000_000)
        })
    }

    /// What a source says of itself, or said once.
    pub(super) fn greeting_from(&mut self, host: usize, source: usize, greeting: Handshake) -> Handshake {
        let said = self.into[host].greetings.entry(source).or_default();
        said.truncate(1);
        said.push(greeting.clone());
        let old = said.first().cloned().filter(|old| *old != greeting);
        let is_old = self.into[host].old_greeting;
        let Some(old) = old.filter(|_| is_old) else { return greeting };
        self.into[host].old_greeting = false;
        self.befell(host, Mishap::Old, "is greeted with an answer of before");
        old
    }

    /// The snapshot that a source gives, or gave once.
    pub(super) fn snapshot_from(&mut self, host: usize, source: usize, snapshot: Snapshot) -> Snapshot {
        let gave = self.into[host].snapshots.entry(source).or_default();
        gave.truncate(1);
        gave.push(snapshot.clone());
        let old = gave.first().cloned().filter(|old| old.at != snapshot.at);
        let is_old = self.into[host].old_snapshot;
        let Some(old) = old.filter(|_| is_old) else { return snapshot };
        self.into[host].old_snapshot = false;
        let what = format!("gets the snapshot of {} again, instead of {}", old.at, snapshot.at);
        self.befell(host, Mishap::Old, &what);
        old
    }

    /// The source's end of a stream is gone, and nobody tells the copy.
    fn leave_half_open(&mut self) {
        let ids: Vec<u64> = self.streams.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = *self.mishaps.pick(&ids);
        if let Some(stream) = self.streams.get_mut(&id) {
            let copy = stream.copy;
            stream.leave_half_open();
            self.befell(copy, Mishap::HalfOpen, "a stream into it is half open");
        }
    }

    /// A copy takes what comes only bit by bit.
    fn read_slowly(&mut self) {
        let ids: Vec<u64> = self.streams.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = *self.mishaps.pick(&ids);
        let until = self.now() + self.mishaps.between(500_000, 8_000_000);
        if let Some(stream) = self.streams.get_mut(&id) {
            let copy = stream.copy;
            stream.slow_until_us = until;
            self.befell(copy, Mishap::Narrow, &format!("reads a stream slowly until {until}"));
        }
    }

    /// How much later the next piece of a stream comes, if its reader is slow.
    pub(super) fn slowness(&mut self, id: u64) -> u64 {
        let now = self.now();
        let is_slow = self.streams.get(&id).is_some_and(|stream| stream.slow_until_us > now);
        if is_slow { self.mishaps.between(100_000, 900_000) } else { 0 }
    }

    /// A mishap, for the figures and the trace.
    pub(super) fn befell(&mut self, host: usize, mishap: Mishap, what: &str) {
        self.figures.faults += 1;
        self.figures.mishaps[mishap as usize] += 1;
        self.note_of(host, what);
    }

    /// It is as it was asked, and heard when it is said.
    pub(super) fn heal_lines(&mut self) {
        for into in &mut self.into {
            (into.stream, into.answer, into.asks_twice, into.late) = (None, None, false, false);
            (into.old_greeting, into.old_snapshot) = (false, false);
        }
        for stream in self.streams.values_mut() {
            stream.slow_until_us = 0;
        }
    }

    /// The next chance for whatever is drawn apart from the rest.
    pub(super) fn mishap(&mut self) -> Checked {
        if self.healed_us.is_some() {
            return Ok(());
        }
        self.after(super::fault::CHANCE_US, Event::Mishap);
        self.take_chances_of_disks()?;
        if self.comes(self.plan.faults.switch) {
            self.switch_over()?;
        }
        self.take_chances_of_lines()
    }
}
