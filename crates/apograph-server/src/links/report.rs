//! What a copy tells its source, so that health is seen end to end.

use apograph::status::{DatabaseStatus, PartitionStatus};
use apograph_client::types::{LinkReport, LinkState, ReportDigest, ReportPartition, ServerIdentity};

use crate::routes::shape;

/// How this copy stands.
pub(super) fn report(
    server: ServerIdentity,
    status: &DatabaseStatus,
    state: LinkState,
    reason: Option<String>,
) -> LinkReport {
    let digests =
        status.digests.iter().map(|view| ReportDigest { view: view.view, digest: view.digest, at: view.at });
    LinkReport {
        server,
        role: shape::role(status.role),
        view: status.view,
        visible: status.visible,
        partitions: status.partitions.iter().map(partition).collect(),
        digests: digests.collect(),
        state,
        reason,
    }
}

fn partition(status: &PartitionStatus) -> ReportPartition {
    ReportPartition {
        partition: status.partition,
        durable: status.journal_end,
        applied: status.applied,
        source: status.source,
        last_checkpoint: status.last_checkpoint,
    }
}
