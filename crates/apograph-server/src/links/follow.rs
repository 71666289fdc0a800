//! One stream of a link: bytes to frames, entries to the engine in batches, while the next bytes already come.

use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use apograph::Database;
use apograph::error::TakeError;
use apograph_client::Client;
use apograph_client::types::Handshake;
use apograph_format::frame::FrameError;
use apograph_format::{Entry, Heartbeat, PartitionId, ServerKey, Timestamp};
use apograph_replication::batch::{BatchLimits, batch};
use apograph_replication::carrier::{Carrier, Chunks, JournalRequest, Refusal, RefusalKind};
use apograph_replication::link::Event;
use apograph_replication::sync::{SyncProgress, SyncReason};

use super::throttle::Throttle;
use crate::limits::{TAKE_BYTES_MAX, TAKE_ENTRIES_MAX};

/// While the engine is slow to take a batch, the stream says that it is alive this often.
const ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// Of batches that follow each other closely the worker need not hear one by one: that would cost more than taking them.
const NEWS_GAP_MIN: Duration = Duration::from_millis(20);
/// What the engine takes at once.
const AT_ONCE: BatchLimits = BatchLimits { entries_max: TAKE_ENTRIES_MAX, bytes_max: TAKE_BYTES_MAX };

/// What a stream tells its worker.
#[derive(Debug)]
pub(super) enum News {
    /// For the link to decide on, with the facts for people.
    Event(Event, Option<String>),
    /// Entries arrived; the oldest has this commit time.
    Arrived(Timestamp),
    /// A heartbeat came after everything before it was taken.
    Heartbeat(PartitionId, Heartbeat),
    /// The source greeted, or refused to.
    Greeted(Client, Result<Box<Handshake>, Refusal>),
    /// A synchronization tells how far it is.
    Sync(SyncProgress),
}

/// One stream.
pub(super) struct Stream {
    pub(super) database: Database,
    /// Of the journals that it is taken into.
    pub(super) generation: u64,
    pub(super) request: JournalRequest,
    /// Key of the server that we follow: it signs heartbeats.
    pub(super) source: ServerKey,
    pub(super) throttle: Throttle,
    pub(super) news: mpsc::Sender<News>,
    pub(super) closed: CancellationToken,
}

/// What comes in by a stream.
struct Incoming<C> {
    chunks: C,
    /// Bytes that are not taken yet.
    buffer: BytesMut,
    /// Nothing was taken yet.
    is_first: bool,
    /// When the worker last heard of what came.
    told: Option<Instant>,
}

/// Why a stream is over.
struct End {
    event: Event,
    detail: Option<String>,
}

impl Stream {
    /// Follows until the stream ends, then says why.
    pub(super) async fn run<C: Carrier>(self, carrier: C) {
        let end = tokio::select! {
            end = self.follow(&carrier) => end,
            () = self.closed.cancelled() => return,
        };
        let _ = self.news.send(News::Event(end.event, end.detail)).await;
    }

    async fn follow<C: Carrier>(&self, carrier: &C) -> End {
        let chunks = match carrier.open(&self.request).await {
            Ok(chunks) => chunks,
            Err(refusal) => return self.not_opened(refusal),
        };
        let mut incoming = Incoming { chunks, buffer: BytesMut::new(), is_first: true, told: None };
        loop {
            match self.take_all(&mut incoming).await {
                Ok(()) => self.pause().await,
                Err(end) => return end,
            }
            match incoming.chunks.next().await {
                Ok(Some(bytes)) => self.came(&mut incoming.buffer, &bytes),
                Ok(None) => return self.ended("the source ended the stream".to_owned()),
                Err(cut) => return self.ended(cut.to_string()),
            }
        }
    }

