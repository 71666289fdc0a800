//! A replica from empty, of a primary whose journal no longer begins at the beginning.

use super::load::RESIDENT_MIB_MAX;
use super::{Copy, Stage};
use crate::figures::{Report, Unit};

/// Runs it. The copy stays for other runs, and what it took with it.
pub(super) fn run(stage: &mut Stage) -> Report {
    let mut report = Report::new("full", stage.scale.documents);
    stage.prune(&[0]);
    let copy = Copy::new(stage, "replica");
    match copy.transfer(stage) {
        Err(reason) => report.check("the copy follows in the end", false, reason),
        Ok(transfer) => {
            transfer.figures("full", &mut report);
            let rate = stage.scale.documents as f64 / transfer.duration.as_secs_f64();
            report.figure("documents per second", rate, Unit::PerSecond);
            let bound = stage.scale.is_measured.then_some(RESIDENT_MIB_MAX);
            report.bounded(
                "peak resident memory of the copy",
                transfer.copy_mib as f64,
                Unit::Mebibytes,
                bound,
            );
            let primary_mib = transfer.primary_mib as f64;
            report.bounded("peak resident memory of the primary", primary_mib, Unit::Mebibytes, bound);
            report.outcome("the copy is equal", copy.verify(stage));
            stage.full = Some((copy, transfer));
        }
    }
    report
}
