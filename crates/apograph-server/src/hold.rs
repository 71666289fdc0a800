//! A replica of some partitions takes in others from a server that has them, while its own server is stopped.
//!
//! What is done with the data folder is [`Folder::grow`]; here the source is asked. Broken off anywhere, it goes on where it was.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::BytesMut;
use serde::Serialize;
use tokio::runtime::Handle;

use apograph::Folder;
use apograph::database::part::{GrowError, Growth, HeldError};
use apograph::folder::FolderError;
use apograph::settings::SourceSettings;
use apograph::synchronize::{SyncError, SyncMarker, Transfer, TransferError, TransferProgress};
use apograph_carriers::stream::StreamCarrier;
use apograph_format::limits::PARTITIONS_MAX;
use apograph_format::{Participants, PartitionId, SyncScope, Timestamp, View};
use apograph_replication::carrier::{Chunks, Cut, Refusal};
use apograph_replication::versions::Versions;

use crate::links::greet;

pub use apograph_replication::carrier::RefusalKind;

/// What is to be taken in, and from where.
#[derive(Debug, Clone)]
pub struct HoldOrder {
    /// The data folder of the replica, whose server is stopped.
    pub directory: PathBuf,
    /// Name of the database in it.
    pub database: String,
    /// Which partitions; all that the replica lacks and the source has when absent.
    pub partitions: Option<Vec<u16>>,
    /// A server that holds them.
    pub source: SourceSettings,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HoldProgress {
    /// Documents that came.
    pub documents: u64,
    /// Documents that are known to come, those included.
    pub documents_total: u64,
}

/// What a replica holds then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NowHeld {
    /// Partitions that were taken in now; none if they had been here.
    pub taken: Participants,
    /// All that are held.
    pub held: Participants,
    /// How many the database has.
    pub of: u16,
    /// It holds all of them.
    pub whole: bool,
    /// What the copy shows, before and now.
    pub at: Timestamp,
    /// Documents that came now.
    pub documents: u64,
    /// Bytes that came now.
    pub bytes: u64,
    /// Questions that were asked.
    pub requests: u64,
}

/// Why partitions were not taken in. What the replica holds is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// This replica cannot, or not from this source.
    #[error(transparent)]
    Grow(#[from] GrowError),
    /// The source refuses, or cannot be reached.
    #[error("the source does not answer as asked: {0}")]
    Source(#[from] Refusal),
    /// The source broke off.
    #[error(transparent)]
    Cut(#[from] Cut),
    /// What came is no answer.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}

impl From<SyncError> for HoldError {
    fn from(error: SyncError) -> HoldError {
        HoldError::Grow(error.into())
    }
}

/// Takes them in. Blocks; `network` is where the source is asked. Durable on return.
pub fn hold(
    order: &HoldOrder,
    network: &Handle,
    told: &mut dyn FnMut(HoldProgress),
) -> Result<NowHeld, HoldError> {
    let folder = Folder::open(&order.directory)?;
    let asked = order.partitions.as_deref().map(participants).transpose().map_err(GrowError::from)?;
    let client = greet::client(folder.path(), &order.source)?;
    let there = order.source.database.as_deref().unwrap_or(&order.database);
    let handshake = network.block_on(greet::greet(&client, there, View::Full))?;
    if let Some(misfit) = greet::misfit(&greet::greeting(&handshake), &Versions::CURRENT, None) {
        return Err(Refusal::new(RefusalKind::ProtocolNewer, misfit).into());
    }
    let handshake = greet::for_engine(handshake);
    let handshake = handshake
        .ok_or_else(|| Refusal::new(RefusalKind::NotApograph, "the source does not say who signs"))?;
    let mut now = NowHeld {
        taken: Participants::default(),
        held: Participants::default(),
        of: handshake.partitions,
        whole: false,
        at: Timestamp::ZERO,
        documents: 0,
        bytes: 0,
        requests: 0,
    };
    if let Some(growth) = folder.grow(&order.database, asked, &handshake)? {
        (now.taken, now.at) = (growth.partitions(), growth.at());
        let mut source =
            Source { carrier: StreamCarrier::new(client, there), network, told, progress: BTreeMap::new() };
        if !growth.is_there() {
            source.bring(&growth)?;
        }
        for of in source.progress.values() {
            now.documents += of.documents;
            now.bytes += of.bytes;
            now.requests += of.requests;
        }
        growth.finish()?;
    }
    let standing = folder.holds(&order.database)?;
    (now.held, now.at) = (standing.held, standing.visible);
    now.whole = now.held.count() == u32::from(now.of);
    Ok(now)
}

fn participants(asked: &[u16]) -> Result<Participants, HeldError> {
    if let Some(partition) = asked.iter().copied().find(|partition| *partition >= PARTITIONS_MAX) {
        let last = PARTITIONS_MAX - 1;
        return Err(HeldError::NoSuchPartition { partition: PartitionId(partition), last });
    }
    Ok(asked.iter().copied().map(PartitionId).collect())
}

struct Source<'a> {
    carrier: StreamCarrier,
    network: &'a Handle,
    told: &'a mut dyn FnMut(HoldProgress),
    progress: BTreeMap<PartitionId, TransferProgress>,
}

impl Source<'_> {
    /// Everything of the snapshot that is not here yet.
    fn bring(&mut self, growth: &Growth<'_>) -> Result<(), HoldError> {
        let marker = self.begun(growth)?;
        let scope = SyncScope { since: marker.since, max_versions: marker.max_versions };
        for of in &marker.snapshot.partitions {
            let mut transfer = growth.beside().transfer(&marker.snapshot, of, scope)?;
            while self.question(&mut transfer)? {}
        }
        Ok(())
    }

    /// What was begun, as long as the source remembers it, or a snapshot of the time that this copy shows.
    fn begun(&self, growth: &Growth<'_>) -> Result<SyncMarker, HoldError> {
        if let Some(marker) = growth.begun() {
            return Ok(marker);
        }
        let snapshot = self.network.block_on(self.carrier.snapshot_as_of(View::Full, growth.at()))?;
        Ok(growth.begin(snapshot)?)
    }

    /// One question and its whole answer; `false` when there is nothing more to ask.
    fn question(&mut self, transfer: &mut Transfer) -> Result<bool, HoldError> {
        let Some(question) = transfer.next_question()? else { return Ok(false) };
        let partition = transfer.partition();
        let mut chunks = self.network.block_on(self.carrier.ask(partition, &question))?;
        let mut buffer = BytesMut::new();
        while let Some(bytes) = self.network.block_on(chunks.next())? {
            buffer.extend_from_slice(&bytes);
            let is_over = transfer.take(&mut buffer)?;
            self.progress.insert(partition, transfer.progress());
            self.tell();
            if is_over {
                return Ok(true);
            }
        }
        Err(Cut { reason: "the source ended an answer before its end".to_owned() }.into())
    }

    fn tell(&mut self) {
        let mut sum = HoldProgress::default();
        for of in self.progress.values() {
            sum.documents += of.documents;
            sum.documents_total += of.documents_total.max(of.documents);
        }
        (self.told)(sum);
    }
}
