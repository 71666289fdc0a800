//! Does what goes wrong, and undoes it.

use std::process::Command;
use std::time::{Duration, Instant};

use apograph_bench::load::send_backlog;
use apograph_bench::namespace::Outage;
use apograph_bench::process::done;

use super::Figures;
use super::place::Place;
use super::plan::{Episode, Fault, PRIMARY, SERVERS};
use super::stage::Stage;

/// A cable that flaps is out, and in again, for so long.
const FLAP: Duration = Duration::from_millis(60);
/// How long it is waited for a sync that fails to end its server: there may be none meanwhile.
const ENDS_MAX: Duration = Duration::from_secs(3);

impl Stage {
    /// Lets it go wrong, and then be well again; answers what should not have happened.
    pub(super) fn play(&mut self, episode: &Episode, figures: &mut Figures) -> Vec<String> {
        std::thread::sleep(episode.pause);
        for fault in &episode.faults {
            *figures.drawn.entry(fault.kind()).or_default() += 1;
            self.begin(*fault, figures);
        }
        std::thread::sleep(episode.holds);
        for fault in &episode.faults {
            self.end(*fault, figures);
        }
        let mut found = Vec::new();
        for (server, name) in SERVERS.into_iter().enumerate() {
            if self.servers[server].has_ended() {
                let log = self.servers[server].log();
                found.push(format!("the {name} ended by itself during {episode:?}:\n{log}"));
                self.restart(server);
            }
            self.until_it_answers(server);
        }
        found
    }

    fn begin(&mut self, fault: Fault, figures: &mut Figures) {
        match fault {
            Fault::Line(line, trouble) => self.lines[line].suffer(trouble),
            Fault::Cable(outage) => {
                if let Some(namespace) = &self.namespace {
                    namespace.suffer(outage);
                }
            }
            Fault::Flaps(times) => {
                if let Some(namespace) = &self.namespace {
                    namespace.flap(times, FLAP);
                }
            }
            Fault::MachineLost => {
                if let Some(namespace) = &self.namespace {
                    namespace.suffer(Outage::LinkDown);
                    figures.ends += 1;
                    self.servers[self.plan.apart].kill();
                }
            }
            Fault::Kill(server) => {
                figures.ends += 1;
                self.servers[server].kill();
            }
            Fault::Stop(server) => {
                figures.ends += 1;
                self.servers[server].stop();
            }
            Fault::Stall(server) => self.signal(server, "STOP"),
            Fault::PowerCut(..) => {
                let server = self.plan.lying;
                if let Some(disk) = self.lying() {
                    disk.cut();
                    figures.ends += 1;
                    self.servers[server].kill();
                }
            }
            Fault::SyncsFail { count, .. } => {
                if let Some(disk) = self.lying() {
                    disk.fail_syncs(count);
                }
            }
            Fault::SlowSyncs(milliseconds) => {
                if let Some(disk) = self.lying() {
                    disk.slow_syncs(milliseconds);
                }
            }
            Fault::LyingFull => {
                if let Some(disk) = self.lying() {
                    disk.full(true);
                }
            }
            Fault::SmallFull => {
                let small = self.places.iter().find_map(|place| match place {
                    Place::Small(disk) => Some(disk),
                    Place::Folder | Place::Lying(_) => None,
                });
                if let (None, Some(disk)) = (&self.filler, small) {
                    self.filler = Some(disk.fill());
                }
            }
            Fault::Backlog(mebibytes) => {
                send_backlog(&self.servers[PRIMARY], mebibytes).expect("nothing is wrong with the primary");
            }
        }
    }

    fn end(&mut self, fault: Fault, figures: &mut Figures) {
        match fault {
            Fault::Line(line, _) => self.lines[line].heal(),
            Fault::Cable(_) => {
                if let Some(namespace) = &self.namespace {
                    namespace.heal();
                }
            }
            Fault::MachineLost => {
                if let Some(namespace) = &self.namespace {
                    namespace.replace();
                    self.servers[self.plan.apart].start();
                }
            }
            Fault::Kill(server) | Fault::Stop(server) => self.restart(server),
            Fault::Stall(server) => self.signal(server, "CONT"),
            Fault::PowerCut(survival, seed) => {
                let server = self.plan.lying;
                if let Some(disk) = self.lying() {
                    disk.survive(survival, seed);
                    self.servers[server].start();
                }
            }
            Fault::SyncsFail { power, .. } => self.end_failing_syncs(power, figures),
            Fault::SlowSyncs(_) | Fault::LyingFull | Fault::SmallFull => heal_disks(self),
            Fault::Flaps(_) | Fault::Backlog(_) => {}
        }
    }

    /// A server whose sync failed ends by itself, if it was one of its journal: that is no fault of it.
    fn end_failing_syncs(
        &mut self,
        power: Option<(crate::disk::survival::Survival, u64)>,
        figures: &mut Figures,
    ) {
        let (server, began) = (self.plan.lying, Instant::now());
        if self.lying().is_none() {
            return;
        }
        while !self.servers[server].has_ended() && began.elapsed() < ENDS_MAX {
            std::thread::sleep(Duration::from_millis(20));
        }
        figures.ends += 1;
        if let (Some(_), Some(disk)) = (power, self.lying()) {
            disk.cut();
        }
        self.servers[server].kill();
        if let Some(disk) = self.lying() {
            disk.fail_syncs(0);
            if let Some((survival, seed)) = power {
                disk.survive(survival, seed);
            }
        }
        self.servers[server].start();
    }

    fn signal(&self, server: usize, signal: &str) {
        if let Some(process) = self.servers[server].process_id() {
            done(Command::new("kill").args([format!("-{signal}"), process.to_string()]));
        }
    }
}

/// Disks are fast again, and have space.
pub(super) fn heal_disks(stage: &mut Stage) {
    if let Some(disk) = stage.lying() {
        disk.slow_syncs(0);
        disk.full(false);
    }
    if let Some(filler) = stage.filler.take() {
        std::fs::remove_file(filler).expect("the filler is ours");
    }
}
