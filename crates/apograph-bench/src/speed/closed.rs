//! Closed loops: every client asks again as soon as it has its answer (W1, W1b, W6).

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;

use super::connection::Connection;
use super::outcome::{More, Outcome, Sample};
use super::peer::Cluster;
use super::usage::Usage;
use super::{Run, SpeedError, Told};
use crate::random::Random;

/// Documents of a transaction of W1b.
pub(super) const TRANSACTION_DOCUMENTS: u64 = 100;
const TRANSACTION_CLIENTS: u32 = 4;
const READ_CLIENTS: u32 = 64;

/// What clients ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    PutMany,
    Get,
}

impl Run<'_> {
    pub(super) async fn closed(
        &self,
        what: &str,
        kind: Kind,
        told: Told<'_>,
    ) -> Result<Vec<Outcome>, SpeedError> {
        let mut clusters = Vec::new();
        for (peer, cluster, mut next) in self.clusters(1).await? {
            if kind == Kind::Get {
                self.load(&cluster, &mut next, self.settings.documents).await?;
                self.until_there(&cluster, 1, next - 1).await?;
            }
            clusters.push((peer, cluster, Rc::new(Cell::new(next))));
        }
        let clients = match kind {
            Kind::Put => self.settings.clients.clone(),
            Kind::PutMany => vec![TRANSACTION_CLIENTS],
            Kind::Get => vec![READ_CLIENTS],
        };
        let mut outcomes = Vec::new();
        for clients in clients {
            let what = format!("{what}, {clients} {}", if clients == 1 { "client" } else { "clients" });
            let mut samples = Vec::new();
            for _ in 0..self.settings.repetitions {
                for (peer, cluster, next) in &clusters {
                    let (value, more) = self.turn(cluster, kind, clients, next).await?;
                    let sample = Sample { what: what.clone(), peer: peer.name(), value, unit: "1/s", more };
                    told(&sample);
                    samples.push(sample);
                    // The replica must not be behind when the next one has its turn.
                    self.until_there(cluster, 1, next.get() - 1).await?;
                }
            }
            outcomes.push(Outcome { what, samples });
        }
        Ok(outcomes)
    }

    async fn turn(
        &self,
        cluster: &Cluster,
        kind: Kind,
        clients: u32,
        next: &Rc<Cell<u64>>,
    ) -> Result<(f64, More), SpeedError> {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(cluster.connect(if kind == Kind::Get { 1 } else { 0 }).await?);
        }
        let warm = (self.settings.duration / 4).min(Duration::from_secs(1));
        let from = Instant::now() + warm;
        let until = from + self.settings.duration;
        let loops = connections.into_iter().enumerate().map(|(number, connection)| {
            self.client(connection, kind, number as u64, next.clone(), (from, until))
        });
        let usage = async {
            tokio::time::sleep(warm).await;
            let usage = Usage::begin(cluster);
            tokio::time::sleep_until(until.into()).await;
            Ok(usage.end(cluster))
        };
        let (latencies, mut more) = futures_util::future::try_join(try_join_all(loops), usage).await?;
        let mut all = histogram();
        for latencies in latencies {
            all.add(latencies).map_err(std::io::Error::other)?;
        }
        more.p50_ms = milliseconds(&all, 50.0);
        more.p99_ms = milliseconds(&all, 99.0);
        let each = if kind == Kind::PutMany { TRANSACTION_DOCUMENTS } else { 1 };
        Ok(((all.len() * each) as f64 / self.settings.duration.as_secs_f64(), more))
    }

    async fn client(
        &self,
        mut connection: Connection,
        kind: Kind,
        number: u64,
        next: Rc<Cell<u64>>,
        (from, until): (Instant, Instant),
    ) -> Result<Histogram<u64>, SpeedError> {
        let mut latencies = histogram();
        let mut random = Random::new(number, next.get());
        loop {
            let begun = Instant::now();
            match kind {
                Kind::Put => drop(connection.put(self.texts, next.replace(next.get() + 1)).await?),
                Kind::PutMany => {
                    let first = next.replace(next.get() + TRANSACTION_DOCUMENTS);
                    drop(connection.put_many(self.texts, first..first + TRANSACTION_DOCUMENTS).await?);
                }
                Kind::Get => {
                    let document = random.below(next.get());
                    if !connection.get(document).await? {
                        return Err(SpeedError::Refused(format!("document {document} is not there")));
                    }
                }
            }
            let now = Instant::now();
            if now >= until {
                return Ok(latencies);
            }
            if now >= from {
                latencies.saturating_record((now - begun).as_micros() as u64);
            }
        }
    }

    /// Writes this many documents, in transactions, by a few clients.
    pub(super) async fn load(
        &self,
        cluster: &Cluster,
        next: &mut u64,
        documents: u64,
    ) -> Result<(), SpeedError> {
        let end = *next + documents;
        let at = Cell::new(*next);
        let mut loops = Vec::new();
        for _ in 0..TRANSACTION_CLIENTS {
            let mut connection = cluster.connect(0).await?;
            let at = &at;
            loops.push(async move {
                while at.get() < end {
                    let first = at.replace((at.get() + TRANSACTION_DOCUMENTS).min(end));
                    let last = (first + TRANSACTION_DOCUMENTS).min(end);
                    connection.put_many(self.texts, first..last).await?;
                }
                Ok::<_, SpeedError>(())
            });
        }
        try_join_all(loops).await?;
        // One more, which is surely the last.
        cluster.connect(0).await?.put(self.texts, end).await?;
        *next = end + 1;
        Ok(())
    }
}

/// Latencies from a microsecond to two minutes.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("constant bounds")
}

pub(super) fn milliseconds(latencies: &Histogram<u64>, percent: f64) -> f64 {
    latencies.value_at_percentile(percent) as f64 / 1000.0
}
