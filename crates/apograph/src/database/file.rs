//! `database.json`: what a server must know of a database before it can open it, and what it promised to remember.

use std::path::Path;

use serde::{Deserialize, Serialize};

use apograph_format::{DatabaseId, DigestKey, Epoch, PartitionId, Partitioning, ServerKey, TreeShape, View};
use apograph_store::TreeSettings;

use super::Handshake;
use super::open::OpenError;
use super::part::{self, TakingIn};
use super::roles::{EpochStart, Handover, Promoting};
use crate::Role;
use crate::folder::{Folder, FolderError, disk, sync_name};
use crate::sealed::{read_sealed, write_sealed};
use crate::settings::DatabaseSettings;
use crate::status::ServerIdentity;

/// What a server must know of a database before it can open it. Only its owner may read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseFile {
    /// Identity of the database.
    pub id: DatabaseId,
    /// How it is cut.
    pub partitions: Partitioning,
    /// The partitions that are here; none stands for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Vec<PartitionId>>,
    /// Of those, the ones that were not here at first: they were taken in later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grown: Vec<PartitionId>,
    /// Partitions that are moved into this database; the next start finishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taking_in: Option<TakingIn>,
    /// What this server is for it now. The settings only start it.
    pub role: Role,
    /// Keys of the hash trees this server keeps, in hex, by view.
    pub digest_keys: Vec<(View, String)>,
    /// The primary of the newest epoch that this server knows: itself, or another.
    pub primary: ServerIdentity,
    /// The highest epoch that this server ever heard of.
    #[serde(default = "first_epoch")]
    pub epoch: Epoch,
    /// Who began which epoch, oldest first, as far as this server knows.
    #[serde(default)]
    pub epochs: Vec<EpochStart>,
    /// A promotion of this server that was decided and is not written into the journals yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoting: Option<Promoting>,
    /// This server was the primary and handed over; the new one has not been heard of as such yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<Handover>,
    /// All partitions were there: one that is not was lost, and is not made anew.
    #[serde(default)]
    pub complete: bool,
    /// Of a copy that holds some partitions: the servers that documents name which it may not have, as its source says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerIdentity>,
    /// Of such a copy: the source of the first contact. It is believed about others also while nobody names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introduced_by: Option<ServerKey>,
    /// Another server is primary of the same epoch: neither takes writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rival: Option<ServerIdentity>,
}

/// Of files that were written before epochs were remembered.
fn first_epoch() -> Epoch {
    Epoch::FIRST
}

impl DatabaseFile {
    pub(crate) fn new_primary(
        folder: &Folder,
        settings: &DatabaseSettings,
    ) -> Result<DatabaseFile, OpenError> {
        let mut random = [0; 48];
        getrandom::fill(&mut random).map_err(|error| OpenError::Random { reason: error.to_string() })?;
        let (id, secret) = random.split_at(16);
        let id = DatabaseId::from_slice(id).expect("16 bytes were split off");
        let secret: [u8; 32] = secret.try_into().expect("32 bytes are left");
        let key = |view| (view, hex::encode(DigestKey::derive(&secret, view).to_bytes()));
        let primary = folder.identity();
        Ok(DatabaseFile {
            id,
            partitions: Partitioning::new(settings.partitions)?,
            held: None,
            grown: Vec::new(),
            taking_in: None,
            role: Role::Primary,
            digest_keys: View::ALL.map(key).to_vec(),
            epoch: Epoch::FIRST,
            epochs: vec![EpochStart::first(&primary)],
            primary,
            promoting: None,
            handover: None,
            complete: false,
            servers: Vec::new(),
            introduced_by: None,
            rival: None,
        })
    }

    pub(crate) fn of_copy(
        settings: &DatabaseSettings,
        handshake: &Handshake,
    ) -> Result<DatabaseFile, OpenError> {
        let role = settings.role;
        let partitions = Partitioning::new(handshake.partitions)?;
        let held = part::held(settings, partitions)?;
        let is_part = held.is_some();
        let holds = |view: &View| *view == View::Published || role.view() == View::Full;
        Ok(DatabaseFile {
            id: handshake.database,
            partitions,
            held,
            grown: Vec::new(),
            taking_in: None,
            role,
            digest_keys: handshake.digest_keys.iter().filter(|(view, _)| holds(view)).cloned().collect(),
            primary: handshake.primary.clone(),
            epoch: handshake.seen(),
            epochs: handshake.known_epochs(),
            promoting: None,
            handover: None,
            complete: false,
            servers: if is_part { part::told(handshake) } else { Vec::new() },
            introduced_by: is_part.then_some(handshake.server.key),
            rival: None,
        })
    }

    /// Has the source what this copy is to hold?
    pub(crate) fn check_source(&self, handshake: &Handshake) -> Result<(), OpenError> {
        Ok(part::check_source(self, handshake.held.as_ref())?)
    }

    pub(crate) fn read(path: &Path) -> Result<Option<DatabaseFile>, OpenError> {
        let partitions = path.join("partitions");
        let path = path.join("database.json");
        if !path.exists() {
            if partitions.exists() {
                let reason = "it is gone, and the partitions of the database are there".to_owned();
                return Err(FolderError::Damaged { path, reason }.into());
            }
            return Ok(None);
        }
        let mut file: DatabaseFile = read_sealed(&path)?;
        if file.epochs.is_empty() {
            // Written before roles could change.
            file.epochs.push(EpochStart::first(&file.primary));
        }
        Ok(Some(file))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), FolderError> {
        let is_new = !path.exists();
        std::fs::create_dir_all(path).map_err(disk(path))?;
        write_sealed(&path.join("database.json"), self)?;
        if is_new {
            // Whoever finds no database where a primary should have one makes another.
            sync_name(path).map_err(disk(path))?;
        }
        Ok(())
    }

    pub(crate) fn trees(&self) -> Result<TreeSettings, OpenError> {
        let key = |(view, text): &(View, String)| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(text, &mut bytes).map_err(|_| OpenError::DigestKey { view: *view })?;
            Ok((*view, DigestKey::from_bytes(bytes)))
        };
        let keys = self.digest_keys.iter().map(key).collect::<Result<_, OpenError>>()?;
        Ok(TreeSettings { shape: TreeShape::of(self.partitions), keys })
    }
}
