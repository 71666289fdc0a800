//! A replica that holds some of the partitions only.
//!
//! - Which ones is said by the settings when it first meets its source, and kept in `database.json`; more are taken in
//!   while it is stopped ([`grow`]), none is given away.
//! - Its journals and stores are those of its partitions, byte for byte those of the source; [`words`] tell it what it
//!   cannot see: that nothing is missing before an entry whose predecessor is in a partition that is not here.
//! - It may not hold the documents that name servers, so its source tells it whose epochs to believe ([`servers`]).

mod grow;
mod servers;
mod words;

use apograph_format::{Participants, PartitionId, Partitioning, Uri};

use super::{Database, Shared};
use crate::Role;
use crate::database::DatabaseFile;
use crate::error::ReadError;
use crate::settings::DatabaseSettings;

pub(crate) use grow::finish_taking_in;
pub use grow::{GrowError, Growth, Holds, TakingIn};
pub use servers::SignedServers;
pub(super) use servers::told;
pub(super) use words::{Heard, Word, begin_at, read};

/// Why a server cannot hold these partitions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeldError {
    /// A primary takes every edit, a staging server shows whatever is published.
    #[error("a {role} holds all partitions: `held_partitions` is for replicas")]
    Role {
        /// What the server is.
        role: Role,
    },
    /// None at all, or one twice.
    #[error("`held_partitions` names at least one partition, and none of them twice")]
    List,
    /// One that there is not.
    #[error("`held_partitions` names partition {partition}, and the database has partitions 0 to {last}")]
    NoSuchPartition {
        /// The one.
        partition: PartitionId,
        /// The last one that there is.
        last: u16,
    },
    /// The source holds some partitions itself, and not these.
    #[error("the source holds partitions {there} only, and this copy is to hold {asked}")]
    NotThere {
        /// What the source holds.
        there: Participants,
        /// What the settings say, or everything.
        asked: Participants,
    },
    /// The settings say something else than the data folder holds.
    #[error(
        "the settings say that this server holds {asked}, and the data folder holds {found}: a setting does not change which partitions a copy holds; put it back, let `apograph hold` take others in, or make a new copy in an empty folder"
    )]
    Changed {
        /// What the settings say.
        asked: String,
        /// What is there.
        found: String,
    },
}

/// What a new copy is to hold, as the settings say; `None` for everything.
pub(super) fn held(
    settings: &DatabaseSettings,
    partitions: Partitioning,
) -> Result<Option<Vec<PartitionId>>, HeldError> {
    settings.check_held()?;
    let Some(asked) = &settings.held_partitions else { return Ok(None) };
    let last = partitions.count() - 1;
    if let Some(partition) = asked.iter().copied().find(|asked| *asked > last) {
        return Err(HeldError::NoSuchPartition { partition: PartitionId(partition), last });
    }
    let held: Participants = asked.iter().copied().map(PartitionId).collect();
    Ok((held != partitions.everyone()).then(|| held.iter().collect()))
}

/// Has the source what a new copy is to hold?
pub(super) fn check_source(file: &DatabaseFile, there: Option<&Vec<PartitionId>>) -> Result<(), HeldError> {
    let there = said(there, file.partitions);
    match there.covers(file.held()) {
        true => Ok(()),
        false => Err(HeldError::NotThere { there, asked: file.held() }),
    }
}

/// What a source says that it holds: all of them, if it says nothing.
fn said(there: Option<&Vec<PartitionId>>, partitions: Partitioning) -> Participants {
    let everyone = partitions.everyone();
    there.map_or(everyone, |there| there.iter().copied().filter(|of| everyone.contains(*of)).collect())
}

/// Does the data folder hold what the settings say?
pub(super) fn check(settings: &DatabaseSettings, file: &DatabaseFile) -> Result<(), HeldError> {
    let asked = held(settings, file.partitions)?;
    let asked = asked.map_or(file.partitions.everyone(), |held| held.into_iter().collect());
    // What it held at first may still stand there.
    let at_first = file.held().without(file.grown.iter().copied().collect());
    if file.held().covers(asked) && asked.covers(at_first) {
        return Ok(());
    }
    let words = |held: Participants| match held == file.partitions.everyone() {
        true => "all partitions".to_owned(),
        false => format!("partitions {held}"),
    };
    Err(HeldError::Changed { asked: words(asked), found: words(file.held()) })
}

impl DatabaseSettings {
    /// Can a server of this role hold what is said here? How many partitions there are its source knows.
    pub fn check_held(&self) -> Result<(), HeldError> {
        let Some(asked) = &self.held_partitions else { return Ok(()) };
        if self.role != Role::Replica {
            return Err(HeldError::Role { role: self.role });
        }
        let mut sorted = asked.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if asked.is_empty() || sorted.len() != asked.len() {
            return Err(HeldError::List);
        }
        let last = apograph_format::limits::PARTITIONS_MAX - 1;
        match sorted.last().filter(|most| **most > last) {
            Some(most) => Err(HeldError::NoSuchPartition { partition: PartitionId(*most), last }),
            None => Ok(()),
        }
    }
}

impl DatabaseFile {
    /// The partitions that are here.
    pub fn held(&self) -> Participants {
        self.held.as_ref().map_or(self.partitions.everyone(), |held| held.iter().copied().collect())
    }

    pub(crate) fn held_count(&self) -> u16 {
        u16::try_from(self.held().count()).unwrap_or(u16::MAX)
    }
}

impl Shared {
    pub(crate) fn is_part(&self) -> bool {
        self.held != self.partitioning.everyone()
    }

    pub(crate) fn held_count(&self) -> u16 {
        u16::try_from(self.held.count()).unwrap_or(u16::MAX)
    }
}

impl Database {
    /// The partitions that this server holds: all of them, but on a replica that was made for some.
    pub fn held_partitions(&self) -> Participants {
        self.shared.held
    }

    /// Does this server hold some of the partitions only?
    pub fn is_part(&self) -> bool {
        self.shared.is_part()
    }

    /// Refused if a document lives in a partition that another server holds.
    pub fn check_held(&self, uri: &Uri) -> Result<(), ReadError> {
        self.shared.store_of(uri).map(drop)
    }

    /// Where partitions that are not held here can be read, as far as this server knows.
    pub fn elsewhere_url(&self) -> Option<String> {
        self.shared.elsewhere_url()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(role: Role, partitions: &[u16]) -> Result<Option<Vec<PartitionId>>, HeldError> {
        let mut settings = DatabaseSettings::new(role);
        settings.held_partitions = Some(partitions.to_vec());
        held(&settings, Partitioning::new(3).unwrap())
    }

    #[test]
    fn a_replica_may_hold_a_part() {
        assert_eq!(asked(Role::Replica, &[2, 0]), Ok(Some(vec![PartitionId(0), PartitionId(2)])));
        assert_eq!(asked(Role::Replica, &[2, 0, 1]), Ok(None), "all of them is no part");
        assert_eq!(asked(Role::Staging, &[0]), Err(HeldError::Role { role: Role::Staging }));
        assert_eq!(asked(Role::Primary, &[0]), Err(HeldError::Role { role: Role::Primary }));
        assert_eq!(asked(Role::Replica, &[]), Err(HeldError::List));
        assert_eq!(asked(Role::Replica, &[1, 1]), Err(HeldError::List));
        let none =
            |partition, last| Err(HeldError::NoSuchPartition { partition: PartitionId(partition), last });
        assert_eq!(asked(Role::Replica, &[1, 3]), none(3, 2));
        assert_eq!(asked(Role::Replica, &[1, 64]), none(64, 63));
    }
}
