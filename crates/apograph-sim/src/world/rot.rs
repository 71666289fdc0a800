//! Bits of a copy's disk become others. What is read is never wrong; a person heals what does not heal by itself.

use apograph::Database;
use apograph::format::{Timestamp, View};

use super::fault::Fault;
use super::settle::journal;
use super::{Checked, Event, Mishap, World};
use crate::disk::survival::Image;
use crate::os;

/// Whoever is not equal so long after the last fault begins anew.
pub(super) const PATIENCE_US: u64 = 60_000_000;

impl World {
    /// May bits of its disk rot? What is nowhere else may not: a server that is primary, was it, or may become it.
    fn may_rot(&self, host: usize) -> bool {
        match host {
            0 => false,
            1 => self.plan.faults.promote_at_us.is_none() && self.plan.faults.switch == 0,
            _ => true,
        }
    }

    /// Bits of one of its files are others, whether it runs or not.
    pub(super) fn rot(&mut self, host: usize) -> Checked {
        if !self.may_rot(host) {
            return Ok(());
        }
        let image = os::shown(host);
        // Settings are for people: another value is another setting.
        let is_any =
            |path: &std::path::Path, bytes: &[u8]| !bytes.is_empty() && !path.ends_with("server.json");
        let files: Vec<_> = image.files().filter(|(path, bytes)| is_any(path, bytes)).collect();
        if files.is_empty() {
            return Ok(());
        }
        let (path, bytes) = *self.mishaps.pick(&files);
        for _ in 0..self.mishaps.between(1, 4) {
            let (at, bit) = (self.mishaps.index(bytes.len()), self.mishaps.below(8));
            os::rot(host, path, at, bytes[at] ^ (1 << bit)).map_err(|error| format!("rot: {error}"))?;
        }
        self.server(host).is_rotten = true;
        self.befell(host, Mishap::Rot, &format!("bits of {} are others", path.display()));
        Ok(())
    }

    /// The server did not do what it cannot do well.
    pub(super) fn noticed(&mut self, host: usize, what: &str) {
        self.figures.mishaps[Mishap::Noticed as usize] += 1;
        self.note_of(host, &format!("notices: {what}"));
    }

    /// It is another server then, with the same name.
    pub(super) fn begin_anew(&mut self, host: usize) -> Checked {
        self.figures.mishaps[Mishap::Anew as usize] += 1;
        self.note_of(host, "begins anew, with an empty disk");
        if self.server(host).up.is_some() {
            self.end(host)?;
        }
        self.kept[host] = None;
        if self.healed_us.is_some() {
            self.write_more();
        }
        os::set_to(host, &Image::default())
            .map_err(|error| format!("the disk of the simulation: {error}"))?;
        self.server(host).is_rotten = false;
        self.make(host)?;
        self.after(500_000, Event::Start(host));
        Ok(())
    }

    /// A copy that has to synchronize with one that began anew waits until there is something newer than it shows
    /// (`docs/operate/synchronize.md`).
    fn write_more(&mut self) {
        self.plan.transactions += 4;
        for client in 0..self.clients.len() {
            self.after(10_000_000, Event::Client(client));
        }
    }

    /// A person replaces disks that rotted, or starts what is on them and looks for damage.
    pub(super) fn heal_rot(&mut self) -> Checked {
        if self.figures.mishaps[Mishap::Anew as usize] > 0 {
            self.write_more();
        }
        for host in 0..self.servers.len() {
            if !self.server(host).is_rotten {
                continue;
            }
            if self.mishaps.chance(300) {
                self.begin_anew(host)?;
                continue;
            }
            if self.server(host).up.is_some() {
                self.restart(host)?;
            }
            self.after(5_000_000, Event::Fault(Fault::Scrubbed(host)));
        }
        Ok(())
    }

    /// Everything of its store is read; what is damaged a synchronization brings anew.
    pub(super) fn scrub(&mut self, host: usize) -> Checked {
        let Some(database) = self.server(host).database().filter(|_| self.servers[host].is_rotten) else {
            return Ok(());
        };
        match os::as_host(host, || database.look_for_damage()) {
            Ok(_) if !database.has_suspects() => self.note_of(host, "finds no damage"),
            Ok(_) => self.noticed(host, &format!("is damaged: {:?}", database.suspects())),
            Err(error) => self.noticed(host, &format!("cannot be read: {error}")),
        }
        self.look_around(host)
    }

    /// A person has waited for long enough.
    pub(super) fn lose_patience(&mut self, since_us: u64) -> Checked {
        if since_us < PATIENCE_US {
            return Ok(());
        }
        for host in 0..self.servers.len() {
            if self.server(host).is_rotten {
                self.begin_anew(host)?;
            }
        }
        Ok(())
    }

    /// Everything looks equal: can everything of it be read, and does nothing warn? What cannot be read is replaced.
    pub(super) fn is_still_rotten(&mut self) -> Checked<bool> {
        let mut is_rotten = false;
        for host in 0..self.servers.len() {
            let Some(database) = self.server(host).database().filter(|_| self.servers[host].is_rotten) else {
                continue;
            };
            if let Err(error) = os::as_host(host, || read_all(&database)) {
                self.noticed(host, &error);
                self.begin_anew(host)?;
                is_rotten = true;
            }
        }
        Ok(is_rotten)
    }
}

/// Everything that is compared in the end. What is read is compared later.
fn read_all(database: &Database) -> Checked {
    let alarms = database.alarms();
    if let Some(alarm) = alarms.first() {
        return Err(alarm.clone());
    }
    let unread = |error: &dyn std::fmt::Display| error.to_string();
    let views: &[View] = if database.view() == View::Full { &View::ALL } else { &[View::Published] };
    for view in views {
        for line in database.export(*view, None).map_err(|error| unread(&error))? {
            line.map_err(|error| unread(&error))?;
        }
    }
    database.orphans(Timestamp::ZERO, 10_000).map_err(|error| unread(&error))?;
    if database.view() == View::Full {
        for partition in database.held_partitions().iter() {
            journal(database, partition)?;
        }
    }
    Ok(())
}
