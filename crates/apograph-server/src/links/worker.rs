//! The worker of one link into this server: tells the state machine what happened, does what comes out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use tokio_util::sync::CancellationToken;

use apograph::settings::SourceSettings;
use apograph::status::DatabaseStatus;
use apograph::{Database, Role};
use apograph_carriers::stream::StreamCarrier;
use apograph_client::Client;
use apograph_client::types::{self, LinkDirection, LinkLag, LinkPeer, LinkProof, LinkState, LinkStatus};
use apograph_format::{PartitionId, Position, Timestamp};
use apograph_replication::carrier::{JournalRequest, Refusal};
use apograph_replication::lag::{LagMeter, Own};
use apograph_replication::link::{Action, Before, Cause, Event, Link, State, StopReason};
use apograph_replication::sync::{Phase, SyncProgress, SyncReason, SyncRequest};

use super::board::{Seen, link_partition};
use super::follow::{News, Stream};
use super::synchronize::Synchronization;
use super::throttle::Throttle;
use super::{greet, report};
use crate::app::App;
use crate::clock;
use crate::limits::{REPORT_INTERVAL, SOURCE_TIMEOUT};
use crate::routes::shape;

/// How often a link looks after itself: silence, numbers.
const TICK: Duration = Duration::from_millis(500);
/// News that wait for the worker; a stream waits when there are more.
const NEWS_MAX: usize = 64;

/// The worker of one link.
pub(super) struct Worker {
    app: App,
    name: String,
    role: Role,
    source: SourceSettings,
    link: Link,
    begun: Instant,
    /// When the state machine wants to be woken.
    due: Option<Instant>,
    client: Option<Client>,
    handshake: Option<types::Handshake>,
    database: Option<Database>,
    /// Cancelled when streams, or a synchronization, have to end.
    running: CancellationToken,
    throttle: Throttle,
    /// How far the synchronization is.
    progress: Option<SyncProgress>,
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    meter: LagMeter,
    /// By partition: everything up to here was taken.
    reached: BTreeMap<PartitionId, Timestamp>,
    proof: Option<LinkProof>,
    proven: Vec<Option<Position>>,
    /// Why the link is in its state, for people.
    reason: Option<String>,
    /// Which cause that explains.
    explained: Cause,
    /// What the log said last: a link that asks again in vain does not say it again.
    logged: String,
    since: i64,
    reported: Instant,
}

impl Worker {
    pub(super) fn new(app: App, name: &str, role: Role, source: SourceSettings) -> Worker {
        let database = app.database(name).ok();
        let held = database.as_ref().map(greet::held);
        let begun = Instant::now();
        Worker {
            link: Link::new(role.view(), held, Before::default()),
            name: name.to_owned(),
            running: app.shutdown.child_token(),
            throttle: Throttle::new(None),
            progress: None,
            news: mpsc::channel(NEWS_MAX),
            meter: LagMeter::default(),
            reached: BTreeMap::new(),
            since: clock::now_us(),
            due: Some(begun),
            client: None,
            handshake: None,
            proof: None,
            proven: Vec::new(),
            reason: None,
            explained: Cause::Due,
            logged: String::new(),
            reported: begun,
            app,
            role,
            source,
            begun,
            database,
        }
    }

