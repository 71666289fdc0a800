//! Where the time of writes went, as histograms: the engine counts, this only says it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use apograph::stages::{BOUNDS_US, StageTimes};
use apograph::status::DatabaseStatus;

/// What the engine counted when it was asked last, by database.
#[derive(Debug, Clone, Default)]
pub(super) struct Stages(Arc<Mutex<BTreeMap<String, Vec<StageTimes>>>>);

impl Stages {
    pub(super) fn note(&self, databases: &[DatabaseStatus]) {
        let stages = databases.iter().map(|database| (database.name.clone(), database.stages.clone()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stages.collect();
    }
}

impl Collector for Stages {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Time that writes spent waiting, in planning, syncing, applying; and other work that they wait behind";
        let mut family =
            encoder.encode_descriptor("write", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (database, stages) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            for times in stages {
                let labels = [("database", database.as_str()), ("stage", times.stage.as_str())];
                let (sum, count, buckets) = histogram(times);
                family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }
}

/// Sum in seconds, count, and buckets, each with its upper bound in seconds and what fell into it alone.
fn histogram(times: &StageTimes) -> (f64, u64, Vec<(f64, u64)>) {
    let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
    (times.sum_us as f64 / 1e6, times.counts.iter().sum(), bounds.zip(times.counts).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use apograph::stages::Stage;

    #[test]
    fn buckets_are_in_seconds_and_the_last_one_has_no_bound() {
        let mut counts = [0; BOUNDS_US.len() + 1];
        (counts[0], counts[BOUNDS_US.len()]) = (3, 1);
        let stages = Stages::default();
        let times = StageTimes { stage: Stage::Syncing, sum_us: 20_000_150, counts };
        *stages.0.lock().unwrap() = [("main".into(), vec![times])].into();
        let mut registry = prometheus_client::registry::Registry::with_prefix("apograph");
        registry.register_collector(Box::new(stages));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"apograph_write_seconds_sum{database="main",stage="syncing"} 20.00015"#,
            r#"apograph_write_seconds_count{database="main",stage="syncing"} 4"#,
            r#"apograph_write_seconds_bucket{le="0.0001",database="main",stage="syncing"} 3"#,
            r#"apograph_write_seconds_bucket{le="10.0",database="main",stage="syncing"} 3"#,
            r#"apograph_write_seconds_bucket{le="+Inf",database="main",stage="syncing"} 4"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
