//! What goes wrong: drawn when there is a chance, ten times in a second, and undone after a while.

use apograph::Role;
use apograph::database::roles::{EpochStart, Promote};

use super::plan::Before;
use super::{Checked, Event, OF_A_PART, SERVERS, World};
use crate::os;

/// Between chances.
pub(super) const CHANCE_US: u64 = 100_000;
/// Who is promoted: the only copy that the primary knows.
const HEIR: usize = 1;

/// What is undone later.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// There is room on the disk again.
    Emptied(usize),
    /// The disk is as fast as before.
    Fast(usize),
    /// The disk is what it was before.
    SetBack(usize),
    /// A person looks for what rotted.
    Scrubbed(usize),
    /// The line is whole again, both ways.
    Joined(usize, usize),
    /// A copy is promoted, whatever stands against it that may be forced.
    Promoted,
}

impl World {
    pub(super) fn take_chances(&mut self) -> Checked {
        if self.healed_us.is_some() {
            return Ok(());
        }
        self.after(CHANCE_US, Event::Chance);
        let faults = self.plan.faults.clone();
        for host in 0..self.servers.len() {
            if self.server(host).up.is_none() {
                continue;
            }
            let mut comes = |rate: u64| self.chances.below(10_000) < rate;
            let (power, kill, restart) = (comes(faults.power), comes(faults.kill), comes(faults.restart));
            let (sync, full, pause) = (comes(faults.sync), comes(faults.full), comes(faults.pause));
            let clock = comes(faults.clock);
            if power {
                // In the middle of something, sooner or later.
                let (cut_in, is_sync) = (self.chances.below(120), self.chances.chance(400));
                if is_sync {
                    // Between the syncs of one transaction, say.
                    let cut_in = cut_in / 6;
                    self.fault(host, &format!("will lose its power before sync {cut_in}"));
                    os::with(|os| os.host(host).cut_at_sync_in = Some(cut_in));
                } else {
                    self.fault(host, &format!("will lose its power in {cut_in} operations"));
                    os::with(|os| os.host(host).cut_in = Some(cut_in));
                }
            } else if kill {
                self.fault(host, "will be killed");
                self.die(host, false)?;
                continue;
            } else if restart {
                self.fault(host, "will be restarted");
                self.restart(host)?;
                continue;
            }
            if sync {
                let fail_in = self.chances.below(20);
                self.fault(host, &format!("sync {fail_in} will fail"));
                os::with(|os| os.host(host).fail_sync_in = Some(fail_in));
            }
            if full && !os::with(|os| os.host(host).is_full) {
                self.fault(host, "has no room on its disk");
                os::with(|os| os.host(host).is_full = true);
                let until = self.chances.between(10_000, 4_000_000);
                self.after(until, Event::Fault(Fault::Emptied(host)));
            }
            if pause {
                let us = self.chances.between(50_000, 15_000_000);
                self.fault(host, &format!("stands still for {us} us"));
                let until = self.now() + us;
                self.server(host).paused_until_us = until;
            }
            if clock {
                let most = 86_400_000_000;
                let us = self.chances.below(2 * most).cast_signed() - most.cast_signed();
                self.fault(host, &format!("has a clock that is wrong by {us} us"));
                os::with(|os| os.host(host).skew_us = us);
            }
        }
        if self.chances.below(10_000) < faults.cut {
            self.cut_a_line();
        }
        if self.chances.below(10_000) < faults.reset {
            self.figures.faults += 1;
            self.note("line", "a connection breaks");
            self.break_one_stream();
        }
        Ok(())
    }

    fn fault(&mut self, host: usize, what: &str) {
        self.figures.faults += 1;
        self.note_of(host, what);
    }

    fn cut_a_line(&mut self) {
        let one = self.chances.index(self.servers.len());
        let other = (one + 1 + self.chances.index(self.servers.len() - 1)) % self.servers.len();
        let both = self.chances.chance(500);
        self.cut[one][other] = true;
        self.cut[other][one] |= both;
        self.figures.faults += 1;
        let ways = if both { "to and from" } else { "to" };
        self.note_of(one, &format!("nothing comes {ways} {}", SERVERS[other].0));
        let until = self.chances.between(10_000, 15_000_000);
        self.after(until, Event::Fault(Fault::Joined(one, other)));
    }

