//! Numbers for Prometheus: a registry of its own for every server.

mod stages;

use std::sync::atomic::{AtomicI64, AtomicU64};

use axum::http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use apograph::status::DatabaseStatus;
use apograph_client::types::{LagLimitView, LagReaction, LinkForecast, LinkProgress, LinkState, LinkStatus};
use apograph_replication::link::StopReason;
use apograph_replication::versions::Versions;

use stages::Stages;

/// What a server counts.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    broken_streams: Counter,
    waits: Family<WaitLabels, Counter>,
    waiting: Number,
    kept_back: Family<GateLabels, Number>,
    visible: Family<DatabaseLabels, Number>,
    documents: Family<ViewLabels, Number>,
    entries: Family<PartitionLabels, Number>,
    applied: Family<PartitionLabels, Number>,
    appended: Family<PartitionLabels, Number>,
    kept: Family<PartitionLabels, Number>,
    stopped: Family<DatabaseLabels, Number>,
    link_following: Family<LinkLabels, Number>,
    lag_entries: Family<LinkLabels, Number>,
    lag_bytes: Family<LinkLabels, Number>,
    lag_age: Family<LinkLabels, Number>,
    lag_contact: Family<LinkLabels, Number>,
    link_paused: Family<LinkLabels, Number>,
    versions: Family<VersionLabels, Number>,
    link_skew: Family<LinkLabels, Number>,
    sync: Family<SyncLabels, Number>,
    sync_numbers: SyncNumbers,
    forecast: ForecastNumbers,
    resident: Number,
    stages: Stages,
}

