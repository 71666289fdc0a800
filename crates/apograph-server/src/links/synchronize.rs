//! Drives one synchronization: asks the source, hands what comes to the engine, tells the worker how far it is.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use apograph::Database;
use apograph::synchronize::{SyncError, SyncMarker, SyncPhase, Transfer, TransferError, TransferProgress};
use apograph_carriers::stream::{StreamCarrier, StreamChunks};
use apograph_format::synchronize::{Snapshot, SnapshotPartition};
use apograph_format::{PartitionId, SyncScope, Timestamp};
use apograph_replication::carrier::{Chunks, Refusal, RefusalKind};
use apograph_replication::link::Event;
use apograph_replication::sync::{
    Phase, SyncFailure, SyncMeasure, SyncMeter, SyncProgress, SyncReason, SyncRequest,
};

use super::follow::News;
use super::throttle::Throttle;
use crate::app::App;
use crate::clock;

/// The worker hears this often how far it is.
const NEWS_INTERVAL: Duration = Duration::from_millis(200);

/// One synchronization of a copy, or what is left of one.
pub(super) struct Synchronization {
    pub(super) app: App,
    pub(super) database: Database,
    pub(super) carrier: StreamCarrier,
    pub(super) request: SyncRequest,
    pub(super) why: SyncReason,
    /// Which attempt to reach equality this is, from one.
    pub(super) round: u32,
    pub(super) throttle: Throttle,
    pub(super) news: mpsc::Sender<News>,
    /// The link is paused, or the server stops: it goes on another time where it was.
    pub(super) closed: CancellationToken,
}

/// Why it ended without having installed anything.
struct Failed {
    failure: SyncFailure,
    detail: String,
}

/// What was counted so far, and when it was told.
struct Counted {
    progress: SyncProgress,
    meter: SyncMeter,
    begun: Instant,
    told: Option<Instant>,
    /// Documents that had come before this attempt.
    before: BTreeMap<PartitionId, (u64, u64)>,
    now: BTreeMap<PartitionId, TransferProgress>,
}

impl Synchronization {
    /// Runs until it is installed, fails, or is closed. The last news is `Installed` or `SyncFailed`, unless it was
    /// closed.
    pub(super) async fn run(self) {
        let done = tokio::select! {
            done = self.synchronize() => done,
            () = self.closed.cancelled() => return,
        };
        let (event, detail) = match done {
            Ok(()) => (Event::Installed, None),
            Err(Failed { failure, detail }) => (Event::SyncFailed(failure), Some(detail)),
        };
        let _ = self.news.send(News::Event(event, detail)).await;
    }