    /// Takes every whole frame in the buffer, and those that arrive meanwhile.
    async fn take_all<C: Chunks>(&self, incoming: &mut Incoming<C>) -> Result<(), End> {
        loop {
            let read = batch(&mut incoming.buffer, AT_ONCE);
            let (entries, heartbeat) = read.map_err(|error| self.refused(&error, incoming.is_first))?;
            if entries.is_empty() && heartbeat.is_none() {
                return Ok(());
            }
            incoming.is_first = false;
            let is_news = heartbeat.is_some() || incoming.told.is_none_or(|at| at.elapsed() >= NEWS_GAP_MIN);
            if let Some(first) = entries.first() {
                let first = first.header().timestamp;
                if is_news {
                    self.tell(News::Arrived(first)).await;
                }
                self.take(entries, first, incoming).await?;
            }
            if let Some(heartbeat) = heartbeat {
                self.note(&heartbeat).await?;
                if self.database.is_part() && self.database.generation() != self.generation {
                    return Err(self.ended("the journals here begin anew".to_owned()));
                }
                self.database.hear(self.request.partition, heartbeat.visible, self.generation);
                self.tell(News::Heartbeat(self.request.partition, heartbeat)).await;
            }
            if is_news {
                self.tell(News::Event(Event::Progress(self.request.partition), None)).await;
                incoming.told = Some(Instant::now());
            }
        }
    }

    /// Hands a batch to the engine, and reads on while it is taken.
    async fn take<C: Chunks>(
        &self,
        entries: Vec<Entry>,
        first: Timestamp,
        incoming: &mut Incoming<C>,
    ) -> Result<(), End> {
        let Incoming { chunks, buffer, .. } = incoming;
        let taking = self.database.take(self.request.partition, entries);
        let mut taking = std::pin::pin!(taking);
        let mut alive = interval_at(Instant::now() + ALIVE_INTERVAL, ALIVE_INTERVAL);
        let mut is_open = true;
        loop {
            tokio::select! {
                taken = &mut taking => return taken.map_err(|error| self.halted(&error)),
                chunk = chunks.next(), if is_open && buffer.len() < TAKE_BYTES_MAX => match chunk {
                    Ok(Some(bytes)) => self.came(buffer, &bytes),
                    // Asking again, later, tells the same.
                    Ok(None) | Err(_) => is_open = false,
                },
                _ = alive.tick() => {
                    self.tell(News::Arrived(first)).await;
                    self.tell(News::Event(Event::Alive(self.request.partition), None)).await;
                }
            }
        }
    }

    fn came(&self, buffer: &mut BytesMut, bytes: &[u8]) {
        buffer.extend_from_slice(bytes);
        self.throttle.came(bytes.len());
    }

    /// Lets the throttle have its way: that is no silence of the source.
    async fn pause(&self) {
        let pause = self.throttle.pause();
        let mut pause = std::pin::pin!(pause);
        let mut alive = interval_at(Instant::now() + ALIVE_INTERVAL, ALIVE_INTERVAL);
        loop {
            tokio::select! {
                () = &mut pause => return,
                _ = alive.tick() => self.tell(News::Event(Event::Alive(self.request.partition), None)).await,
            }
        }
    }

    /// An empty copy asks for the beginning.
    fn not_opened(&self, refusal: Refusal) -> End {
        let event = match refusal.kind {
            RefusalKind::OutOfWindow if self.request.from.sequence == 0 => {
                Event::Needs(SyncReason::EmptyCopy)
            }
            kind => Event::Refused(kind),
        };
        End { event, detail: Some(refusal.detail) }
    }

    async fn tell(&self, news: News) {
        let _ = self.news.send(news).await;
    }

    fn ended(&self, detail: String) -> End {
        End { event: Event::Ended(self.request.partition), detail: Some(detail) }
    }

    /// What never was a journal comes from something else than Apograph.
    fn refused(&self, error: &FrameError, is_first: bool) -> End {
        let event = match error {
            FrameError::Magic { .. } if is_first => Event::Refused(RefusalKind::NotApograph),
            FrameError::Magic { .. } | FrameError::Entry(_) | FrameError::Heartbeat(_) => {
                Event::Rejected(self.request.partition)
            }
        };
        End { event, detail: Some(error.to_string()) }
    }

    /// Reads the store, so not here.
    async fn note(&self, heartbeat: &Heartbeat) -> Result<(), End> {
        let (database, partition) = (self.database.clone(), self.request.partition);
        let (heartbeat, source) = (heartbeat.clone(), self.source);
        let noting =
            tokio::task::spawn_blocking(move || database.note_heartbeat(partition, &heartbeat, &source));
        let noted = noting.await.map_err(|error| self.ended(error.to_string()))?;
        noted.map_err(|error| self.halted(&error))
    }

    fn halted(&self, error: &TakeError) -> End {
        let event = error.event(self.request.partition);
        End { event, detail: Some(error.to_string()) }
    }
}
