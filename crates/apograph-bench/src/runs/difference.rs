//! A copy that was away while a few documents changed and the journal went out from under it.

use super::Stage;
use super::stage::journal_ends;
use crate::figures::{Report, Unit};
use crate::load::send;

/// One document in so many changes.
const CHANGED_IN: u64 = 1000;
/// Fewer make no difference worth finding.
const CHANGED_MIN: u64 = 20;

/// Runs it, after the full transfer.
pub(super) fn run(stage: &mut Stage) -> Report {
    let mut report = Report::new("difference", stage.scale.documents);
    let Some((copy, full)) = stage.full_copy(&mut report) else { return report };
    copy.server.stop();
    let count = (stage.scale.documents / CHANGED_IN).max(CHANGED_MIN).min(stage.scale.documents);
    let at = stage.primary.status().as_ref().map(journal_ends).unwrap_or_default();
    let changes = stage.documents.changes(stage.next_series(), count);
    let transactions = (0..count).map(|number| changes.transaction(number));
    send(&stage.primary.client("admin"), "main", transactions, |_| ()).unwrap();
    stage.prune_tightly(&at);
    report.figure("changed documents", count as f64, Unit::Count);
    match copy.transfer(stage) {
        Err(reason) => report.check("the copy follows in the end", false, reason),
        Ok(transfer) => {
            transfer.figures("difference", &mut report);
            let asked =
                transfer.traffic.requests_to("snapshot") + transfer.traffic.requests_to("synchronize");
            report.figure("round trips of the synchronization", asked as f64, Unit::Count);
            let bytes = 100.0 * transfer.traffic.bytes() as f64 / full.traffic.bytes() as f64;
            let time = 100.0 * transfer.duration.as_secs_f64() / full.duration.as_secs_f64();
            // A test has a few thousand documents, of which a larger part changes.
            let of_bytes = if stage.scale.is_measured { 1.0 } else { 25.0 };
            report.bounded("bytes, of a full transfer", bytes, Unit::Percent, Some(of_bytes));
            report.bounded(
                "time, of a full transfer",
                time,
                Unit::Percent,
                stage.scale.is_measured.then_some(2.0),
            );
            report.outcome("the copy is equal", copy.verify(stage));
        }
    }
    stage.full = Some((copy, full));
    report
}