    /// Work that blocks, and that nobody waits for but this.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, Failed> {
        self.app.backstage.run(work).await.unwrap_or_else(|error| Err(Failed::halted(&error)))
    }

    async fn synchronize(&self) -> Result<(), Failed> {
        if self.request.full {
            let database = self.database.clone();
            self.aside(move || database.look_for_damage().map_err(|error| Failed::halted(&error))).await?;
        }
        let marker = self.begin().await?;
        let scope = scope_of(&marker);
        let mut counted = self.counted(&marker);
        self.tell(&mut counted, true).await;
        let mut left_out = 0;
        for of in &marker.snapshot.partitions {
            left_out += self.partition(&marker.snapshot, of, scope, &mut counted).await?;
        }
        self.enter(Phase::Installing, &mut counted).await;
        let database = self.database.clone();
        self.aside(move || database.finish_sync(left_out).map_err(Failed::from)).await?;
        Ok(())
    }

    /// What it would bring over, without bringing it.
    pub(super) async fn measure(self) -> Result<SyncMeasure, Refusal> {
        let refused = |failed: Failed| match failed.failure {
            SyncFailure::Refused(kind) => Refusal::new(kind, failed.detail),
            _ => Refusal::new(RefusalKind::Unavailable, failed.detail),
        };
        let snapshot = self.carrier.snapshot(self.database.view(), Timestamp::ZERO).await?;
        let snapshot = self.database.part_of(snapshot);
        let scope = scope(&self.request);
        let mut measure = SyncMeasure { documents: 0, bytes: 0, of_documents: 0, requests: 1 };
        for of in snapshot.partitions.clone() {
            measure.of_documents += of.documents;
            let (database, snapshot) = (self.database.clone(), snapshot.clone());
            let transfer = move || database.measure(&snapshot, &of, scope).map_err(Failed::from);
            let mut transfer = self.aside(transfer).await.map_err(refused)?;
            loop {
                let (back, is_more) = self.question(transfer, |_, _| ()).await.map_err(refused)?;
                transfer = back;
                if !is_more {
                    break;
                }
            }
            measure.documents += transfer.measured().documents;
            measure.bytes += transfer.measured().bytes;
            measure.requests += transfer.progress().requests;
        }
        Ok(measure)
    }

    /// Goes on with the snapshot that was begun, or takes a new one.
    async fn begin(&self) -> Result<SyncMarker, Failed> {
        let begun = self.database.sync_marker().filter(|marker| marker.round >= self.round);
        if let Some(marker) = begun.filter(|_| self.why != SyncReason::Requested) {
            return Ok(marker);
        }
        let snapshot = self.database.part_of(self.snapshot().await?);
        let before = self.database.sync_marker();
        // Only a journal that the source does not know holds what is nowhere else.
        let forked = self.why == SyncReason::UnknownPosition;
        let marker = SyncMarker {
            phase: SyncPhase::Transferring,
            reason: before.as_ref().map_or(self.why.as_str(), |before| before.reason.as_str()).to_owned(),
            round: self.round.max(before.as_ref().map_or(0, |before| before.round)),
            began: before.as_ref().map_or_else(clock::now_us, |before| before.began),
            snapshot,
            keep_journals: forked || before.is_some_and(|before| before.keep_journals),
            since: self.request.since.unwrap_or_default(),
            max_versions: self.request.max_versions,
            documents: 0,
            bytes: 0,
            equal: false,
            left_out: 0,
        };
        let (database, begun) = (self.database.clone(), marker.clone());
        self.aside(move || database.begin_sync(begun).map_err(Failed::from)).await?;
        Ok(marker)
    }

    async fn snapshot(&self) -> Result<Snapshot, Failed> {
        let above = self.database.sync_floor();
        self.carrier.snapshot(self.database.view(), above).await.map_err(Failed::from)
    }

    /// Brings one partition to the snapshot; answers how many documents the operator leaves out.
    async fn partition(
        &self,
        snapshot: &Snapshot,
        of: &SnapshotPartition,
        scope: SyncScope,
        counted: &mut Counted,
    ) -> Result<u64, Failed> {
        let (database, snapshot, part) = (self.database.clone(), snapshot.clone(), of.clone());
        let mut transfer =
            self.aside(move || database.transfer(&snapshot, &part, scope).map_err(Failed::from)).await?;
        let partition = of.partition;
        loop {
            let phase = if transfer.is_planning() { Phase::Planning } else { Phase::Transferring };
            self.enter(phase, counted).await;
            let (back, is_more) = self
                .question(transfer, |transfer, tell| {
                    counted.now.insert(partition, transfer.progress());
                    if let Some(progress) = counted.due(tell) {
                        let _ = self.news.try_send(News::Sync(progress));
                    }
                })
                .await?;
            transfer = back;
            if !is_more {
                return Ok(transfer.progress().left_out);
            }
        }
    }

    /// One question and its whole answer; `false` when there is nothing more to ask.
    async fn question(
        &self,
        transfer: Transfer,
        mut note: impl FnMut(&Transfer, Instant),
    ) -> Result<(Transfer, bool), Failed> {
        let partition = transfer.partition();
        let next = move || {
            let mut transfer = transfer;
            let question = transfer.next_question().map_err(Failed::from)?;
            Ok((transfer, question))
        };
        let (mut transfer, question) = self.aside(next).await?;
        let Some(question) = question else { return Ok((transfer, false)) };
        let mut chunks = self.carrier.ask(partition, &question).await?;
        let mut buffer = BytesMut::new();
        loop {
            self.throttle.pause().await;
            if !self.more(&mut chunks, &mut buffer).await? {
                let detail = "the source ended an answer before its end".to_owned();
                return Err(Failed { failure: SyncFailure::Cut, detail });
            }
            let take = move || {
                let is_over = transfer.take(&mut buffer)?;
                Ok((transfer, buffer, is_over))
            };
            let (back, rest, is_over) = self.aside(take).await?;
            (transfer, buffer) = (back, rest);
            note(&transfer, Instant::now());
            if is_over {
                return Ok((transfer, true));
            }
        }
    }

    /// More of the answer; `false` at its end.
    async fn more(&self, chunks: &mut StreamChunks, buffer: &mut BytesMut) -> Result<bool, Failed> {
        match chunks.next().await {
            Ok(Some(bytes)) => {
                self.throttle.came(bytes.len());
                buffer.extend_from_slice(&bytes);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(cut) => Err(Failed { failure: SyncFailure::Cut, detail: cut.to_string() }),
        }
    }

    fn counted(&self, marker: &SyncMarker) -> Counted {
        let (mut before, mut now) = (BTreeMap::new(), BTreeMap::new());
        for of in &marker.snapshot.partitions {
            let Some(syncing) = self.database.syncing(of.partition) else { continue };
            before.insert(of.partition, (syncing.documents, syncing.bytes));
            // How much a partition brings that is still to come is known only when all of it does.
            let left = if syncing.is_bulk { of.documents.saturating_sub(syncing.documents) } else { 0 };
            now.insert(
                of.partition,
                TransferProgress { documents_total: left, ..TransferProgress::default() },
            );
        }
        let mut progress = SyncProgress::begun(self.why, marker.round, marker.began);
        progress.snapshot = marker.snapshot.at;
        Counted { progress, meter: SyncMeter::default(), begun: Instant::now(), told: None, before, now }
    }

    async fn enter(&self, phase: Phase, counted: &mut Counted) {
        if counted.progress.phase != phase {
            counted.progress.phase = phase;
            let _ = self.news.send(News::Event(Event::Synchronizing(phase), None)).await;
            self.tell(counted, true).await;
        }
    }

    async fn tell(&self, counted: &mut Counted, now: bool) {
        if now {
            counted.told = None;
        }
        if let Some(progress) = counted.due(Instant::now()) {
            let _ = self.news.send(News::Sync(progress)).await;
        }
    }
}

