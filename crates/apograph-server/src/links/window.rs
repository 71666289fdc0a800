//! How long this server's journals keep what a copy lacks: measured when copies report, at most once a second.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use apograph::settings::DatabaseSettings;
use apograph::status::{DatabaseStatus, PartitionStatus};
use apograph_client::types::{LinkReport, ReportPartition};
use apograph_format::PartitionId;
use apograph_replication::forecast::{Budget, Forecast, RateMeter, Window, forecast};

/// A status is as good as new for this long.
const FRESH: Duration = Duration::from_millis(900);

/// The journals of all databases, and how fast they grow.
#[derive(Debug)]
pub(crate) struct Windows {
    begun: Instant,
    known: Mutex<BTreeMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    at: Instant,
    status: DatabaseStatus,
    rates: BTreeMap<PartitionId, RateMeter>,
}

impl Default for Windows {
    fn default() -> Windows {
        Windows { begun: Instant::now(), known: Mutex::default() }
    }
}

impl Windows {
    /// Nothing is known of a database, or what is known is old.
    pub(crate) fn is_stale(&self, database: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(database).is_none_or(|known| known.at.elapsed() > FRESH)
    }

    /// Where the journals of a database end now.
    pub(crate) fn note(&self, status: DatabaseStatus) {
        let now = self.begun.elapsed();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rates = known.remove(&status.name).map(|known| known.rates).unwrap_or_default();
        for partition in &status.partitions {
            rates.entry(partition.partition).or_default().sample(partition.journal_bytes_appended, now);
        }
        known.insert(status.name.clone(), Known { at: Instant::now(), status, rates });
    }

    /// The forecast for a copy that reports this, and lacks the oldest transaction for this long.
    pub(crate) fn forecast(
        &self,
        database: &str,
        settings: &DatabaseSettings,
        report: &LinkReport,
        oldest_missing_age: Option<Duration>,
    ) -> Option<Forecast> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(database)?;
        // Partitions have equal shares.
        let count = u64::try_from(known.status.partitions.len()).unwrap_or(u64::MAX).max(1);
        let budget = Budget {
            bytes_max: settings.retention_bytes_max.map(|bytes| bytes / count),
            age_max: settings.retention_age_max_seconds.map(Duration::from_secs),
        };
        let windows = report.partitions.iter().map(|copy| {
            let own = known.status.partitions.iter().find(|own| own.partition == copy.partition)?;
            let rate = known.rates.get(&own.partition).map_or(0.0, RateMeter::per_second);
            window(own, copy, report.view == known.status.view, rate, oldest_missing_age)
        });
        let windows: Option<Vec<Window>> = windows.collect();
        windows.filter(|windows| !windows.is_empty()).map(|windows| forecast(budget, &windows))
    }
}

/// `None` for a copy of a derived view that does not say where it stands in this journal.
fn window(
    own: &PartitionStatus,
    copy: &ReportPartition,
    is_exact: bool,
    bytes_per_second: f64,
    oldest_missing_age: Option<Duration>,
) -> Option<Window> {
    // What is durable there is not asked for again.
    let at = if is_exact { copy.durable } else { copy.source? };
    let missing_entries = own.journal_end.sequence.saturating_sub(at.sequence);
    let copied = copy.journal_bytes_appended.filter(|_| is_exact);
    let missing = copied.and_then(|bytes| own.journal_bytes_appended.checked_sub(bytes));
    Some(Window {
        reaches: at.sequence >= own.journal_start.sequence,
        missing_entries,
        missing_bytes: if missing_entries == 0 { Some(0) } else { missing },
        bytes_per_entry: per_entry(own.journal_bytes_appended, own.journal_end.sequence),
        oldest_missing_age: oldest_missing_age.filter(|_| missing_entries > 0),
        bytes_per_second,
    })
}

#[expect(clippy::cast_precision_loss, reason = "an average")]
fn per_entry(bytes: u64, entries: u64) -> f64 {
    bytes as f64 / entries.max(1) as f64
}
