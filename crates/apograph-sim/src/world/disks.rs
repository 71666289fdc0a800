//! What disks do beside failing at once: they are slow.

use apograph::Role;

use super::fault::Fault;
use super::{Checked, Event, Mishap, World};
use crate::os;

impl World {
    /// Things happen to disks.
    pub(super) fn take_chances_of_disks(&mut self) -> Checked {
        let faults = self.plan.faults.clone();
        for host in 0..self.servers.len() {
            if self.comes(faults.slow) {
                self.slow_down(host);
            }
            if self.comes(faults.rot) {
                self.rot(host)?;
            }
            if self.comes(faults.set_back) && self.kept[host].is_none() && self.is_copy(host) {
                self.note_of(host, "somebody keeps a copy of its disk");
                self.kept[host] = Some(os::shown(host));
                let until = self.mishaps.between(300_000, 12_000_000);
                self.after(until, Event::Fault(Fault::SetBack(host)));
            }
        }
        Ok(())
    }

    fn slow_down(&mut self, host: usize) {
        let sync_us = *self.mishaps.pick(&[5_000, 60_000, 400_000, 1_500_000]);
        let other_us = *self.mishaps.pick(&[0, sync_us / 100, sync_us / 10]);
        os::with(|os| os.host(host).slow_us = (sync_us, other_us));
        let lasts = self.mishaps.between(500_000, 8_000_000);
        self.befell(
            host,
            Mishap::Slow,
            &format!("has a slow disk: {sync_us} us for a sync, {other_us} us for others"),
        );
        self.after(lasts, Event::Fault(Fault::Fast(host)));
    }

    pub(super) fn is_fast(&mut self, host: usize) {
        self.note_of(host, "has a fast disk again");
        os::with(|os| os.host(host).slow_us = (0, 0));
    }

    /// Does it run, and is there more of what it holds elsewhere?
    fn is_copy(&mut self, host: usize) -> bool {
        let role = self.server(host).database().map(|database| database.role());
        host != self.acting && role.is_some_and(|role| role != Role::Primary)
    }

    /// Was it given the role, and did it not begin yet?
    fn awaits_its_beginning(&mut self, host: usize) -> bool {
        let epoch = self.epoch;
        (0..self.servers.len()).any(|giver| {
            let handover = self.server(giver).database().and_then(|database| database.handover());
            let handover = handover.filter(|handover| handover.epoch > epoch);
            self.is_given_to(host, handover.as_ref())
        })
    }

    /// Its disk is lost, and somebody puts an old copy in its place.
    pub(super) fn set_back(&mut self, host: usize) -> Checked {
        let Some(image) = self.kept[host].take().filter(|_| self.healed_us.is_none()) else { return Ok(()) };
        // Whom the role was given, and who lost what it goes with, cannot begin; then somebody has to decide.
        if !self.is_copy(host) || self.awaits_its_beginning(host) {
            return Ok(());
        }
        self.befell(host, Mishap::SetBack, "is killed, and has the disk that somebody kept");
        self.end(host)?;
        os::set_to(host, &image).map_err(|error| format!("the disk of the simulation: {error}"))?;
        let down = self.mishaps.between(50_000, 4_000_000);
        self.after(down, Event::Start(host));
        Ok(())
    }

    /// Until when a server waits for its disk.
    pub(super) fn busy_until(&self, host: usize) -> u64 {
        os::with(|os| os.host(host).busy_until_us)
    }

    /// Does it wait for its disk? Then whoever waits for it hears of it when that is over.
    pub(super) fn is_at_work(&mut self, host: usize) -> bool {
        let until = self.busy_until(host);
        if until <= self.now() {
            return false;
        }
        let server = self.server(host);
        let life = server.life;
        if server.rests_us < until {
            server.rests_us = until;
            self.at(until, Event::Rested(host, life));
        }
        true
    }

    /// Its disk has done what it was asked.
    pub(super) fn rested(&mut self, host: usize) -> Checked {
        self.look_around(host)
    }
}
