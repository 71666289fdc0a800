//! The load itself: rate, memory, disk.

use super::Stage;
use crate::figures::{Report, Unit};
use crate::process::disk_bytes;

/// Resident memory that no server may exceed.
pub(super) const RESIDENT_MIB_MAX: f64 = 400.0;

/// Reports how the documents came.
pub(super) fn run(stage: &mut Stage) -> Report {
    let mut report = Report::new("load", stage.scale.documents);
    let bound = stage.scale.is_measured.then_some(RESIDENT_MIB_MAX);
    let primary = &stage.primary;
    match stage.loaded {
        None => report.check("the documents were there already", true, ""),
        Some(loaded) => {
            let seconds = loaded.duration.as_secs_f64();
            report.figure("time", seconds, Unit::Seconds);
            report.figure("documents per second", stage.scale.documents as f64 / seconds, Unit::PerSecond);
            report.figure("transactions per second", loaded.transactions as f64 / seconds, Unit::PerSecond);
        }
    }
    report.bounded(
        "peak resident memory of the primary",
        primary.resident_peak_mib() as f64,
        Unit::Mebibytes,
        bound,
    );
    let status = primary.status().unwrap();
    let database = status.database("main").unwrap();
    report.figure(
        "documents",
        database.digests.iter().map(|view| view.documents).max().unwrap_or(0) as f64,
        Unit::Count,
    );
    let appended: u64 = database.partitions.iter().map(|partition| partition.journal_bytes_appended).sum();
    let kept: u64 = database.partitions.iter().map(|partition| partition.journal_bytes_kept).sum();
    report.figure("journal bytes written", appended as f64, Unit::Bytes);
    report.figure("journal bytes kept", kept as f64, Unit::Bytes);
    report.figure("disk of the primary", disk_bytes(&primary.folder) as f64, Unit::Bytes);
    report
}