    pub(super) fn befall(&mut self, fault: Fault) -> Checked {
        match fault {
            Fault::Emptied(host) => {
                self.note_of(host, "has room on its disk");
                os::with(|os| os.host(host).is_full = false);
            }
            Fault::Fast(host) => self.is_fast(host),
            Fault::SetBack(host) => return self.set_back(host),
            Fault::Scrubbed(host) => return self.scrub(host),
            Fault::Joined(one, other) => {
                self.note_of(one, &format!("is joined with {}", SERVERS[other].0));
                self.cut[one][other] = false;
                self.cut[other][one] = false;
            }
            Fault::Promoted => return self.promote_now(true),
        }
        Ok(())
    }

    /// A person thinks that the primary is lost.
    pub(super) fn promote(&mut self) -> Checked {
        self.figures.faults += 1;
        match self.plan.faults.before {
            Before::Dies => {
                if self.server(0).up.is_some() {
                    self.note_of(0, "is to be replaced");
                    self.die(0, true)?;
                }
            }
            Before::IsCutOff => {
                self.note_of(0, "is cut off from all others");
                let until = self.chances.between(1_000_000, 10_000_000);
                for other in 1..self.servers.len() {
                    self.cut[0][other] = true;
                    self.cut[other][0] = true;
                    self.after(until, Event::Fault(Fault::Joined(0, other)));
                }
            }
            Before::Nothing => {}
        }
        self.after(self.plan.latency_us, Event::Fault(Fault::Promoted));
        self.promote_a_part()
    }

    /// A copy of a part is never primary, whatever somebody wants.
    fn promote_a_part(&mut self) -> Checked {
        if self.plan.part.is_none() {
            return Ok(());
        }
        let Some(database) = self.server(OF_A_PART).database() else { return Ok(()) };
        let reason = "nobody else is left".to_owned();
        let order = Promote { reason, force: true, ..Promote::default() };
        let refused = os::as_host(OF_A_PART, || database.promote(order));
        match refused {
            Err(error) => self.note_of(OF_A_PART, &format!("is not promoted: {error}")),
            Ok(promoted) => return Err(format!("a copy of a part is promoted: {promoted:?}")),
        }
        if database.role() != Role::Replica {
            return Err(format!("a copy of a part is {}", database.role()));
        }
        self.look_around(OF_A_PART)
    }

    fn promote_now(&mut self, tries_again: bool) -> Checked {
        let again = |world: &mut World| {
            if tries_again && world.healed_us.is_none() {
                world.after(500_000, Event::Fault(Fault::Promoted));
            }
        };
        let Some(database) = self.server(HEIR).database().filter(|database| database.role() == Role::Replica)
        else {
            again(self);
            return Ok(());
        };
        if self.server(HEIR).paused_until_us > self.now() || self.acting == HEIR {
            return Ok(());
        }
        let order = Promote { reason: "the primary is lost".to_owned(), ..Promote::default() };
        let promoted = os::as_host(HEIR, || database.promote(order));
        // A crash in the middle is finished by the next start: what began shows then.
        let began = database.epochs().pop();
        let is_primary = database.role() == Role::Primary;
        match promoted {
            Ok(promoted) => {
                self.note_of(HEIR, &format!("is promoted: epoch {} from {}", promoted.epoch, promoted.base));
            }
            Err(error) => self.note_of(HEIR, &format!("is not promoted: {error}")),
        }
        if is_primary && !os::with(|os| os.host(HEIR).is_cut) {
            if let Some(start) = began {
                self.began(HEIR, start)?;
            }
            self.roles_changed(HEIR);
        } else {
            again(self);
        }
        self.look_around(HEIR)
    }

    /// An epoch began: from here on its primary's history is what happened.
    pub(super) fn began(&mut self, host: usize, start: EpochStart) -> Checked {
        let Some(me) = self.server(host).up.as_ref().map(|up| up.folder.identity().key) else {
            return Ok(());
        };
        if self.acting == host || start.primary.key != me || start.epoch <= self.epoch {
            return Ok(());
        }
        if self.given.contains(&start.epoch) && start.base < self.truth.visible {
            let (name, base, visible) = (SERVERS[host].0, start.base, self.truth.visible);
            return Err(format!(
                "{name} was given the role with everything up to {visible}, and begins at {base}"
            ));
        }
        self.figures.promotions += 1;
        self.acting = host;
        // What it was before it began this is never what it is again.
        self.kept[host] = None;
        self.epoch = start.epoch;
        self.history.epoch(start.epoch, start.base, SERVERS[host].0);
        self.truth.begin(start);
        Ok(())
    }
}
