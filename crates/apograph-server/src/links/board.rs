//! How all links stand: those into this server by their workers, those out of it by what copies report.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apograph::Role;
use apograph::status::{DatabaseStatus, PartitionStatus};
use apograph_client::types::{
    LinkDirection, LinkForecast, LinkLag, LinkPartition, LinkPeer, LinkReport, LinkState, LinkStatus,
    ServerIdentity,
};
use apograph_format::{Participants, ServerKey, Timestamp, View};
use apograph_replication::forecast::Forecast;
use apograph_replication::lag::Lag;

use super::shown;
use crate::limits::{COPIES_MAX, READY_AGE_MAX, REPORT_AGE_MAX};

/// How all links stand.
#[derive(Debug, Default)]
pub(crate) struct Board {
    inbound: Mutex<BTreeMap<String, Seen>>,
    outbound: Mutex<BTreeMap<(String, ServerKey), Reported>>,
}

/// A link into this server, as its worker last saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) status: LinkStatus,
    pub(super) lag: Lag,
}

/// A copy's last word.
#[derive(Debug, Clone)]
struct Reported {
    report: LinkReport,
    at: i64,
    since: i64,
    /// The oldest visible timestamp of ours that the copy had not reached.
    pending: Option<Timestamp>,
    forecast: Option<LinkForecast>,
}

impl Board {
    /// A worker says how its link stands.
    pub(super) fn show(&self, database: &str, seen: Seen) {
        locked(&self.inbound).insert(database.to_owned(), seen);
    }

    /// No link brings this database any more.
    pub(super) fn forget(&self, database: &str) {
        locked(&self.inbound).remove(database);
    }

    /// When the source of a copy was last heard, microseconds since 1970.
    pub(crate) fn last_contact(&self, database: &str) -> Option<(LinkState, i64)> {
        let inbound = locked(&self.inbound);
        let seen = inbound.get(database)?;
        Some((seen.status.state, seen.lag.last_contact?))
    }

    /// What copies of all of a database's partitions, in the full view, last said: who they are, what they show, whether
    /// they follow, and when.
    pub(crate) fn copies(
        &self,
        database: &str,
        partitions: u16,
    ) -> Vec<(ServerIdentity, Timestamp, LinkState, i64)> {
        let outbound = locked(&self.outbound);
        let of = outbound.iter().filter(|((name, _), reported)| {
            let is_whole = reported.report.partitions.len() >= usize::from(partitions);
            name == database && reported.report.view == View::Full && is_whole
        });
        of.map(|(_, reported)| {
            let report = &reported.report;
            (report.server.clone(), report.visible, report.state, reported.at)
        })
        .collect()
    }

    /// The partitions of the full copy of this name or URL, if it holds some only.
    pub(crate) fn part_of(&self, database: &str, partitions: u16, server: &str) -> Option<Participants> {
        let outbound = locked(&self.outbound);
        let mut of = outbound.iter().filter(|((name, _), reported)| {
            let report = &reported.report;
            let is_it = report.server.name == server || report.server.url.as_deref() == Some(server);
            name == database && report.view == View::Full && is_it
        });
        let report = of.next().map(|(_, reported)| &reported.report)?;
        let held: Participants = report.partitions.iter().map(|of| of.partition).collect();
        (held.count() > 0 && held.count() < u32::from(partitions)).then_some(held)
    }

    /// The last report of the full copy of this name, and when it came.
    pub(crate) fn report_of(&self, database: &str, server: &str) -> Option<(LinkReport, i64)> {
        let outbound = locked(&self.outbound);
        let is_it = |(of, reported): &(&(String, ServerKey), &Reported)| {
            of.0 == database && reported.report.view == View::Full && reported.report.server.name == server
        };
        let newest = outbound.iter().filter(is_it).max_by_key(|(_, reported)| reported.at);
        newest.map(|(_, reported)| (reported.report.clone(), reported.at))
    }

    /// Does the copy of this name hold a part of the database only?
    pub(crate) fn is_partial(&self, database: &str, server: &str) -> bool {
        let outbound = locked(&self.outbound);
        let mut of_server = outbound
            .iter()
            .filter(|((name, _), reported)| name == database && reported.report.server.name == server)
            .peekable();
        of_server.peek().is_some() && of_server.all(|(_, reported)| reported.report.view != View::Full)
    }

    /// Links into this server, with ages as of now.
    pub(crate) fn inbound(&self) -> Vec<LinkStatus> {
        let now = crate::clock::now_us();
        locked(&self.inbound).values().map(|seen| seen.at(now)).collect()
    }

    /// How the link of one database stands.
    pub(super) fn of(&self, database: &str) -> Option<LinkStatus> {
        locked(&self.inbound).get(database).map(|seen| seen.at(crate::clock::now_us()))
    }

    /// Why a copy is not ready, end to end: it follows, and what it was told of is applied.
    pub(crate) fn not_ready(&self, database: &str) -> Option<String> {
        let inbound = locked(&self.inbound);
        let Some(seen) = inbound.get(database) else {
            return Some(format!("{database} has no link"));
        };
        let bound_us = u64::try_from(READY_AGE_MAX.as_micros()).unwrap_or(u64::MAX);
        match (seen.status.state, seen.lag.oldest_unapplied_us) {
            (LinkState::Following, Some(age)) if age <= bound_us => None,
            (LinkState::Following, Some(age)) => Some(format!("{database} is {} s behind", age / 1_000_000)),
            (LinkState::Following, None) => Some(format!("{database} does not know yet how far it is")),
            (state, _) => Some(format!("{database} does not follow its source: {state}")),
        }
    }

