//! Values of the engine in the shapes that travel.

use apograph::database::part::SignedServers;
use apograph::database::roles::{EpochStart, Handover};
use apograph::read::{Document, HistoryItem, Listed};
use apograph::{Database, Role, status as engine};
use apograph_client::types;
use apograph_format::timestamp::rfc3339;
use apograph_format::{Content, Lock, Origin, Timestamp};
use apograph_replication::switchover::Answer;

use super::commit::Done;

pub(super) fn document(document: Document, body: Option<String>, as_of: Timestamp) -> types::DocumentView {
    let Document { uri, head, version_ref, version } = document;
    types::DocumentView {
        uri,
        kind: head.kind,
        state: head.state,
        r#type: version.r#type,
        version: version_ref.number,
        id: version_ref.id,
        parents: version.parents,
        properties: version.properties,
        content: version.content.map(content),
        body,
        author: version.author,
        time: rfc3339(version.time),
        comment: version.comment,
        origin: version.origin.map(origin),
        working: head.working,
        live: head.live,
        lock: head.lock.map(lock),
        changed: head.changed,
        moved_to: head.moved_to,
        as_of,
    }
}

pub(super) fn listed(listed: Listed) -> types::ListItem {
    let Listed { uri, head } = listed;
    types::ListItem {
        uri,
        kind: head.kind,
        r#type: head.r#type,
        state: head.state,
        working: head.working,
        live: head.live,
        lock: head.lock.map(lock),
        moved_to: head.moved_to,
        changed: head.changed,
    }
}

pub(super) fn history_item(item: HistoryItem) -> types::HistoryItem {
    let HistoryItem { uri, version_ref, version } = item;
    types::HistoryItem {
        uri,
        version: version_ref.number,
        id: version_ref.id,
        parents: version.parents,
        r#type: version.r#type,
        properties: version.properties,
        content: version.content.map(content),
        author: version.author,
        time: rfc3339(version.time),
        comment: version.comment,
        origin: version.origin.map(origin),
    }
}

pub(super) fn transaction_answer(done: &Done) -> types::TransactionAnswer {
    let committed = &done.committed;
    let results = committed.results.iter().map(|result| types::OperationResult {
        uri: result.uri.clone(),
        version: result.version.map(|version| version.number),
        id: result.version.map(|version| version.id),
        state: result.state,
    });
    types::TransactionAnswer {
        timestamp: committed.timestamp(),
        token: committed.token,
        results: results.collect(),
        durability: done.durability.clone(),
    }
}

/// The answer to a write of one document; `None` if nothing was done to any.
pub(super) fn document_answer(done: &Done) -> Option<types::DocumentAnswer> {
    let committed = &done.committed;
    let result = committed.results.first()?;
    Some(types::DocumentAnswer {
        uri: result.uri.clone(),
        version: result.version.map(|version| version.number),
        id: result.version.map(|version| version.id),
        timestamp: committed.timestamp(),
        token: committed.token,
        state: result.state,
        durability: done.durability.clone(),
    })
}

pub(crate) fn view(view: engine::ViewStatus) -> types::ViewStatus {
    types::ViewStatus {
        view: view.view,
        digest: view.digest,
        at: view.at,
        documents: view.documents,
        partitions: view.partitions,
    }
}

pub(crate) fn database(
    status: engine::DatabaseStatus,
    gate: Option<types::GateView>,
    lag_limits: Vec<types::LagLimitView>,
    rollback: Option<types::RollbackStatus>,
) -> types::DatabaseStatus {
    types::DatabaseStatus {
        name: status.name,
        id: status.id,
        role: role(status.role),
        view: status.view,
        epoch: status.epoch,
        visible: status.visible,
        horizon: status.horizon,
        partitioning: Some(status.partitioning),
        partitions: status.partitions.into_iter().map(partition).collect(),
        digests: status.digests.into_iter().map(view).collect(),
        primary_url: status.primary_url,
        stopped: status.stopped,
        alarms: status.alarms,
        gate,
        rollback,
        lag_limits,
    }
}

fn partition(status: engine::PartitionStatus) -> types::PartitionStatus {
    types::PartitionStatus {
        partition: status.partition,
        journal_start: status.journal_start,
        journal_end: status.journal_end,
        applied: status.applied,
        source: status.source,
        journal_bytes_appended: status.journal_bytes_appended,
        journal_bytes_kept: status.journal_bytes_kept,
        segments: status.segments,
        last_checkpoint: status.last_checkpoint,
        erasures_pending: status.erasures_pending,
    }
}

pub(crate) fn role(role: Role) -> types::Role {
    match role {
        Role::Primary => types::Role::Primary,
        Role::Replica => types::Role::Replica,
        Role::Staging => types::Role::Staging,
    }
}

pub(crate) fn identity(identity: engine::ServerIdentity) -> types::ServerIdentity {
    types::ServerIdentity { name: identity.name, key: identity.key, url: identity.url }
}

pub(crate) fn epoch(start: EpochStart) -> types::EpochView {
    types::EpochView {
        epoch: start.epoch,
        previous: start.previous,
        base: start.base,
        primary: identity(start.primary),
    }
}

pub(crate) fn signed_servers(signed: SignedServers) -> types::SignedServers {
    types::SignedServers { servers: signed.servers, signature: signed.signature }
}

pub(crate) fn engine_signed_servers(signed: types::SignedServers) -> SignedServers {
    SignedServers { servers: signed.servers, signature: signed.signature }
}

pub(crate) fn epochs(database: &Database) -> Vec<types::EpochView> {
    database.epochs().into_iter().map(epoch).collect()
}

pub(crate) fn handover(handover: Handover) -> types::HandoverView {
    types::HandoverView {
        to: identity(handover.to),
        epoch: handover.epoch,
        base: handover.base,
        positions: handover.positions,
    }
}

/// What a primary answered to a copy that asked for its role.
pub(crate) fn handover_word(state: types::HandoverState) -> Answer {
    match state {
        types::HandoverState::None => Answer::None,
        types::HandoverState::Behind => Answer::Behind,
        types::HandoverState::Held => Answer::Held,
        types::HandoverState::Given => Answer::Given,
    }
}

pub(crate) fn engine_identity(identity: types::ServerIdentity) -> engine::ServerIdentity {
    engine::ServerIdentity { name: identity.name, key: identity.key, url: identity.url }
}

pub(crate) fn engine_epochs(epochs: Vec<types::EpochView>) -> Vec<EpochStart> {
    let start = |view: types::EpochView| EpochStart {
        epoch: view.epoch,
        previous: view.previous,
        base: view.base,
        primary: engine_identity(view.primary),
    };
    epochs.into_iter().map(start).collect()
}

pub(crate) fn engine_handover(view: types::HandoverView) -> Handover {
    Handover { to: engine_identity(view.to), epoch: view.epoch, base: view.base, positions: view.positions }
}

fn content(content: Content) -> types::ContentView {
    types::ContentView { hash: content.hash, bytes: content.bytes, media_type: content.media_type }
}

pub(super) fn lock(lock: Lock) -> types::LockView {
    types::LockView { owner: lock.owner, since: rfc3339(lock.since), expires: rfc3339(lock.expires) }
}

fn origin(origin: Origin) -> types::OriginView {
    let (uri, version) = origin.document.map_or((None, None), |(uri, version)| (Some(uri), version));
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    types::OriginView { uri, version, server: some(origin.server), external: some(origin.external) }
}
