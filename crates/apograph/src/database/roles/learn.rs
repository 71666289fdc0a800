//! What others say about epochs, and what this server makes of it.
//!
//! A name and a key are believed if a server document of the database says them, or if they were a primary's before: both
//! came through a chain that a trusted primary signed. Anybody else may say what he likes.

use apograph_format::{EpochFacts, ServerKey};

use super::super::state::Shared;
use super::super::worker::Worker;
use super::{Database, EpochStart, RoleError};
use crate::Role;
use crate::error::TakeError;
use crate::status::ServerIdentity;

impl Database {
    /// Takes in who began which epoch, as another server of this database says. A primary that hears of a higher epoch
    /// is fenced from then on, and one that hears of another primary of its own epoch as well. Blocks; durable on
    /// return. Epochs of servers that nothing here knows are refused, after all others were taken in.
    pub fn learn(&self, epochs: Vec<EpochStart>) -> Result<(), RoleError> {
        let news = {
            let file = self.shared.file();
            epochs.iter().any(|start| !file.epochs.contains(start))
        };
        if !news {
            return Ok(());
        }
        self.on_worker(move |worker| worker.learn(epochs))?
    }

    /// A fenced primary becomes a replica of the one that followed it. What only it has stays in its journals until it
    /// synchronizes. Blocks; durable on return.
    pub fn become_replica(&self) -> Result<(), RoleError> {
        self.on_worker(|worker| {
            if worker.shared.role() != Role::Primary {
                return Ok(());
            }
            let epoch = worker.shared.epoch();
            if worker.shared.fenced().is_none_or(|fenced| fenced.seen <= epoch) {
                return Err(RoleError::NotFenced);
            }
            worker.release_writes();
            worker.shared.change_file(|file| {
                file.role = Role::Replica;
                file.rival = None;
            })?;
            Ok(())
        })?
    }
}

impl Database {
    /// The server that this one stepped down for says that it is primary now. Blocks; durable on return.
    pub fn confirm_handover(&self, to: &ServerKey) -> Result<(), RoleError> {
        let is_for = |shared: &Shared, to: &ServerKey| {
            shared.file().handover.as_ref().is_some_and(|handover| handover.to.key == *to)
        };
        if !is_for(&self.shared, to) {
            return Ok(());
        }
        let to = *to;
        self.on_worker(move |worker| {
            if is_for(&worker.shared, &to) {
                worker.shared.change_file(|file| file.handover = None)?;
            }
            Ok(())
        })?
    }
}

impl Worker {
    fn learn(&mut self, mut epochs: Vec<EpochStart>) -> Result<(), RoleError> {
        epochs.sort_by_key(|start| start.epoch);
        let mut unknown = None;
        for start in epochs {
            let (known, is_news) = {
                let file = self.shared.file();
                let known = file.epochs.iter().find(|known| known.epoch == start.epoch).cloned();
                (known, start.epoch > file.epoch)
            };
            match known {
                Some(known) if known.primary.key == start.primary.key => {}
                Some(_) => self.rival(start)?,
                None if self.shared.knows(&start.primary.key) => {
                    self.shared.change_file(|file| file.note(start))?;
                    if is_news {
                        self.epoch_rose()?;
                    }
                }
                None => {
                    unknown =
                        Some(RoleError::UnknownServer { name: start.primary.name, key: start.primary.key });
                }
            }
        }
        unknown.map_or(Ok(()), Err)
    }

    /// A higher epoch is known: what is here of it, and what must go.
    fn epoch_rose(&mut self) -> Result<(), RoleError> {
        if let Some(fenced) = self.shared.fenced() {
            let name = &self.shared.name;
            tracing::error!(database = %name, reason = %fenced.reason, "this server is no primary any more");
            self.release_writes();
        }
        if self.shared.role() == Role::Primary || self.shared.sync_marker().is_some() {
            return Ok(());
        }
        // What is incomplete and later than the new history begins will never be complete.
        let is_cut = self.ends_beyond_base();
        if is_cut {
            self.cut_incomplete().map_err(|reason| RoleError::Stopped { reason })?;
            self.shared.find_sources().map_err(|reason| RoleError::Stopped { reason })?;
        }
        Ok(())
    }

    fn ends_beyond_base(&self) -> bool {
        let file = self.shared.file();
        let visible = self.shared.visible();
        let Some(base) = file.epochs.last().map(|start| start.base) else { return false };
        visible <= base
            && self.shared.partitioning.all().zip(&self.journals).any(|(partition, journal)| {
                let applied = self.applier.position(partition);
                let epoch = journal.end().epoch;
                applied.is_some_and(|at| at.sequence < journal.end().sequence)
                    && file.is_cut(epoch, journal.end_timestamp())
            })
    }

    /// Another primary of an epoch that is known here: one of them is wrong, and nobody can know which.
    fn rival(&mut self, start: EpochStart) -> Result<(), RoleError> {
        let is_mine = self.shared.role() == Role::Primary && start.epoch == self.shared.epoch();
        if !is_mine {
            self.shared.alarm(format!(
                "two primaries of epoch {}: {} ({}) and another one that is known here",
                start.epoch, start.primary.name, start.primary.key
            ));
        }
        if is_mine && self.shared.file().rival.is_none() && self.shared.knows(&start.primary.key) {
            self.shared.change_file(|file| file.rival = Some(start.primary))?;
            self.release_writes();
        }
        Ok(())
    }

    /// An `epoch` entry arrived: is its primary one that may be?
    pub(in crate::database) fn verify_epoch(&self, epoch: u64, facts: &EpochFacts) -> Result<(), TakeError> {
        let refused = |reason: String| TakeError::Refused { reason };
        if epoch <= facts.previous_epoch {
            return Err(refused(format!("epoch {epoch} does not follow epoch {}", facts.previous_epoch)));
        }
        let known = self.shared.file().epochs.iter().find(|known| known.epoch == epoch).cloned();
        match known {
            Some(known) if known.primary.key == facts.primary => Ok(()),
            Some(known) => Err(refused(format!(
                "epoch {epoch} of {}, and the primary of this epoch is {}",
                facts.primary, known.primary.key
            ))),
            None if self.shared.knows(&facts.primary) => Ok(()),
            None => Err(TakeError::UnknownPrimary { epoch, key: facts.primary }),
        }
    }

    /// It is appended, and about to be synced.
    pub(in crate::database) fn note_epoch(&self, epoch: u64, facts: &EpochFacts) -> Result<(), String> {
        let is_known = {
            let file = self.shared.file();
            let start = file.epochs.iter().find(|known| known.epoch == epoch);
            start.is_some_and(|start| start.base == facts.base) && file.handover.is_none()
        };
        if is_known {
            return Ok(());
        }
        let primary = self.shared.server_of(&facts.primary);
        let noted = self.shared.change_file(|file| {
            let known = file.epochs.iter().find(|known| known.epoch == epoch);
            let primary = primary.or_else(|| known.map(|known| known.primary.clone()));
            let unnamed = ServerIdentity { name: facts.primary.to_string(), key: facts.primary, url: None };
            file.note(EpochStart { epoch, base: facts.base, primary: primary.unwrap_or(unnamed) });
            file.handover.take_if(|handover| handover.epoch <= epoch);
        });
        noted.map_err(|error| super::super::worker::chain(&error))
    }
}

impl Shared {
    /// May this key be a primary's?
    pub(in crate::database) fn knows(&self, key: &ServerKey) -> bool {
        let was_primary = self.file().epochs.iter().any(|start| start.primary.key == *key);
        was_primary || self.server_of(key).is_some()
    }
}