    /// A copy reported, when this server could show everything up to `visible`.
    pub(crate) fn reported(
        &self,
        database: &str,
        report: LinkReport,
        visible: Timestamp,
        now_us: i64,
        forecast: impl FnOnce(&LinkReport, Option<Duration>) -> Option<Forecast>,
    ) -> Option<LinkForecast> {
        let mut outbound = locked(&self.outbound);
        let key = (database.to_owned(), report.server.key);
        let before = outbound.get(&key);
        let pending = before.and_then(|before| before.pending).filter(|pending| *pending > report.visible);
        let pending = pending.or_else(|| Some(visible).filter(|visible| *visible > report.visible));
        let same = before.filter(|before| before.report.state == report.state);
        let since = same.map_or(now_us, |before| before.since);
        if before.is_none() && outbound.len() >= COPIES_MAX {
            let oldest = outbound.iter().min_by_key(|(_, reported)| reported.at).map(|(key, _)| key.clone());
            oldest.map(|oldest| outbound.remove(&oldest));
        }
        let age_us = |since: Timestamp| u64::try_from(now_us).unwrap_or(0).saturating_sub(since.0);
        let oldest = pending.map(age_us).map(Duration::from_micros);
        let forecast = forecast(&report, oldest).map(|forecast| shown::forecast(&forecast));
        let answer = forecast.clone();
        outbound.insert(key, Reported { report, at: now_us, since, pending, forecast });
        answer
    }

    /// Links out of this server, of one database.
    pub(crate) fn outbound(&self, database: &DatabaseStatus, now_us: i64) -> Vec<LinkStatus> {
        let outbound = locked(&self.outbound);
        // A copy that became the primary follows nobody.
        let follows = |reported: &Reported| {
            database.role == Role::Primary
                || reported.report.server.url.is_none()
                || reported.report.server.url != database.primary_url
        };
        let of_database =
            outbound.iter().filter(|((name, _), reported)| *name == database.name && follows(reported));
        of_database.map(|(_, reported)| reported.status(database, now_us)).collect()
    }
}

impl Seen {
    fn at(&self, now_us: i64) -> LinkStatus {
        LinkStatus { lag: lag_at(&self.lag, now_us), ..self.status.clone() }
    }
}

impl Reported {
    fn status(&self, database: &DatabaseStatus, now_us: i64) -> LinkStatus {
        let report = &self.report;
        let silent_us = now_us.saturating_sub(self.at);
        let is_silent =
            i128::from(silent_us) > i128::try_from(REPORT_AGE_MAX.as_micros()).unwrap_or(i128::MAX);
        let (state, reason) = if is_silent {
            (LinkState::Waiting, Some(format!("no report for {} s", silent_us / 1_000_000)))
        } else {
            (report.state, report.reason.clone())
        };
        let partitions = report.partitions.iter().map(|partition| LinkPartition {
            partition: partition.partition,
            position: partition.applied,
            source: partition.source,
        });
        LinkStatus {
            name: format!("{}→{}", database.name, report.server.name),
            database: database.name.clone(),
            direction: LinkDirection::Out,
            view: report.view,
            peer: LinkPeer {
                url: report.server.url.clone(),
                name: Some(report.server.name.clone()),
                key: Some(report.server.key),
                software: report.software.clone(),
                protocol: report.protocol,
            },
            state,
            reason,
            since: self.since,
            partitions: partitions.collect(),
            lag: self.lag(database, now_us),
            last_proof: None,
            progress: report.progress.clone(),
            forecast: self.forecast.clone(),
            throttle_bytes_per_second: report.throttle_bytes_per_second,
        }
    }

    fn lag(&self, database: &DatabaseStatus, now_us: i64) -> LinkLag {
        let reached = self.report.visible >= database.visible;
        let entries = self.report.partitions.iter().map(|copy| {
            let own = database.partitions.iter().find(|own| own.partition == copy.partition)?;
            let copy = if self.report.view == database.view { Some(copy.applied) } else { copy.source };
            Some(own.journal_end.sequence.saturating_sub(copy?.sequence))
        });
        let entries: Option<u64> = if reached { Some(0) } else { entries.sum() };
        let lag = Lag {
            entries,
            bytes: reached.then_some(0),
            oldest_unapplied_us: match self.pending.filter(|_| !reached) {
                None => Some(0),
                Some(pending) => Some(u64::try_from(now_us).unwrap_or(0).saturating_sub(pending.0)),
            },
            last_contact: Some(self.at),
            last_proof: None,
        };
        lag_at(&lag, now_us)
    }
}

/// The numbers as they travel: times as ages.
fn lag_at(lag: &Lag, now_us: i64) -> LinkLag {
    let age_ms = |at: i64| u64::try_from(now_us.saturating_sub(at)).unwrap_or(0) / 1_000;
    LinkLag {
        entries: lag.entries,
        bytes: lag.bytes,
        oldest_unapplied_age_ms: lag.oldest_unapplied_us.map(|age| age / 1_000),
        last_contact_age_ms: lag.last_contact.map(age_ms),
        last_proof_age_ms: lag.last_proof.map(age_ms),
    }
}

/// How far a copy is in one partition.
pub(super) fn link_partition(status: &PartitionStatus) -> LinkPartition {
    LinkPartition { partition: status.partition, position: status.applied, source: status.source }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