    /// Runs until the server stops.
    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.app.shutdown.clone();
        loop {
            let due = self.due.unwrap_or_else(Instant::now);
            // First of all: streams that end because the server stops are no news.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = sleep_until(due), if self.due.is_some() => {
                    self.due = None;
                    self.happened(Event::Due, None).await;
                }
                Some(news) = self.news.1.recv() => self.heard(news).await,
                _ = tick.tick() => {
                    self.happened(Event::Tick, None).await;
                    self.show().await;
                }
            }
        }
    }

    async fn heard(&mut self, news: News) {
        let now = clock::now_us();
        if !matches!(&news, News::Event(Event::Ended(_) | Event::Refused(_), _)) {
            self.meter.heard(now);
        }
        match news {
            News::Event(event, detail) => self.happened(event, detail).await,
            News::Arrived(timestamp) => self.meter.entry(timestamp),
            News::Heartbeat(partition, heartbeat) => {
                self.reached.insert(partition, heartbeat.visible);
                let reached = self.everything_up_to();
                self.meter.heartbeat(partition, &heartbeat, reached, now);
            }
            News::Sync(progress) => self.progressed(progress).await,
        }
    }

    /// Tells the state machine, and does what it says, until it says nothing more.
    async fn happened(&mut self, event: Event, detail: Option<String>) {
        let mut events = VecDeque::from([(event, detail)]);
        while let Some((event, detail)) = events.pop_front() {
            let before = self.link.state();
            let actions = self.link.on(event, self.begun.elapsed(), random());
            self.note(before, detail);
            for action in actions {
                events.extend(self.act(action).await);
            }
        }
    }

    fn note(&mut self, before: State, detail: Option<String>) {
        let state = self.link.state();
        self.explain(detail);
        if state == before || self.app.shutdown.is_cancelled() {
            return;
        }
        self.since = clock::now_us();
        let reason = self.reason.clone().unwrap_or_default();
        let is_news = state == State::Following || reason != self.logged;
        if state != State::Connecting {
            self.logged.clone_from(&reason);
        }
        match state {
            State::Stopped(_) | State::Waiting if !is_news => {}
            State::Stopped(_) => tracing::warn!(database = self.name, reason, "the link stopped"),
            State::Waiting => tracing::info!(database = self.name, reason, "the link waits for its source"),
            State::Connecting => tracing::debug!(database = self.name, "the link connects"),
            State::Synchronizing(phase) => {
                tracing::info!(database = self.name, %phase, reason, "the link synchronizes")
            }
            State::Paused => tracing::info!(database = self.name, "the link is paused"),
            State::Following => {
                tracing::info!(database = self.name, url = self.source.url, "the link follows")
            }
        }
    }

    /// `code: what happened; what to do`. Who only asks again stays where it was with its reason.
    fn explain(&mut self, detail: Option<String>) {
        let (state, cause) = (self.link.state(), self.link.cause());
        if state == State::Following {
            self.reason = None;
        } else if (cause != self.explained && cause != Cause::Due) || detail.is_some() {
            let detail = detail.map(|detail| format!("{detail}; ")).unwrap_or_default();
            self.reason = Some(format!("{cause}: {detail}{}", cause.sentence()));
        }
        self.explained = cause;
    }

    async fn act(&mut self, action: Action) -> Option<(Event, Option<String>)> {
        match action {
            Action::Greet => Some(self.greet().await),
            Action::Adopt => Some(self.adopt().await),
            Action::Open { .. } => self.open(),
            Action::Synchronize { reason, round } => self.synchronize(reason, round),
            Action::Close => {
                self.close();
                None
            }
            Action::Wait { after } => {
                self.due = Some(Instant::now() + after);
                None
            }
        }
    }

    async fn greet(&mut self) -> (Event, Option<String>) {
        let refused = |refusal: Refusal| (Event::Refused(refusal.kind), Some(refusal.detail));
        let client = match greet::client(self.app.folder.path(), &self.source) {
            Ok(client) => client,
            Err(refusal) => return refused(refusal),
        };
        let answer = tokio::select! {
            answer = greet::greet(&client, self.database_there(), self.role.view()) => answer,
            () = self.app.shutdown.cancelled() => return (Event::Tick, None),
        };
        match answer {
            Err(refusal) => refused(refusal),
            Ok(handshake) => {
                self.meter.heard(clock::now_us());
                let greeting = greet::greeting(&handshake);
                self.client = Some(client);
                self.handshake = Some(handshake);
                let held = self.database.as_ref().map(greet::held);
                let misfit = greet::misfit(&greeting, held.as_ref());
                (Event::Greeted(greeting), misfit)
            }
        }
    }

    /// The first contact: from now on there is a database, and its primary's key is pinned.
    async fn adopt(&mut self) -> (Event, Option<String>) {
        let Some(handshake) = self.handshake.clone().and_then(greet::for_engine) else {
            let detail = "the source does not say who signs".to_owned();
            return (Event::Halted(StopReason::KeyChanged), Some(detail));
        };
        let (app, name) = (self.app.clone(), self.name.clone());
        let adopted = tokio::task::spawn_blocking(move || app.folder.adopt(&name, &handshake)).await;
        match adopted {
            Ok(Ok(database)) => {
                let held = greet::held(&database);
                self.app.adopted(&self.name, database.clone());
                self.database = Some(database);
                (Event::Adopted(held), None)
            }
            Ok(Err(error)) => (Event::Halted(StopReason::Halted), Some(error.to_string())),
            Err(error) => (Event::Halted(StopReason::Halted), Some(error.to_string())),
        }
    }

    /// One stream for every partition, from where this copy is.
    fn open(&mut self) -> Option<(Event, Option<String>)> {
        let (Some(database), Some(client), Some(handshake)) = (&self.database, &self.client, &self.handshake)
        else {
            return None;
        };
        self.running = self.app.shutdown.child_token();
        self.reached.clear();
        for (partition, from, source) in database.resume() {
            let stream = Stream {
                database: database.clone(),
                request: JournalRequest { partition, view: self.role.view(), from, source },
                source: handshake.server.key,
                throttle: self.throttle.clone(),
                news: self.news.0.clone(),
                closed: self.running.clone(),
            };
            let carrier = StreamCarrier::new(client.clone(), self.database_there());
            self.app.tasks.spawn(stream.run(carrier));
        }
        None
    }

    /// Begins a synchronization, or goes on with one.
    fn synchronize(&mut self, why: SyncReason, round: u32) -> Option<(Event, Option<String>)> {
        let (Some(database), Some(client)) = (&self.database, &self.client) else {
            return None;
        };
        self.running = self.app.shutdown.child_token();
        self.progress = None;
        let synchronization = Synchronization {
            database: database.clone(),
            carrier: StreamCarrier::new(client.clone(), self.database_there()),
            client: client.clone(),
            there: self.database_there().to_owned(),
            request: SyncRequest::default(),
            why,
            round,
            throttle: self.throttle.clone(),
            news: self.news.0.clone(),
            closed: self.running.clone(),
        };
        self.app.tasks.spawn(synchronization.run());
        None
    }

    /// What came makes the waits of the link start over.
    async fn progressed(&mut self, progress: SyncProgress) {
        let before =
            self.progress.as_ref().map_or((0, 0), |before| (before.documents_done, before.bytes_received));
        let is_more = (progress.documents_done, progress.bytes_received) > before;
        self.progress = Some(progress);
        if is_more {
            self.happened(Event::Received, None).await;
        }
    }

    /// Closes all streams; what they still had to say is of the past.
    fn close(&mut self) {
        self.running.cancel();
        self.news = mpsc::channel(NEWS_MAX);
    }

    fn database_there(&self) -> &str {
        self.source.database.as_deref().unwrap_or(&self.name)
    }

    /// The timestamp up to which nothing is missing here: heartbeats tell it also of views that leave most out.
    fn everything_up_to(&self) -> Timestamp {
        let Some(database) = &self.database else {
            return Timestamp::ZERO;
        };
        let all = database.partitioning().all().map(|partition| self.reached.get(&partition).copied());
        let taken = all.min().flatten().unwrap_or_default();
        taken.max(database.visible())
    }

    /// Puts the link on the board, and reports to the source.
    async fn show(&mut self) {
        let status = match self.database.clone() {
            None => None,
            Some(database) => self.app.blocking(move || database.status()).await.ok(),
        };
        if let Some(status) = &status {
            self.look_for_proof(status);
        }
        let lag = self.meter.measure(&own(status.as_ref()), self.everything_up_to(), clock::now_us());
        let seen = Seen { status: self.link_status(status.as_ref()), lag };
        self.app.board.show(&self.name, seen);
        if let Some(status) = status
            && self.link.state() == State::Following
            && self.reported.elapsed() >= REPORT_INTERVAL
        {
            self.reported = Instant::now();
            self.report(&status);
        }
    }

    fn report(&self, status: &DatabaseStatus) {
        let (Some(client), Some(shown)) = (self.client.clone(), self.app.board.of(&self.name)) else {
            return;
        };
        let server = shape::identity(self.app.folder.identity());
        let report = report::report(server, status, shown.state, shown.reason);
        let (closed, there) = (self.running.clone(), self.database_there().to_owned());
        self.app.tasks.spawn(async move {
            let sent = tokio::time::timeout(SOURCE_TIMEOUT, client.report(&there, &report));
            tokio::select! {
                sent = sent => match sent {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "the source did not take the report"),
                    Err(_) => tracing::debug!("the source did not take the report in time"),
                },
                () = closed.cancelled() => {}
            }
        });
    }

    /// A checkpoint that was compared is the proof that a copy equals its source.
    fn look_for_proof(&mut self, status: &DatabaseStatus) {
        let proven: Vec<_> = status.partitions.iter().map(|partition| partition.last_checkpoint).collect();
        if proven != self.proven {
            let newest = proven.iter().zip(&self.proven).find(|(new, old)| new != old).map(|(new, _)| *new);
            if let Some(position) = newest.or_else(|| proven.first().copied()).flatten() {
                self.proof = Some(LinkProof { position, timestamp: status.visible, at: clock::now_us() });
            }
            self.proven = proven;
        }
    }

    fn link_status(&self, status: Option<&DatabaseStatus>) -> LinkStatus {
        let server = self.handshake.as_ref().map(|handshake| &handshake.server);
        let peer = LinkPeer {
            url: Some(self.source.url.clone()),
            name: server.map(|server| server.name.clone()),
            key: server.map(|server| server.key),
        };
        let partitions = status.map(|status| status.partitions.iter().map(link_partition).collect());
        LinkStatus {
            name: format!("{}←{}", self.name, peer.name.as_deref().unwrap_or(&self.source.url)),
            database: self.name.clone(),
            direction: LinkDirection::In,
            view: self.role.view(),
            peer,
            state: match self.link.state() {
                State::Connecting => LinkState::Connecting,
                State::Following => LinkState::Following,
                State::Synchronizing(Phase::Planning) => LinkState::Planning,
                State::Synchronizing(Phase::Transferring) => LinkState::Transferring,
                State::Synchronizing(Phase::Installing) => LinkState::Installing,
                State::Waiting => LinkState::Waiting,
                State::Paused => LinkState::Paused,
                State::Stopped(_) => LinkState::Stopped,
            },
            reason: self.reason.clone(),
            since: self.since,
            partitions: partitions.unwrap_or_default(),
            lag: LinkLag::default(),
            last_proof: self.proof.clone(),
        }
    }
}

fn own(status: Option<&DatabaseStatus>) -> Vec<Own> {
    let Some(status) = status else {
        return Vec::new();
    };
    let partition = |partition: &apograph::status::PartitionStatus| Own {
        partition: partition.partition,
        applied: partition.source.unwrap_or(partition.applied),
        bytes: partition.source.is_none().then_some(partition.journal_bytes_appended),
    };
    status.partitions.iter().map(partition).collect()
}

fn random() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness copies come back at the same time, which is a pity and no more.
    let _ = getrandom::fill(&mut bytes);
    u16::from_le_bytes(bytes)
}
