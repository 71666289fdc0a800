//! The end of a run: nothing goes wrong any more, everything becomes equal in a bounded time, and is judged.

use std::collections::BTreeMap;
use std::path::Path;

use apograph::Database;
use apograph::format::{Digest, Frame, PartitionId, Position, Timestamp, View};
use apograph::read::{ExportQuery, Scope};
use apograph_replication::link::State;
use bytes::{Bytes, BytesMut};

use super::large::marks;
use super::rot::PATIENCE_US;
use super::{Checked, Event, OF_A_PART, SERVERS, World};
use crate::os;

/// From the last fault until all copies are equal, at most: a stopped link asks again after half a minute, and may have to
/// do so at every copy in a chain.
pub(super) const SETTLE_MAX_US: u64 = 240_000_000;
/// No mark is longer.
const MARK_BYTES_MAX: usize = 100;
/// Between looks.
const LOOK_US: u64 = 1_000_000;

impl World {
    /// Nothing goes wrong from here on.
    pub(super) fn heal(&mut self) -> Checked {
        self.note("line", "nothing goes wrong from here on");
        let now = self.now();
        self.healed_us = Some(now);
        self.cut = Default::default();
        self.heal_lines();
        for host in 0..self.servers.len() {
            os::with(|os| {
                let host = os.host(host);
                (host.cut_in, host.cut_at_sync_in) = (None, None);
                (host.fail_sync_in, host.is_full) = (None, false);
                (host.slow_us, host.busy_until_us) = ((0, 0), 0);
            });
            self.server(host).paused_until_us = now;
            if self.server(host).up.is_none() {
                self.after(100_000, Event::Start(host));
            }
        }
        self.heal_rot()?;
        self.after(LOOK_US, Event::Settled);
        Ok(())
    }

    /// Is everything equal? Then it is judged, and the run ends.
    pub(super) fn look_if_settled(&mut self) -> Checked<bool> {
        let since = self.now() - self.healed_us.unwrap_or_default();
        match self.is_settled() {
            Ok(()) => {}
            Err(reason) if since > SETTLE_MAX_US => {
                return Err(format!("not settled after {} s: {reason}", since / 1_000_000));
            }
            Err(_) => {
                self.lose_patience(since)?;
                self.introduce(since)?;
                self.after(LOOK_US, Event::Settled);
                return Ok(false);
            }
        }
        if self.is_still_rotten()? {
            self.after(LOOK_US, Event::Settled);
            return Ok(false);
        }
        self.figures.settled_us = since;
        self.note("line", &format!("settled after {} s", since / 1_000_000));
        for host in 0..self.servers.len() {
            self.witness_orphans(host)?;
        }
        self.judge()?;
        Ok(true)
    }

    fn is_settled(&mut self) -> Result<(), String> {
        if self.clients.iter().any(|client| !client.is_done(self.plan.transactions)) {
            return Err("clients still write".to_owned());
        }
        let acting = self.acting;
        let primary = self.server(acting).database().ok_or("the primary is down")?;
        let of_primary = primary.status().map_err(|error| error.to_string())?;
        let ends: BTreeMap<PartitionId, Position> =
            of_primary.partitions.iter().map(|of| (of.partition, of.journal_end)).collect();
        for partition in &of_primary.partitions {
            if partition.last_checkpoint != Some(partition.journal_end) {
                return Err("the primary has no checkpoint at its end".to_owned());
            }
        }
        for (host, (name, _)) in SERVERS.iter().enumerate().take(self.servers.len()) {
            let database = self.server(host).database().ok_or(format!("{name} is down"))?;
            let status = database.status().map_err(|error| error.to_string())?;
            if let Some(reason) = status.stopped {
                return Err(format!("{name} stopped: {reason}"));
            }
            if status.partitions.iter().any(|partition| partition.erasures_pending > 0) {
                return Err(format!("{name} has bytes to erase"));
            }
            if host == acting {
                continue;
            }
            let state = self.link(host).map(|driver| driver.link.state());
            if state != Some(State::Following) {
                let state = state.map_or("there is none", State::as_str);
                return Err(format!("the link into {name}: {state}"));
            }
            let at = |partition: &apograph::status::PartitionStatus| match database.view() {
                View::Full => Some(partition.journal_end),
                View::Published => partition.source,
            };
            let is_there = |partition: &apograph::status::PartitionStatus| {
                at(partition) == ends.get(&partition.partition).copied()
            };
            // A copy of a part knows the time of what it does not hold, too.
            if !status.partitions.iter().all(is_there)
                || database.is_part() && database.visible() != primary.visible()
            {
                return Err(format!("{name} is not at the end of the primary"));
            }
        }
        Ok(())
    }

