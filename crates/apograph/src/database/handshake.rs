//! What a source tells a copy before the first entry.

use serde::{Deserialize, Serialize};

use apograph_format::{DatabaseId, Epoch, PartitionId, Timestamp, View};
use apograph_replication::versions::Versions;

use super::Database;
use super::part::SignedServers;
use super::roles::{EpochStart, Handover};
use crate::error::FeedError;
use crate::status::ServerIdentity;

/// What a source tells a copy before the first entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshake {
    /// Version of what copies and sources say to each other.
    pub protocol: u32,
    /// Name and version of the source's software.
    pub software: String,
    /// Format of the source's journals.
    pub format: u16,
    /// Identity of the database.
    pub database: DatabaseId,
    /// Its name at the source.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u16,
    /// Epoch of its history.
    pub epoch: Epoch,
    /// The view that was asked for.
    pub view: View,
    /// Keys of the hash trees that the copy may keep, in hex, by view.
    pub digest_keys: Vec<(View, String)>,
    /// Whose signatures count.
    pub primary: ServerIdentity,
    /// Who answers.
    pub server: ServerIdentity,
    /// Everything up to here can be read at the source.
    pub visible: Timestamp,
    /// Who began which epoch, as far as the source knows; empty from sources whose roles cannot change.
    #[serde(default)]
    pub epochs: Vec<EpochStart>,
    /// The partitions that the source holds; none says all of them.
    #[serde(default)]
    pub held: Option<Vec<PartitionId>>,
    /// The servers that documents name, signed by the source.
    #[serde(default)]
    pub servers: Option<SignedServers>,
    /// The source was the primary and handed over to this server, which has not been heard of as such yet.
    #[serde(default)]
    pub handover: Option<Handover>,
}

impl Handshake {
    /// The highest epoch that the source knows of.
    pub fn seen(&self) -> Epoch {
        self.epochs.iter().map(|start| start.epoch).max().unwrap_or_default().max(self.epoch)
    }

    pub(super) fn known_epochs(&self) -> Vec<EpochStart> {
        match self.epochs.is_empty() {
            true => {
                vec![EpochStart { epoch: self.epoch.max(Epoch::FIRST), ..EpochStart::first(&self.primary) }]
            }
            false => self.epochs.clone(),
        }
    }
}

impl Database {
    /// What a copy that may see `view` has to know.
    pub fn handshake(&self, view: View) -> Result<Handshake, FeedError> {
        if self.view() == View::Published && view == View::Full {
            return Err(FeedError::NoSuchView { view });
        }
        let may_keep = |held: &View| *held == View::Published || view == View::Full;
        let primary_url = self.primary_url();
        // Of no use to a copy of what is published: it holds all partitions.
        let servers = (view == View::Full).then(|| self.signed_servers()).flatten();
        let file = self.shared.file();
        Ok(Handshake {
            protocol: Versions::CURRENT.protocol,
            software: format!("apograph {}", Versions::CURRENT.software),
            format: Versions::CURRENT.format,
            database: file.id,
            name: self.shared.name.clone(),
            partitions: file.partitions.count(),
            epoch: self.epoch(),
            view,
            digest_keys: file.digest_keys.iter().filter(|(held, _)| may_keep(held)).cloned().collect(),
            primary: ServerIdentity { url: primary_url, ..file.primary.clone() },
            server: self.shared.server.clone(),
            visible: self.visible(),
            epochs: file.epochs.clone(),
            held: file.held.clone(),
            servers,
            handover: file.handover.clone(),
        })
    }
}
