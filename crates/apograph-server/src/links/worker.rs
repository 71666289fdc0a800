//! The worker of one link into this server: tells the state machine what happened, does what comes out.

mod operator;
mod show;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use tokio_util::sync::CancellationToken;

use apograph::database::part::HeldError;
use apograph::settings::SourceSettings;
use apograph::{Database, OpenError, Role};
use apograph_carriers::stream::StreamCarrier;
use apograph_client::Client;
use apograph_client::types::{self, LinkForecast, LinkProof};
use apograph_format::{PartitionId, Position, Timestamp};
use apograph_replication::carrier::{JournalRequest, Refusal, RefusalKind};
use apograph_replication::lag::LagMeter;
use apograph_replication::link::{Action, Before, Cause, Event, Link, State, StopReason};
use apograph_replication::sync::{SyncFailure, SyncProgress, SyncReason, SyncRequest};

use super::control::Control;
use super::follow::{News, Stream};
use super::greet;
use super::order::Asked;
use super::synchronize::Synchronization;
use super::throttle::Throttle;
use super::{acknowledge, source, takeover};
use crate::app::App;
use crate::clock;
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
    /// The database's, where what operators told the link is kept.
    folder: PathBuf,
    orders: mpsc::Receiver<Asked>,
    control: Control,
    link: Link,
    begun: Instant,
    /// When the state machine wants to be woken.
    due: Option<Instant>,
    client: Option<Client>,
    handshake: Option<types::Handshake>,
    database: Option<Database>,
    /// Cancelled when streams, or a synchronization, have to end.
    running: CancellationToken,
    /// The last synchronization: the next one begins when it has let go of the database.
    driver: Option<JoinHandle<()>>,
    throttle: Throttle,
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    meter: LagMeter,
    /// By partition: everything up to here was taken.
    reached: BTreeMap<PartitionId, Timestamp>,
    proof: Option<LinkProof>,
    proven: Vec<Option<Position>>,
    /// How far the synchronization is.
    progress: Option<SyncProgress>,
    /// A synchronization that waits until somebody approved it.
    unapproved: Option<(SyncReason, u32)>,
    /// `sync-request.json` is there.
    has_request: bool,
    /// What it asks for was begun by this process.
    has_begun: bool,
    /// What the source said last of its window, and when.
    forecast: (mpsc::Sender<LinkForecast>, mpsc::Receiver<LinkForecast>, Option<(LinkForecast, Instant)>),
    /// Why the link is in its state, for people.
    reason: Option<String>,
    /// Which cause that explains.
    explained: Cause,
    /// What the log said last of each state: a link that asks again in vain does not say it again.
    logged: BTreeMap<&'static str, String>,
    since: i64,
    reported: Instant,
    /// One report at a time.
    reporting: Arc<Semaphore>,
    /// One attempt to become primary at a time.
    taking_over: Arc<Semaphore>,
}

impl Worker {
    pub(super) fn new(
        app: App,
        name: &str,
        role: Role,
        source: SourceSettings,
        orders: mpsc::Receiver<Asked>,
    ) -> Worker {
        let database = app.database(name).ok();
        let held = database.as_ref().map(greet::held);
        let folder = app.folder.database_path(name);
        let (control, unreadable) = operator::told(&folder);
        let (due, has_request) = operator::due(&folder, database.as_ref());
        let before = Before { paused: control.paused, due };
        let begun = Instant::now();
        let (forecasts, forecast) = mpsc::channel(1);
        Worker {
            link: Link::new(role.view(), held, before).speaking(app.versions),
            name: name.to_owned(),
            running: app.shutdown.child_token(),
            driver: None,
            throttle: Throttle::new(control.bytes_per_second(&source)),
            news: mpsc::channel(NEWS_MAX),
            meter: LagMeter::default(),
            reached: BTreeMap::new(),
            since: clock::now_us(),
            due: Some(begun),
            client: None,
            handshake: None,
            proof: None,
            proven: Vec::new(),
            progress: None,
            unapproved: None,
            forecast: (forecasts, forecast, None),
            reason: unreadable.or_else(|| control.paused.then(|| explanation(Cause::Paused, None))),
            explained: if control.paused { Cause::Paused } else { Cause::Due },
            logged: BTreeMap::new(),
            reported: begun,
            reporting: Arc::new(Semaphore::new(1)),
            taking_over: Arc::new(Semaphore::new(1)),
            has_request,
            has_begun: false,
            app,
            role,
            source,
            folder,
            orders,
            control,
            begun,
            database,
        }
    }

