//! Lag at a fixed rate: from the arrival of the acknowledgement at the client until a read of the replica, begun at
//! once, answers with the document (W2, W5).

use std::time::Duration;

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::closed::{histogram, milliseconds};
use super::connection::Connection;
use super::outcome::{More, Outcome, Sample};
use super::peer::Cluster;
use super::usage::Usage;
use super::{Run, SpeedError, Told};

/// Clients that share the rate; each has a connection to the primary and one to a replica.
const CLIENTS: u32 = 32;

impl Run<'_> {
    pub(super) async fn lag(
        &self,
        what: &str,
        replicas: usize,
        told: Told<'_>,
    ) -> Result<Vec<Outcome>, SpeedError> {
        let mut clusters = self.clusters(replicas).await?;
        let mut outcomes = Vec::new();
        for rate in &self.settings.rates {
            let of = if replicas == 1 { String::new() } else { format!(" of {replicas} replicas") };
            let what = format!("{what}{of} at {rate}/s");
            let mut samples = Vec::new();
            for _ in 0..self.settings.repetitions {
                for (peer, cluster, next) in &mut clusters {
                    let more = self.lag_turn(cluster, replicas, *rate, next).await?;
                    let sample = Sample {
                        what: what.clone(),
                        peer: peer.name(),
                        value: more.p50_ms,
                        unit: "ms (p50)",
                        more,
                    };
                    told(&sample);
                    samples.push(sample);
                }
            }
            let tail =
                |sample: &Sample| Sample { value: sample.more.p99_ms, unit: "ms (p99)", ..sample.clone() };
            let tails = samples.iter().map(tail).collect();
            outcomes.push(Outcome { what: what.clone(), samples });
            outcomes.push(Outcome { what, samples: tails });
        }
        Ok(outcomes)
    }

    async fn lag_turn(
        &self,
        cluster: &Cluster,
        replicas: usize,
        rate: u32,
        next: &mut u64,
    ) -> Result<More, SpeedError> {
        let period = Duration::from_secs(u64::from(CLIENTS)) / rate;
        let start = Instant::now() + Duration::from_millis(50);
        let warm = (self.settings.duration / 4).min(Duration::from_secs(1));
        let (from, until) = (start + warm, start + warm + self.settings.duration);
        let writes = ((until - start).as_secs_f64() / period.as_secs_f64()) as u64;
        let mut clients = Vec::new();
        for client in 0..CLIENTS {
            let begin = Begin {
                // The first and the last replica, in turn.
                replica: cluster.connect(if client % 2 == 0 { 1 } else { replicas }).await?,
                primary: cluster.connect(0).await?,
                first: *next + u64::from(client) * writes,
                writes,
                start: start + period * client / CLIENTS,
                period,
                from,
            };
            clients.push(self.lag_client(begin));
        }
        *next += u64::from(CLIENTS) * writes;
        let usage = async {
            tokio::time::sleep_until(from).await;
            let usage = Usage::begin(cluster);
            tokio::time::sleep_until(until).await;
            Ok(usage.end(cluster))
        };
        let (lags, mut more) = futures_util::future::try_join(try_join_all(clients), usage).await?;
        let mut all = histogram();
        for lags in lags {
            all.add(lags).map_err(std::io::Error::other)?;
        }
        more.p50_ms = milliseconds(&all, 50.0);
        more.p99_ms = milliseconds(&all, 99.0);
        Ok(more)
    }

    async fn lag_client(&self, begin: Begin) -> Result<Histogram<u64>, SpeedError> {
        let Begin { mut primary, mut replica, first, writes, start, period, from } = begin;
        let mut lags = histogram();
        for write in 0..writes {
            tokio::time::sleep_until(start + period * write as u32).await;
            let token = primary.put(self.texts, first + write).await?;
            let acknowledged = Instant::now();
            replica.get_written(first + write, &token).await?;
            if acknowledged >= from {
                lags.saturating_record(acknowledged.elapsed().as_micros() as u64);
            }
        }
        Ok(lags)
    }
}

/// What one client needs.
struct Begin {
    primary: Connection,
    replica: Connection,
    first: u64,
    writes: u64,
    start: Instant,
    period: Duration,
    from: Instant,
}