impl Counted {
    /// What is to be told now, if it is time.
    fn due(&mut self, now: Instant) -> Option<SyncProgress> {
        if self.told.is_some_and(|told| now.duration_since(told) < NEWS_INTERVAL) {
            return None;
        }
        self.told = Some(now);
        let (documents, bytes) = self.before.values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        let progress = &mut self.progress;
        (progress.documents_done, progress.documents_total) = (documents, documents);
        (progress.bytes_received, progress.requests) = (bytes, 1);
        for of in self.now.values() {
            progress.documents_done += of.documents;
            progress.documents_total += of.documents_total.max(of.documents);
            progress.bytes_received += of.bytes;
            progress.requests += of.requests;
        }
        self.meter.sample(progress.documents_done, progress.bytes_received, now.duration_since(self.begun));
        progress.documents_per_second = self.meter.documents_per_second();
        progress.bytes_per_second = self.meter.bytes_per_second();
        progress.seconds_left = self.meter.seconds_left(progress.documents_total, progress.bytes_total);
        Some(progress.clone())
    }
}

fn scope(request: &SyncRequest) -> SyncScope {
    SyncScope { since: request.since.unwrap_or_default(), max_versions: request.max_versions }
}

fn scope_of(marker: &SyncMarker) -> SyncScope {
    SyncScope { since: marker.since, max_versions: marker.max_versions }
}

impl Failed {
    fn halted(error: &dyn std::error::Error) -> Failed {
        Failed { failure: SyncFailure::Halted, detail: error.to_string() }
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Failed {
        let failure = match refusal.kind {
            RefusalKind::Unavailable => SyncFailure::Cut,
            RefusalKind::SnapshotExpired => SyncFailure::Expired,
            kind => SyncFailure::Refused(kind),
        };
        Failed { failure, detail: refusal.detail }
    }
}

impl From<SyncError> for Failed {
    fn from(error: SyncError) -> Failed {
        Failed { failure: error.failure(), detail: error.to_string() }
    }
}

impl From<TransferError> for Failed {
    fn from(error: TransferError) -> Failed {
        Failed { failure: error.failure(), detail: error.to_string() }
    }
}
