//! What others say about epochs, and what this server makes of it.
//!
//! A name and a key are believed if a server document of the database says them, or if they were a primary's before: both
//! came through a chain that a trusted primary signed. Anybody else may say what he likes.

use apograph_format::{Epoch, EpochFacts, Right, ServerKey};

use super::super::state::Shared;
use super::super::worker::Worker;
use super::{Database, EpochStart, Promote, RoleError};
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
            if !self.may_be_decided(start.epoch, start.previous, &start.primary.key) {
                let EpochStart { epoch, primary: ServerIdentity { name, key, .. }, .. } = start;
                unknown = Some(RoleError::NotItsEpoch { epoch, name, key });
                continue;
            }
            let (known, is_news) = {
                let file = self.shared.file();
                let known = file.epochs.iter().find(|known| known.epoch == start.epoch).cloned();
                (known, start.epoch > file.epoch)
            };
            match known {
                Some(known) if known.primary.key == start.primary.key => {}
                Some(_) => self.rival(start)?,
                None if self.was_never_begun(&start) => {
                    let reason =
                        format!("epoch {} was given to this server, which was primary already", start.epoch);
                    let order = Promote { reason, force: true, handover: None };
                    self.promote(order, Some(start.epoch))?;
                }
                None if self.shared.knows(&start.primary.key) => {
                    let (epoch, base) = (start.epoch, start.base);
                    if self.shared.visible() <= base {
                        self.cap_words(None, base)?;
                    }
                    self.shared.change_file(|file| file.note(start))?;
                    self.tell_of_rivals(epoch);
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

    /// Is the mark of an epoch the one of who decided it: its primary, or the primary before it?
    fn may_be_decided(&self, epoch: Epoch, previous: Option<Epoch>, primary: &ServerKey) -> bool {
        if epoch.right() == Some(Right::Taken) {
            return epoch.may_be_by(primary);
        }
        let file = self.shared.file();
        let before = file.epochs.iter().find(|start| Some(start.epoch) == previous);
        before.is_none_or(|before| epoch.may_be_by(&before.primary.key))
    }

    /// An epoch of this primary that is above the one it is in: the former primary stepped down for it, and it was promoted before it
    /// heard of that. Nobody else may begin it, and this server does not any more.
    fn was_never_begun(&self, start: &EpochStart) -> bool {
        self.shared.role() == Role::Primary
            && start.primary.key == self.shared.server.key
            && start.epoch > self.shared.file().epoch
    }

    /// Two servers began epochs of one number, because neither knew of the other. Every server orders them alike, so one of them goes on;
    /// somebody should know.
    fn tell_of_rivals(&self, epoch: Epoch) {
        let (known, other) = {
            let file = self.shared.file();
            let known = file.epochs.iter().find(|start| start.epoch == epoch).cloned();
            (known, file.rival_of(epoch).cloned())
        };
        let (Some(known), Some(other)) = (known, other) else { return };
        if known.primary.key == other.primary.key {
            return;
        }
        let (goes_on, ends) = if known.epoch > other.epoch { (known, other) } else { (other, known) };
        self.shared.alarm(format!(
            "two servers began an epoch of the number {}: {} ({}) and {} ({}); the history of {} goes on, what {} wrote in its own becomes orphans \
             there",
            epoch.number(), goes_on.primary.name, goes_on.epoch, ends.primary.name, ends.epoch,
            goes_on.primary.name, ends.primary.name,
        ));
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
            && self.shared.held.iter().zip(&self.journals).any(|(partition, journal)| {
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
    pub(in crate::database) fn verify_epoch(
        &self,
        epoch: Epoch,
        facts: &EpochFacts,
    ) -> Result<(), TakeError> {
        let refused = |reason: String| TakeError::Refused { reason };
        if epoch <= facts.previous_epoch {
            return Err(refused(format!("epoch {epoch} does not follow epoch {}", facts.previous_epoch)));
        }
        if !self.may_be_decided(epoch, Some(facts.previous_epoch), &facts.primary) {
            return Err(refused(format!(
                "epoch {epoch} has another mark than its primary {}",
                facts.primary
            )));
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
    pub(in crate::database) fn note_epoch(&self, epoch: Epoch, facts: &EpochFacts) -> Result<(), String> {
        let is_known = {
            let file = self.shared.file();
            let start = file.epochs.iter().find(|known| known.epoch == epoch);
            let is_same =
                |start: &EpochStart| start.base == facts.base && start.previous == Some(facts.previous_epoch);
            start.is_some_and(is_same) && file.handover.is_none()
        };
        if is_known {
            return Ok(());
        }
        let primary = self.shared.server_of(&facts.primary);
        let noted = self.shared.change_file(|file| {
            let known = file.epochs.iter().find(|known| known.epoch == epoch);
            let primary = primary.or_else(|| known.map(|known| known.primary.clone()));
            let unnamed = ServerIdentity { name: facts.primary.to_string(), key: facts.primary, url: None };
            file.note(EpochStart {
                epoch,
                previous: Some(facts.previous_epoch),
                base: facts.base,
                primary: primary.unwrap_or(unnamed),
            });
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
