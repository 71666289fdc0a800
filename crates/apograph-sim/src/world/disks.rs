//! What disks do beside failing at once: they are slow.

use super::fault::Fault;
use super::{Checked, Event, Mishap, SERVERS, World};
use crate::os;

impl World {
    /// Things happen to disks.
    pub(super) fn take_chances_of_disks(&mut self) -> Checked {
        let faults = self.plan.faults.clone();
        for host in 0..SERVERS.len() {
            if self.comes(faults.slow) {
                self.slow_down(host);
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