    /// Runs until the server stops, or is no copy any more, or follows another source.
    pub(super) async fn run(mut self, mut changes: watch::Receiver<u64>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.app.shutdown.clone();
        loop {
            let due = self.due.unwrap_or_else(Instant::now);
            // First of all: streams that end because the server stops are no news.
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                _ = changes.changed() => if self.is_over() {
                    return self.end().await;
                },
                Some(asked) = self.orders.recv() => self.asked(asked).await,
                () = sleep_until(due), if self.due.is_some() => {
                    self.due = None;
                    self.happened(Event::Due, None).await;
                }
                Some(news) = self.news.1.recv() => self.heard(news).await,
                Some(forecast) = self.forecast.1.recv() => self.forecast.2 = Some((forecast, Instant::now())),
                _ = tick.tick() => {
                    self.happened(Event::Tick, None).await;
                    self.look_for_approval().await;
                    self.look_for_suspects().await;
                    self.show().await;
                }
            }
        }
    }

    /// Is there another role, or another source, now?
    fn is_over(&self) -> bool {
        let is_primary = self.database.as_ref().is_some_and(|database| database.role() == Role::Primary);
        is_primary || source::source_of(&self.app, &self.name).as_ref() != Some(&self.source)
    }

    /// Lets go of the database.
    async fn end(mut self) {
        self.close();
        if let Some(driver) = self.driver.take() {
            let _ = driver.await;
        }
    }

    async fn heard(&mut self, news: News) {
        let now = clock::now_us();
        let is_silence = matches!(
            &news,
            News::Event(Event::Ended(_) | Event::Refused(_) | Event::SyncFailed(_), _)
                | News::Greeted(_, Err(_))
        );
        if !is_silence {
            self.meter.heard(now);
        }
        match news {
            News::Event(event, detail) => self.happened(event, detail).await,
            News::Greeted(client, answer) => self.greeted(client, answer).await,
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
        self.settle();
    }

    fn note(&mut self, before: State, detail: Option<String>) {
        let state = self.link.state();
        self.explain(detail);
        if state == before || self.app.shutdown.is_cancelled() {
            return;
        }
        self.since = clock::now_us();
        let reason = self.reason.clone().unwrap_or_default();
        if matches!(state, State::Following | State::Paused) {
            self.logged.clear();
        }
        let is_news = self.logged.insert(state.as_str(), reason.clone()).as_ref() != Some(&reason);
        match state {
            State::Stopped(_) | State::Waiting | State::Synchronizing(_) if !is_news => {}
            State::Stopped(of) if of.is_skew() => {
                tracing::warn!(database = self.name, reason, "the link pauses");
            }
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
        let cause = self.link.cause();
        if self.link.state() == State::Following {
            self.reason = None;
        } else if (cause != self.explained && cause != Cause::Due) || detail.is_some() {
            self.reason = Some(explanation(cause, detail.as_deref()));
        }
        self.explained = cause;
    }

    async fn act(&mut self, action: Action) -> Option<(Event, Option<String>)> {
        match action {
            Action::Greet => self.greet(),
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

    /// The answer comes as news: whoever pauses the link meanwhile does not wait for it.
    fn greet(&mut self) -> Option<(Event, Option<String>)> {
        let client = match greet::client(self.app.folder.path(), &self.source) {
            Ok(client) => client,
            Err(refusal) => return Some((Event::Refused(refusal.kind), Some(refusal.detail))),
        };
        let (there, view) = (self.database_there().to_owned(), self.role.view());
        let (news, shutdown) = (self.news.0.clone(), self.app.shutdown.clone());
        self.app.tasks.spawn(async move {
            let answer = tokio::select! {
                answer = greet::greet(&client, &there, view) => answer,
                () = shutdown.cancelled() => return,
            };
            let _ = news.send(News::Greeted(client, answer.map(Box::new))).await;
        });
        None
    }

    async fn greeted(&mut self, client: Client, answer: Result<Box<types::Handshake>, Refusal>) {
        match answer {
            Err(refusal) => self.happened(Event::Refused(refusal.kind), Some(refusal.detail)).await,
            Ok(handshake) => {
                let greeting = greet::greeting(&handshake);
                if let Err(reason) = self.hear_of_epochs(&handshake).await {
                    // Nobody is primary: it is tried again, and not followed who steps down for this server.
                    let detail = format!(
                        "this server was given the role of primary and could not take over: {reason}"
                    );
                    return self.happened(Event::Refused(RefusalKind::Unavailable), Some(detail)).await;
                }
                let held = self.database.as_ref().map(greet::held);
                if let Some(held) = held.clone() {
                    self.happened(Event::Known(held), None).await;
                }
                let misfit = greet::misfit(&greeting, &self.app.versions, held.as_ref());
                self.client = Some(client);
                self.handshake = Some(*handshake);
                self.happened(Event::Greeted(greeting), misfit).await;
            }
        }
    }

    /// What the source knows of epochs, this copy knows then. A source that stepped down for this server says so again; an error
    /// is why that cannot take over.
    async fn hear_of_epochs(&mut self, handshake: &types::Handshake) -> Result<(), String> {
        let Some(database) = self.database.clone() else { return Ok(()) };
        if let Some(signed) = handshake.servers.clone().map(shape::engine_signed_servers) {
            let (source, database) = (handshake.server.key, database.clone());
            let learned = tokio::task::spawn_blocking(move || database.learn_servers(&source, &signed)).await;
            if let Ok(Err(error)) = learned {
                tracing::warn!(database = self.name, %error, "what the source says of servers is not believed");
            }
        }
        let epochs = shape::engine_epochs(handshake.epochs.clone());
        let handover = handshake.handover.clone().map(shape::engine_handover);
        if let Some(handover) = handover.filter(|given| given.to.key == self.app.folder.identity().key) {
            let given = handover.epoch;
            let begun = takeover::begin(&self.app, &database, epochs, handover).await;
            // A right that was used before is nothing to wait for.
            return if database.epoch() < given { begun } else { Ok(()) };
        }
        let learned = tokio::task::spawn_blocking(move || database.learn(epochs)).await;
        if let Ok(Err(error)) = learned {
            tracing::warn!(database = self.name, %error, "what the source says of epochs is not believed");
        }
        Ok(())
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
            Ok(Err(error)) => {
                let reason = match &error {
                    OpenError::Held(HeldError::NotThere { .. }) => StopReason::PartitionsElsewhere,
                    _ => StopReason::Halted,
                };
                (Event::Halted(reason), Some(error.to_string()))
            }
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
        let generation = database.generation();
        for (partition, from, source) in database.resume() {
            let stream = Stream {
                generation,
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
        // What a part of the database has on disk cannot take its primary's place.
        if self.role == Role::Replica && !database.is_part() {
            let (there, server) =
                (self.database_there().to_owned(), shape::identity(self.app.folder.identity()));
            let told =
                acknowledge::run(database.clone(), client.clone(), there, server, self.running.clone());
            self.app.tasks.spawn(told);
        }
        None
    }

    /// A read found something damaged: the source has it.
    async fn look_for_suspects(&mut self) {
        let has_suspects = || self.database.as_ref().is_some_and(Database::has_suspects);
        if self.link.state() == State::Following && has_suspects() {
            self.happened(Event::Needs(SyncReason::Damaged), None).await;
        }
    }

    /// Begins a synchronization, or goes on with one, when `sync-request.json` lets it.
    fn synchronize(&mut self, why: SyncReason, round: u32) -> Option<(Event, Option<String>)> {
        self.running = self.app.shutdown.child_token();
        // One that goes on after a restart may count more rounds than this link.
        let same_round = |progress: &SyncProgress| progress.round >= round;
        if !self.progress.as_ref().is_some_and(same_round) {
            self.progress = Some(SyncProgress::begun(why, round, clock::now_us()));
        }
        let request = match self.approved(why, round) {
            Ok(request) => request?,
            Err(error) => return Some((Event::Halted(StopReason::SyncRequest), Some(error.to_string()))),
        };
        let (Some(database), Some(client)) = (&self.database, &self.client) else {
            return None;
        };
        // What an operator asks for begins anew, once; then it goes on where it was.
        let is_begun = self.has_begun && database.sync_marker().is_some();
        let why = if is_begun && why == SyncReason::Requested { SyncReason::Unfinished } else { why };
        self.has_begun = true;
        let synchronization =
            self.synchronization(database.clone(), client.clone(), request, why, round, self.news.0.clone());
        let (before, news) = (self.driver.take(), self.news.0.clone());
        self.driver = Some(self.app.tasks.spawn(async move {
            if let Some(before) = before {
                let _ = before.await;
            }
            // One that panics says nothing more by itself.
            if let Err(error) = tokio::spawn(synchronization.run()).await {
                let failed = Event::SyncFailed(SyncFailure::Halted);
                let _ = news.send(News::Event(failed, Some(error.to_string()))).await;
            }
        }));
        None
    }

    fn synchronization(
        &self,
        database: Database,
        client: Client,
        request: SyncRequest,
        why: SyncReason,
        round: u32,
        news: mpsc::Sender<News>,
    ) -> Synchronization {
        Synchronization {
            carrier: StreamCarrier::new(client, self.database_there()),
            throttle: self.throttle.clone(),
            closed: self.running.clone(),
            app: self.app.clone(),
            database,
            request,
            why,
            round,
            news,
        }
    }

    /// What came makes the waits of the link start over.
    async fn progressed(&mut self, progress: SyncProgress) {
        let counts = |progress: &SyncProgress| (progress.documents_done, progress.bytes_received);
        let is_more = self.progress.as_ref().is_none_or(|before| counts(&progress) > counts(before));
        self.progress = Some(progress);
        if is_more {
            self.happened(Event::Received, None).await;
        }
    }

    /// Closes all streams, or the synchronization; what they still had to say is of the past.
    fn close(&mut self) {
        self.running.cancel();
        self.news = mpsc::channel(NEWS_MAX);
        self.unapproved = None;
    }

    fn database_there(&self) -> &str {
        self.source.database.as_deref().unwrap_or(&self.name)
    }
}

fn explanation(cause: Cause, detail: Option<&str>) -> String {
    let detail = detail.map(|detail| format!("{detail}; ")).unwrap_or_default();
    format!("{cause}: {detail}{}", cause.sentence())
}

fn random() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness copies come back at the same time, which is a pity and no more.
    let _ = getrandom::fill(&mut bytes);
    u16::from_le_bytes(bytes)
}
