//! Watches the copies of one database that have limits, and closes or opens its gate.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use apograph::database::{Durable, Gate, GateMode};
use apograph::{Database, Role};
use apograph_client::types::{LagLimit, LagReaction, LinkState};
use apograph_format::Timestamp;
use apograph_replication::lag_limit::{self, Fault, Reaction, Seen};

use super::file;
use crate::app::App;
use crate::clock;
use crate::durability::Word;

/// Time alone makes a copy late or lost: it is looked at this often.
const LOOK: Duration = Duration::from_millis(100);
/// And not more often than this, however many transactions there are.
const GAP: Duration = Duration::from_millis(2);

/// Since when a copy lacks something, as far as this server saw.
#[derive(Debug, Clone, Copy)]
struct Behind {
    since: Instant,
    durable: Timestamp,
}

/// Runs until the server stops.
pub(crate) async fn run(app: App, name: String) {
    let shutdown = app.shutdown.clone();
    tokio::select! {
        () = keep(&app, &name) => {}
        () = shutdown.cancelled() => {}
    }
}

async fn keep(app: &App, name: &str) {
    let mut changes = app.lag_limits.changes.subscribe();
    load(app, name).await;
    let mut acknowledged = app.copies.subscribe();
    let mut behind: BTreeMap<String, Behind> = BTreeMap::new();
    // A copy that never said anything is lost when this server was primary for long enough without it.
    let mut begun = Instant::now();
    loop {
        let limits = app.lag_limits.locked().get(name).map(|of| of.limits.clone()).unwrap_or_default();
        let database = app.database(name).ok().filter(|database| database.role() == Role::Primary);
        behind.retain(|server, _| limits.contains_key(server));
        let (Some(database), false) = (&database, limits.is_empty()) else {
            open(app, name);
            begun = Instant::now();
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK), if !limits.is_empty() => {}
            }
            continue;
        };
        let mut visible = database.watch_visible();
        visible.borrow_and_update();
        acknowledged.borrow_and_update();
        let own = database.durable();
        let mut found = Vec::new();
        for (server, limit) in &limits {
            let word = app.copies.last_word(name, server).map(|last| (last.word, last.heard));
            let seen = seen(app, name, server, begun, &own, word, &mut behind);
            if let Some((fault, reaction)) = rule(limit).judge(&seen) {
                found.push((server.clone(), reaction, in_words(fault, limit), limit.stall_seconds));
            }
        }
        apply(app, database, found);
        tokio::time::sleep(GAP).await;
        tokio::select! {
            _ = changes.changed() => {}
            _ = acknowledged.changed() => {}
            _ = visible.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn load(app: &App, name: &str) {
    let folder = app.folder.database_path(name);
    match tokio::task::spawn_blocking(move || file::read(&folder)).await {
        Ok(Ok(limits)) => app.lag_limits.locked().entry(name.to_owned()).or_default().limits = limits,
        Ok(Err(error)) => {
            tracing::error!(database = name, %error, "the lag limits cannot be understood: there are none");
            let mut databases = app.lag_limits.locked();
            databases.entry(name.to_owned()).or_default().unreadable = Some(error.to_string());
        }
        Err(error) => tracing::error!(database = name, %error, "the lag limits could not be read"),
    }
}

/// How a copy stands.
fn seen(
    app: &App,
    name: &str,
    server: &str,
    begun: Instant,
    own: &Durable,
    word: Option<(Word, std::time::Instant)>,
    behind: &mut BTreeMap<String, Behind>,
) -> Seen {
    let now = Instant::now();
    let report = app.board.report_of(name, server);
    let reported = report.as_ref().map(|(_, at)| micros(clock::now_us().saturating_sub(*at)));
    let acknowledged = word.as_ref().map(|(_, heard)| heard.elapsed());
    let word = word.map(|(word, _)| word);
    let silent = [reported, acknowledged, Some(now.duration_since(begun))].into_iter().flatten().min();
    let follows = report.as_ref().is_some_and(|(report, _)| report.state == LinkState::Following);
    let mut seen = Seen { silent: silent.unwrap_or_default(), follows, ..Seen::default() };
    // A copy that is paused acknowledges nothing, and reports all the same where it stands.
    let word = match (reported, acknowledged) {
        (Some(reported), Some(acknowledged)) if acknowledged <= reported => word,
        (Some(_), _) => report.map(|(report, _)| Word::of_report(&report)),
        (None, _) => word,
    };
    let Some(word) = word.filter(|word| word.up_to.epoch == own.epoch) else {
        // Not a word of this epoch: what it lacks is not known, but since when that is so.
        let unknown = Behind { since: now, durable: Timestamp::ZERO };
        seen.age = Some(now.duration_since(behind.entry(server.to_owned()).or_insert(unknown).since));
        return seen;
    };
    let durable = word.up_to.timestamp;
    if durable >= own.up_to {
        behind.remove(server);
        (seen.age, seen.entries, seen.bytes) = (Some(Duration::ZERO), Some(0), Some(0));
        return seen;
    }
    let mut lacks = behind.get(server).copied().unwrap_or(Behind { since: now, durable });
    if lacks.durable != durable {
        // It got something: what it lacks now was committed after that.
        let age = micros(clock::now_us().saturating_sub(i64::try_from(durable.0).unwrap_or(i64::MAX)));
        lacks = Behind { since: lacks.since.max(now.checked_sub(age).unwrap_or(lacks.since)), durable };
    }
    behind.insert(server.to_owned(), lacks);
    seen.age = Some(now.duration_since(lacks.since));
    // A copy of some partitions says nothing of the others.
    let told = own.partitions.iter().filter(|(partition, ..)| word.partitions.contains_key(partition));
    let missing = told.map(|(partition, end, appended)| {
        let (sequence, bytes) = word.partitions.get(partition).copied()?;
        Some((end.sequence.saturating_sub(sequence), appended.saturating_sub(bytes)))
    });
    let missing: Option<Vec<(u64, u64)>> = missing.collect();
    seen.entries = missing.as_ref().map(|missing| missing.iter().map(|(entries, _)| entries).sum());
    seen.bytes = missing.as_ref().map(|missing| missing.iter().map(|(_, bytes)| bytes).sum());
    seen
}

/// Closes the gate for the hardest reaction, or opens it.
fn apply(app: &App, database: &Database, found: Vec<(String, Reaction, String, u64)>) {
    let hardest = found.iter().max_by_key(|(_, reaction, ..)| *reaction);
    let gate = hardest.and_then(|(server, reaction, reason, stall_seconds)| {
        let mode = match reaction {
            Reaction::Warn => return None,
            Reaction::Stall => GateMode::Stall { at_most: Duration::from_secs(*stall_seconds) },
            Reaction::Reject => GateMode::Reject,
        };
        Some(Gate { link: server.clone(), reason: reason.clone(), mode })
    });
    let name = database.name();
    let standing: BTreeMap<_, _> = found
        .iter()
        .map(|(server, reaction, reason, _)| (server.clone(), (reaction_view(*reaction), reason.clone())))
        .collect();
    let before = database.gate();
    {
        let mut databases = app.lag_limits.locked();
        let of = databases.entry(name.to_owned()).or_default();
        for (server, (reaction, reason)) in &standing {
            if !of.standing.contains_key(server) {
                tracing::warn!(
                    database = name,
                    copy = server,
                    ?reaction,
                    reason,
                    "a copy is beyond its limit"
                );
            }
        }
        for server in of.standing.keys().filter(|server| !standing.contains_key(*server)) {
            tracing::info!(database = name, copy = server, "a copy keeps to its limit again");
        }
        of.standing = standing;
    }
    if before != gate {
        database.set_gate(gate);
    }
}

/// Nothing is limited here now.
fn open(app: &App, name: &str) {
    if let Some(of) = app.lag_limits.locked().get_mut(name) {
        of.standing.clear();
    }
    if let Some(database) = app.database(name).ok().filter(|database| database.gate().is_some()) {
        database.set_gate(None);
    }
}

fn rule(limit: &LagLimit) -> lag_limit::LagLimit {
    lag_limit::LagLimit {
        age: limit.seconds.map(Duration::from_secs),
        entries: limit.entries,
        bytes: limit.bytes,
        beyond: reaction(limit.action),
        lost: reaction(limit.on_lost_contact),
        lost_after: Duration::from_secs(limit.contact_seconds),
        crucial: limit.crucial,
    }
}

fn reaction(reaction: LagReaction) -> Reaction {
    match reaction {
        LagReaction::Warn => Reaction::Warn,
        LagReaction::Stall => Reaction::Stall,
        LagReaction::Reject => Reaction::Reject,
    }
}

fn reaction_view(reaction: Reaction) -> LagReaction {
    match reaction {
        Reaction::Warn => LagReaction::Warn,
        Reaction::Stall => LagReaction::Stall,
        Reaction::Reject => LagReaction::Reject,
    }
}

/// What is wrong, without numbers that change all the time: the status has those.
fn in_words(fault: Fault, limit: &LagLimit) -> String {
    let max = |value: Option<u64>| value.unwrap_or_default();
    match fault {
        Fault::Lost(_) => format!("nothing was heard of it for more than {} s", limit.contact_seconds),
        Fault::NotFollowing => "it is crucial, and does not follow".to_owned(),
        Fault::Age(_) => format!("it is more than {} s behind", max(limit.seconds)),
        Fault::Entries(_) => format!("it lacks more than {} entries", max(limit.entries)),
        Fault::Bytes(_) => format!("it lacks more than {} bytes", max(limit.bytes)),
    }
}

fn micros(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}