type Number = Gauge<i64, AtomicI64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: String,
    status: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GateLabels {
    database: String,
    link: String,
    action: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DatabaseLabels {
    database: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ViewLabels {
    database: String,
    view: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabels {
    database: String,
    partition: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LinkLabels {
    link: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabels {
    software: String,
    protocol: u32,
    format: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SyncLabels {
    link: String,
    phase: &'static str,
}

/// Of synchronizations that are due or under way; absent otherwise.
#[derive(Default)]
struct SyncNumbers {
    round: Family<LinkLabels, Number>,
    documents_done: Family<LinkLabels, Number>,
    documents: Family<LinkLabels, Number>,
    received: Family<LinkLabels, Number>,
    bytes: Family<LinkLabels, Number>,
    seconds_left: Family<LinkLabels, Number>,
}

/// How long a source keeps what a copy lacks; absent while not known, or when it keeps it at the rate of now.
#[derive(Default)]
struct ForecastNumbers {
    leaves: Family<LinkLabels, Number>,
    missing: Family<LinkLabels, Number>,
    cost: Family<LinkLabels, Number>,
}

impl SyncNumbers {
    fn register(&self, registry: &mut Registry) {
        registry.register("link_sync_round", "Attempts to reach equality", self.round.clone());
        registry.register("link_sync_documents_done", "Documents brought over", self.documents_done.clone());
        registry.register("link_sync_documents", "Documents to bring over, as known", self.documents.clone());
        registry.register("link_sync_received_bytes", "Bytes that came", self.received.clone());
        registry.register("link_sync_bytes", "Bytes that have to come, if known", self.bytes.clone());
        registry.register("link_sync_left_seconds", "Until all is here, if known", self.seconds_left.clone());
    }

    fn note(&self, labels: &LinkLabels, progress: Option<&LinkProgress>) {
        note(&self.round, labels, progress.map(|progress| progress.round.into()));
        note(&self.documents_done, labels, progress.map(|progress| progress.documents_done));
        note(&self.documents, labels, progress.map(|progress| progress.documents_total));
        note(&self.received, labels, progress.map(|progress| progress.bytes_received));
        note(&self.bytes, labels, progress.and_then(|progress| progress.bytes_total));
        note(&self.seconds_left, labels, progress.and_then(|progress| progress.seconds_left));
    }
}

impl ForecastNumbers {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "link_leaves_window_seconds",
            "Until the copy has to synchronize",
            self.leaves.clone(),
        );
        registry.register("link_missing_bytes", "Journal bytes that the copy lacks", self.missing.clone());
        registry.register("link_catch_up_bytes", "The same when it leaves the window", self.cost.clone());
    }

    fn note(&self, labels: &LinkLabels, forecast: Option<&LinkForecast>) {
        let leaves = |forecast: &LinkForecast| if forecast.is_out { Some(0) } else { forecast.leaves_in_s };
        note(&self.leaves, labels, forecast.and_then(leaves));
        note(&self.missing, labels, forecast.map(|forecast| forecast.missing_bytes));
        note(&self.cost, labels, forecast.map(|forecast| forecast.cost_bytes));
    }
}

/// Which side of a link is too new, by the reason that a copy gives.
fn skew(status: &LinkStatus) -> i64 {
    let is = |code: &str| {
        let reason = status.reason.as_deref().unwrap_or_default();
        status.state == LinkState::Paused && reason.starts_with(code)
    };
    i64::from(is(StopReason::SourceNewer.as_str())) - i64::from(is(StopReason::SourceOlder.as_str()))
}

/// Sets what is known, and takes away what is not.
fn note(family: &Family<LinkLabels, Number>, labels: &LinkLabels, known: Option<u64>) {
    match known {
        Some(known) => drop(family.get_or_create(labels).set(number(known))),
        None => drop(family.remove(labels)),
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("apograph"),
            requests: Family::default(),
            broken_streams: Counter::<u64, AtomicU64>::default(),
            waits: Family::default(),
            waiting: Number::default(),
            kept_back: Family::default(),
            visible: Family::default(),
            documents: Family::default(),
            entries: Family::default(),
            applied: Family::default(),
            appended: Family::default(),
            kept: Family::default(),
            stopped: Family::default(),
            link_following: Family::default(),
            lag_entries: Family::default(),
            lag_bytes: Family::default(),
            lag_age: Family::default(),
            lag_contact: Family::default(),
            link_paused: Family::default(),
            versions: Family::default(),
            link_skew: Family::default(),
            sync: Family::default(),
            sync_numbers: SyncNumbers::default(),
            forecast: ForecastNumbers::default(),
            resident: Number::default(),
            stages: Stages::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Answered requests", self.requests.clone());
        registry.register("broken_streams", "Journal streams that failed", self.broken_streams.clone());
        registry.register("durability_waits", "Writes that waited for replicas", self.waits.clone());
        registry.register(
            "lag_limit_exceeded",
            "1 while a copy is beyond its lag limit, by what happens to writes",
            self.kept_back.clone(),
        );
        registry.register("durability_waiting", "Writes that wait for replicas", self.waiting.clone());
        registry.register(
            "visible_micros",
            "Visible timestamp, microseconds since 1970",
            self.visible.clone(),
        );
        registry.register("documents", "Documents in a view", self.documents.clone());
        registry.register("journal_entries", "Sequence of the last durable entry", self.entries.clone());
        registry.register("applied_entries", "Sequence of the last applied entry", self.applied.clone());
        registry.register("journal_appended_bytes", "Entry bytes ever appended", self.appended.clone());
        registry.register("journal_kept_bytes", "Journal bytes on disk", self.kept.clone());
        registry.register("stopped", "1 if the database takes no writes", self.stopped.clone());
        registry.register("link_following", "1 if the link follows its source", self.link_following.clone());
        registry.register(
            "link_lag_entries",
            "Entries not applied; absent if not known",
            self.lag_entries.clone(),
        );
        registry.register("link_lag_bytes", "Their bytes; absent if not known", self.lag_bytes.clone());
        registry.register("link_lag_age_ms", "Age of the oldest of them", self.lag_age.clone());
        registry.register("link_contact_age_ms", "Time since the source was heard", self.lag_contact.clone());
        registry.register(
            "link_paused",
            "1 if an operator paused the link, or versions did",
            self.link_paused.clone(),
        );
        registry.register(
            "link_version_skew",
            "1 if the source is too new for the copy, -1 if it is too old, 0 if they fit",
            self.link_skew.clone(),
        );
        registry.register("versions", "1, with what this server is and speaks", self.versions.clone());
        registry.register("link_synchronizing", "1 in the phase that it is in", self.sync.clone());
        self.sync_numbers.register(registry);
        self.forecast.register(registry);
        registry.register_collector(Box::new(self.stages.clone()));
        registry.register("resident_bytes", "Resident memory of the process", self.resident.clone());
    }

    /// What this server is and speaks.
    pub(crate) fn versions(&self, versions: &Versions) {
        let labels = VersionLabels {
            software: versions.software.to_string(),
            protocol: versions.protocol,
            format: versions.format.into(),
        };
        self.versions.get_or_create(&labels).set(1);
    }

    /// A request was answered.
    pub(crate) fn answered(&self, route: &'static str, method: &Method, status: u16) {
        let labels = RequestLabels { route, method: method.to_string(), status: status.into() };
        self.requests.get_or_create(&labels).inc();
    }

    /// A journal stream failed.
    pub(crate) fn stream_broke(&self) {
        self.broken_streams.inc();
    }

    /// A write waited for replicas, and had them in time or not.
    pub(crate) fn waited(&self, is_reached: bool) {
        let outcome = if is_reached { "reached" } else { "missed" };
        self.waits.get_or_create(&WaitLabels { outcome }).inc();
    }

    /// So many wait now.
    pub(crate) fn waiting(&self, waiting: usize) {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Copies of a database that are beyond their limits.
    pub(crate) fn lag_limits(&self, limits: &[(String, Vec<LagLimitView>)]) {
        self.kept_back.clear();
        for (database, limit) in
            limits.iter().flat_map(|(name, limits)| limits.iter().map(move |of| (name, of)))
        {
            let action = match limit.now {
                None => continue,
                Some(LagReaction::Warn) => "warn",
                Some(LagReaction::Stall) => "stall",
                Some(LagReaction::Reject) => "reject",
            };
            let labels = GateLabels { database: database.clone(), link: limit.server.clone(), action };
            self.kept_back.get_or_create(&labels).set(1);
        }
    }

    /// Everything, as text.
    pub(crate) fn text(&self, databases: &[DatabaseStatus], links: &[LinkStatus]) -> String {
        for database in databases {
            self.note_database(database);
        }
        self.stages.note(databases);
        for link in links {
            self.note_link(link);
        }
        self.resident.set(resident_bytes().unwrap_or(0));
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }

    fn note_database(&self, status: &DatabaseStatus) {
        let database = || status.name.clone();
        let labels = DatabaseLabels { database: database() };
        self.visible.get_or_create(&labels).set(number(status.visible.0));
        self.stopped.get_or_create(&labels).set(i64::from(status.stopped.is_some()));
        for view in &status.digests {
            let labels = ViewLabels { database: database(), view: view.view.to_string() };
            self.documents.get_or_create(&labels).set(number(view.documents));
        }
        for partition in &status.partitions {
            let labels = PartitionLabels { database: database(), partition: partition.partition.0.into() };
            self.entries.get_or_create(&labels).set(number(partition.journal_end.sequence));
            self.applied.get_or_create(&labels).set(number(partition.applied.sequence));
            self.appended.get_or_create(&labels).set(number(partition.journal_bytes_appended));
            self.kept.get_or_create(&labels).set(number(partition.journal_bytes_kept));
        }
    }

    fn note_link(&self, status: &LinkStatus) {
        let labels = LinkLabels { link: status.name.clone() };
        let following = status.state == LinkState::Following;
        self.link_following.get_or_create(&labels).set(i64::from(following));
        let lag = &status.lag;
        let numbers = [
            (&self.lag_entries, lag.entries),
            (&self.lag_bytes, lag.bytes),
            (&self.lag_age, lag.oldest_unapplied_age_ms),
            (&self.lag_contact, lag.last_contact_age_ms),
        ];
        for (family, known) in numbers {
            note(family, &labels, known);
        }
        self.link_paused.get_or_create(&labels).set(i64::from(status.state == LinkState::Paused));
        self.link_skew.get_or_create(&labels).set(skew(status));
        let phases = [
            (LinkState::Planning, "planning"),
            (LinkState::Transferring, "transferring"),
            (LinkState::Installing, "installing"),
        ];
        for (state, phase) in phases {
            let labels = SyncLabels { link: status.name.clone(), phase };
            self.sync.get_or_create(&labels).set(i64::from(status.state == state));
        }
        self.sync_numbers.note(&labels, status.progress.as_ref());
        self.forecast.note(&labels, status.forecast.as_ref());
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// From the kernel; `None` where it does not tell.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}
