//! How long a replica needs for what it lacks: what it missed while it was stopped (W3), or everything (W4).

use std::time::Instant;

use super::outcome::{Outcome, Sample};
use super::peer::Cluster;
use super::usage::Usage;
use super::{Run, SpeedError, Told};

impl Run<'_> {
    pub(super) async fn catch_up(
        &self,
        what: &str,
        empty: bool,
        told: Told<'_>,
    ) -> Result<Vec<Outcome>, SpeedError> {
        let what = format!("{what} of {} documents", self.settings.documents);
        let mut samples = Vec::new();
        for _ in 0..self.settings.repetitions {
            for peer in &self.settings.peers {
                let mut next = 0;
                let mut cluster = self.cluster(*peer, usize::from(!empty), &mut next).await?;
                if !empty {
                    cluster.stop(1)?;
                }
                self.load(&cluster, &mut next, self.settings.documents).await?;
                let sample = self.catch_up_turn(&what, peer.name(), &mut cluster, empty, next).await?;
                told(&sample);
                samples.push(sample);
            }
        }
        Ok(vec![Outcome { what, samples }])
    }

    async fn catch_up_turn(
        &self,
        what: &str,
        peer: &'static str,
        cluster: &mut Cluster,
        empty: bool,
        next: u64,
    ) -> Result<Sample, SpeedError> {
        let (begun, usage) = (Instant::now(), Usage::begin(cluster));
        if empty {
            cluster.attach().await?;
        } else {
            cluster.start_again(1)?;
        }
        self.until_there(cluster, 1, next - 1).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let more = usage.end(cluster);
        let value = self.settings.documents as f64 * self.texts.mean_bytes() / 1e6 / seconds;
        Ok(Sample { what: what.to_owned(), peer, value, unit: "MB/s", more })
    }
}