    /// A copy of a part may never have been told of who is primary, where it does not know its source either. Then a person
    /// has it follow one that it knows (`docs/operate/partitions.md`): the first primary.
    fn introduce(&mut self, since_us: u64) -> Checked {
        if since_us < PATIENCE_US || self.plan.part.is_none() || self.server(OF_A_PART).source == Some(0) {
            return Ok(());
        }
        let state = self.link(OF_A_PART).map(|driver| driver.link.state());
        if self.server(OF_A_PART).up.is_none() || state == Some(State::Following) {
            return Ok(());
        }
        self.note_of(OF_A_PART, "is to follow one that it knows");
        self.figures.introduced += 1;
        self.server(OF_A_PART).source = Some(0);
        self.restart(OF_A_PART)
    }

    /// What a failover cut off, and a server lists.
    fn witness_orphans(&mut self, host: usize) -> Checked {
        let Some(database) = self.server(host).database() else { return Ok(()) };
        let orphans = os::as_host(host, || database.orphans(Timestamp::ZERO, 10_000));
        let orphans = orphans.map_err(|error| format!("{} cannot list orphans: {error}", SERVERS[host].0))?;
        for orphan in orphans {
            // What it does not hold of a transaction, others list.
            if !orphan.is_whole && database.is_part() {
                continue;
            }
            if !orphan.is_whole && self.plan.retention_bytes_max.is_none() {
                return Err(format!("{} lists half of {}", SERVERS[host].0, orphan.token));
            }
            self.history.orphan(orphan.token, SERVERS[host].0);
        }
        Ok(())
    }

    fn judge(&mut self) -> Checked {
        let acting = self.acting;
        let Some(primary) = self.server(acting).database() else { return Ok(()) };
        self.read_at(acting, Some(primary.visible()))?;
        // What was cut off may be retired before it is listed, like anything else in a journal that is bounded.
        let lists_all = self.plan.retention_bytes_max.is_none();
        self.history.judge(&self.truth, lists_all)?;
        self.look_at_texts(acting, &primary)?;
        for (host, (name, _)) in SERVERS.iter().enumerate().take(self.servers.len()) {
            let Some(database) = self.server(host).database() else { continue };
            let alarms = database.alarms();
            // What a disk refused was said, and is over.
            if let Some(alarm) = alarms.iter().find(|alarm| !alarm.contains("os error")) {
                return Err(format!("{name} has an alarm in the end: {alarm}"));
            }
            self.read_at(host, Some(database.visible()))?;
            if host != acting {
                equal(&primary, &database).map_err(|error| format!("{name}: {error}"))?;
            }
            os::compare(host)?;
            self.look_for_secrets(host, database.view())?;
        }
        Ok(())
    }

    /// Does a disk hold what it must not?
    fn look_for_secrets(&mut self, host: usize, view: View) -> Checked {
        let secrets = self.truth.secrets(|write, uri| marks(&self.plan, write, uri));
        let purged = secrets.purged();
        let never_live = if view == View::Published { secrets.never_live() } else { Default::default() };
        let folder = os::with(|os| os.folder(host));
        let mut files = BTreeMap::new();
        os::away(|| read_all(&folder, &mut files)).map_err(|error| error.to_string())?;
        for (path, bytes) in files {
            // What a failover cut off is kept as it was.
            if path.contains(".fork-") {
                continue;
            }
            let found = marks_in(&bytes).find_map(|secret| {
                let why = if purged.contains(secret) {
                    "purged"
                } else if never_live.contains(secret) {
                    "never published"
                } else {
                    return None;
                };
                Some((secret, why))
            });
            if let Some((secret, why)) = found {
                let name = SERVERS[host].0;
                return Err(format!("{name} holds {secret}, which was {why}, in {path}"));
            }
        }
        Ok(())
    }
}

