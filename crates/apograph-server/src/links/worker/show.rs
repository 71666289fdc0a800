//! How the link stands: on the board, and reported to its source.

use std::sync::Arc;

use apograph::status::DatabaseStatus;
use apograph_client::Client;
use apograph_client::types::{
    LinkDirection, LinkForecast, LinkLag, LinkPeer, LinkProgress, LinkProof, LinkStatus,
};
use apograph_format::{Epoch, Timestamp};
use apograph_replication::lag::Own;
use apograph_replication::link::{Event, State};
use apograph_replication::sync::{Phase, SyncProgress};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Worker;
use crate::clock;
use crate::limits::{REPORT_INTERVAL, SOURCE_TIMEOUT};
use crate::links::board::{Seen, link_partition};
use crate::links::takeover::Takeover;
use crate::links::{greet, report, shown};
use crate::routes::shape;

impl Worker {
    /// The timestamp up to which nothing is missing here: heartbeats tell it also of views that leave most out.
    pub(super) fn everything_up_to(&self) -> Timestamp {
        let Some(database) = &self.database else {
            return Timestamp::ZERO;
        };
        let all = database.held_partitions().iter().map(|partition| self.reached.get(&partition).copied());
        let taken = all.min().flatten().unwrap_or_default();
        taken.max(database.visible())
    }

    /// Puts the link on the board, and reports to the source.
    pub(super) async fn show(&mut self) {
        let status = match self.database.clone() {
            None => None,
            Some(database) => self.app.blocking(move || database.status()).await.ok(),
        };
        if status.as_ref().is_some_and(|status| self.look_for_proof(status)) {
            self.happened(Event::Proven, None).await;
        }
        let lag = self.meter.measure(&own(status.as_ref()), self.everything_up_to(), clock::now_us());
        let seen = Seen { status: self.link_status(status.as_ref()), lag };
        self.app.board.show(&self.name, seen);
        if let Some(status) = status
            && self.reported.elapsed() >= REPORT_INTERVAL
        {
            self.reported = Instant::now();
            self.report(&status);
        }
    }

    fn report(&self, status: &DatabaseStatus) {
        // Whatever state the link is in, its source should know; one report after the other.
        let Ok(turn) = Arc::clone(&self.reporting).try_acquire_owned() else {
            return;
        };
        // A link that was paused before a restart has not greeted, and tells its source all the same.
        let client = self.client.clone().or_else(|| greet::client(self.app.folder.path(), &self.source).ok());
        let (Some(client), Some(shown)) = (client, self.app.board.of(&self.name)) else {
            return;
        };
        let server = shape::identity(self.app.folder.identity());
        let newest = self.database.as_ref().and_then(|database| database.epochs().pop());
        let newest = newest.filter(|start| start.epoch > Epoch::FIRST).map(shape::epoch);
        let report = report::report(server, status, shown, newest, &self.app.versions);
        let takeover = self.takeover(&client);
        let (shutdown, forecasts) = (self.app.shutdown.clone(), self.forecast.0.clone());
        let there = self.database_there().to_owned();
        self.app.tasks.spawn(async move {
            let _turn = turn;
            let sent = tokio::time::timeout(SOURCE_TIMEOUT, client.report(&there, &report));
            tokio::select! {
                sent = sent => match sent {
                    // The last one is as good as this one.
                    Ok(Ok(answer)) => {
                        drop(answer.forecast.map(|forecast| forecasts.try_send(forecast)));
                        if let Some((takeover, turn)) = takeover.filter(|_| answer.take_over) {
                            let app = takeover.app.clone();
                            app.tasks.spawn(async move {
                                let _turn = turn;
                                let stop = takeover.app.shutdown.clone();
                                tokio::select! {
                                    () = takeover.run() => {}
                                    () = stop.cancelled() => {}
                                }
                            });
                        }
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "the source did not take the report"),
                    Err(_) => tracing::debug!("the source did not take the report in time"),
                },
                () = shutdown.cancelled() => {}
            }
        });
    }

    /// For the case that the source wants this copy to become primary.
    fn takeover(&self, client: &Client) -> Option<(Takeover, OwnedSemaphorePermit)> {
        let turn = Arc::clone(&self.taking_over).try_acquire_owned().ok()?;
        let database = self.database.clone().filter(|_| self.link.state() == State::Following)?;
        let (app, there) = (self.app.clone(), self.database_there().to_owned());
        Some((Takeover { app, database, client: client.clone(), there }, turn))
    }

    /// A checkpoint that was compared is the proof that a copy equals its source. Is there a new one?
    fn look_for_proof(&mut self, status: &DatabaseStatus) -> bool {
        let proven: Vec<_> = status.partitions.iter().map(|partition| partition.last_checkpoint).collect();
        if proven != self.proven {
            let newest = proven.iter().zip(&self.proven).find(|(new, old)| new != old).map(|(new, _)| *new);
            if let Some(position) = newest.or_else(|| proven.first().copied()).flatten() {
                self.proof = Some(LinkProof { position, timestamp: status.visible, at: clock::now_us() });
            }
            self.proven = proven;
            return true;
        }
        false
    }

    fn link_status(&self, status: Option<&DatabaseStatus>) -> LinkStatus {
        let server = self.handshake.as_ref().map(|handshake| &handshake.server);
        let peer = LinkPeer {
            url: Some(self.source.url.clone()),
            name: server.map(|server| server.name.clone()),
            key: server.map(|server| server.key),
            software: self.handshake.as_ref().map(|handshake| handshake.software.clone()),
            protocol: self.handshake.as_ref().map(|handshake| handshake.protocol),
        };
        let partitions = status.map(|status| status.partitions.iter().map(link_partition).collect());
        LinkStatus {
            name: format!("{}←{}", self.name, peer.name.as_deref().unwrap_or(&self.source.url)),
            database: self.name.clone(),
            direction: LinkDirection::In,
            view: self.role.view(),
            peer,
            state: shown::state(self.link.state()),
            reason: self.reason.clone(),
            since: self.since,
            partitions: partitions.unwrap_or_default(),
            lag: LinkLag::default(),
            last_proof: self.proof.clone(),
            progress: self.progress_shown(),
            forecast: self.forecast_shown(),
            throttle_bytes_per_second: self.control.bytes_per_second(&self.source),
        }
    }

    /// Of what is due or under way. The phase is that of the link: the last word on progress may be older.
    fn progress_shown(&self) -> Option<LinkProgress> {
        let (reason, round) = self.link.synchronization()?;
        let phase = match self.link.state() {
            State::Synchronizing(phase) => phase,
            _ => self.progress.as_ref().map_or(Phase::Planning, |progress| progress.phase),
        };
        let mut progress = self
            .progress
            .as_ref()
            .map(shown::progress)
            .unwrap_or_else(|| shown::progress(&SyncProgress::begun(reason, round, self.since)));
        progress.phase = phase.as_str().to_owned();
        progress.reason = reason.as_str().to_owned();
        if !matches!(self.link.state(), State::Synchronizing(_)) {
            (progress.documents_per_second, progress.bytes_per_second) = (0.0, 0.0);
            progress.seconds_left = None;
        }
        Some(progress)
    }

    /// What the source said last, with the time that passed since.
    fn forecast_shown(&self) -> Option<LinkForecast> {
        let (forecast, at) = self.forecast.2.as_ref()?;
        let leaves_in_s = forecast.leaves_in_s.map(|seconds| seconds.saturating_sub(at.elapsed().as_secs()));
        Some(LinkForecast { leaves_in_s, ..forecast.clone() })
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
