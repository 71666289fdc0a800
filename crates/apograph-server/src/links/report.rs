//! What a copy tells its source, so that health is seen end to end.

use apograph::status::{DatabaseStatus, PartitionStatus};
use apograph_client::types::{
    EpochView, LinkReport, LinkStatus, ReportDigest, ReportPartition, ServerIdentity,
};

use apograph_replication::versions::Versions;

use crate::routes::shape;

/// How this copy stands.
pub(super) fn report(
    server: ServerIdentity,
    status: &DatabaseStatus,
    shown: LinkStatus,
    newest: Option<EpochView>,
    versions: &Versions,
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
        state: shown.state,
        reason: shown.reason,
        progress: shown.progress,
        throttle_bytes_per_second: shown.throttle_bytes_per_second,
        epoch: newest,
        software: Some(format!("apograph {}", versions.software)),
        protocol: Some(versions.protocol),
    }
}

fn partition(status: &PartitionStatus) -> ReportPartition {
    ReportPartition {
        partition: status.partition,
        durable: status.journal_end,
        applied: status.applied,
        source: status.source,
        journal_bytes_appended: Some(status.journal_bytes_appended),
        last_checkpoint: status.last_checkpoint,
    }
}