/// What stands in brackets, with them.
fn marks_in(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let begins = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'[');
    begins.filter_map(|(start, _)| {
        let rest = bytes.get(start..)?;
        let end = rest.iter().take(MARK_BYTES_MAX).position(|byte| *byte == b']')?;
        str::from_utf8(rest.get(..=end)?).ok()
    })
}

fn read_all(folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_all(&path, files)?;
        } else {
            files.insert(path.display().to_string(), std::fs::read(&path)?);
        }
    }
    Ok(())
}

/// Digests, exports, and journals of what both have.
pub(super) fn equal(primary: &Database, copy: &Database) -> Checked {
    let view = copy.view();
    let at = copy.visible();
    let digest = |of: &Database| digests(of, copy, at);
    let (here, there) = (digest(copy), digest(primary));
    match (here, there) {
        (Ok(here), Ok(there)) if here == there => {}
        (here, there) => return Err(format!("digests differ as of {at}: {here:?}, {there:?}")),
    }
    let partitions = copy.is_part().then(|| copy.held_partitions());
    let query = ExportQuery { view, scope: Scope::Whole, partitions, as_of: Some(at), lists_damage: false };
    let export = |of: &Database| of.export_of(query.clone()).map_err(|error| error.to_string());
    let (mut here, mut there) = (export(copy)?, export(primary)?);
    loop {
        let of_both = (here.next().transpose(), there.next().transpose());
        match of_both {
            (Ok(None), Ok(None)) => break,
            (Ok(here), Ok(there)) if here == there => {}
            (Ok(here), Ok(there)) => {
                let brief =
                    |line: Option<String>| line.map(|line| line.chars().take(2_000).collect::<String>());
                return Err(format!("exports differ as of {at}: {:?}, {:?}", brief(here), brief(there)));
            }
            (Err(error), _) | (_, Err(error)) => return Err(error.to_string()),
        }
    }
    if view != View::Full {
        return Ok(());
    }
    for partition in copy.held_partitions().iter() {
        let (here, there) = (journal(copy, partition)?, journal(primary, partition)?);
        for (sequence, bytes) in &here {
            if there.get(sequence).is_some_and(|other| other != bytes) {
                return Err(format!("journals of partition {partition} differ in entry {sequence}"));
            }
        }
    }
    Ok(())
}

/// Of each partition that the copy holds.
fn digests(of: &Database, copy: &Database, at: Timestamp) -> Checked<Vec<Digest>> {
    let found = of.digest_at(copy.view(), at).map_err(|error| error.to_string())?;
    let held = of.held_partitions().iter().zip(found.partitions);
    let common = held.filter(|(partition, _)| copy.held_partitions().contains(*partition));
    Ok(common.map(|(_, digest)| digest).collect())
}

/// The entries of a journal that are still there.
pub(super) fn journal(database: &Database, partition: PartitionId) -> Checked<BTreeMap<u64, Bytes>> {
    let status = database.status().map_err(|error| error.to_string())?;
    let start = status.partitions.iter().find(|found| found.partition == partition);
    let start = start.ok_or("no such partition")?.journal_start;
    let mut feed = database.feed(partition, View::Full, start, None).map_err(|error| error.to_string())?;
    let (mut entries, mut buffer) = (BTreeMap::new(), BytesMut::new());
    while let Some(piece) = feed.next(1 << 20).map_err(|error| error.to_string())? {
        buffer.extend_from_slice(&piece);
        while let Some(frame) = Frame::take(&mut buffer).map_err(|error| error.to_string())? {
            if let Frame::Entry(entry) = frame {
                entries.insert(entry.header().sequence, entry.bytes().clone());
            }
        }
    }
    Ok(entries)
}
