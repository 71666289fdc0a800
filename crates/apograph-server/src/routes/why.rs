//! `GET /v1/databases/{db}/why/{uri…}?state=&version=&after=&view=`: what this server knows of a document, and what that
//! makes of the question why it is, or is not, here.
//!
//! It asks nobody else: a copy would have to be told more than it may know. Who may read its source, asks there as well.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;

use apograph::evidence::{self as engine, Inquiry};
use apograph::read::Which;
use apograph::{Database, Role};
use apograph_client::types;
use apograph_client::why::decide;
use apograph_format::timestamp::rfc3339;
use apograph_format::{Head, Timestamp, View};

use super::shape;
use crate::app::App;
use crate::clock;
use crate::limits::{WHY_CONTENT_BYTES_MAX, WHY_SEARCH_BYTES_MAX};
use crate::problem::{Answer, Code};
use crate::request::params::{self, Params};
use crate::request::path::OfDocument;

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyParams {
    state: Option<String>,
    version: Option<String>,
    after: Option<String>,
    view: Option<String>,
}

/// Why a document is, or is not, here.
pub(super) async fn get(
    State(app): State<App>,
    OfDocument { name, database, uri }: OfDocument,
    Params(query): Params<WhyParams>,
) -> Answer {
    let role = app.names().into_iter().find(|(known, _)| *known == name).map(|(_, role)| role);
    let asked = asked(&query, role)?;
    let after: Option<Timestamp> = params::parse("after", query.after.as_deref())?;
    let view: Option<View> = params::parse("view", query.view.as_deref())?;
    let inquiry = Inquiry {
        uri: uri.clone(),
        which: which(asked),
        after: after.map(|after| (after, view.unwrap_or(View::Full))),
        search_bytes_max: WHY_SEARCH_BYTES_MAX,
        content_bytes_max: WHY_CONTENT_BYTES_MAX,
    };
    let held = match database {
        None => None,
        Some(database) => Some(app.blocking(move || held(&database, &inquiry)).await?),
    };
    let link = app.board.inbound().into_iter().find(|link| link.database == name);
    let server = shape::identity(app.folder.identity());
    let evidence = types::Evidence { server, database: name, now: clock::now_us(), link, held };
    Ok(Json(decide(&uri, asked, Ok(evidence), None)).into_response())
}

fn asked(query: &WhyParams, role: Option<Role>) -> Answer<types::Asked> {
    let number = params::parse("version", query.version.as_deref())?;
    match (query.state.as_deref(), number) {
        (None, Some(number)) => Ok(types::Asked::Version(number)),
        (Some("working"), None) => Ok(types::Asked::Working),
        (Some("live"), None) => Ok(types::Asked::Live),
        (None, None) if role == Some(Role::Staging) => Ok(types::Asked::Live),
        (None, None) => Ok(types::Asked::Working),
        (Some(_), Some(_)) => Err(Code::QueryInvalid.because("give state or version, not both")),
        (Some(other), None) => {
            Err(Code::QueryInvalid.because(format!("state is `live` or `working`, not {other:?}")))
        }
    }
}

fn which(asked: types::Asked) -> Which {
    match asked {
        types::Asked::Working => Which::Working,
        types::Asked::Live => Which::Live,
        types::Asked::Version(number) => Which::Number(number),
    }
}

fn held(database: &Database, inquiry: &Inquiry) -> Result<types::Held, apograph::error::ReadError> {
    let found = database.evidence(inquiry)?;
    Ok(types::Held {
        id: database.id(),
        role: shape::role(database.role()),
        view: database.view(),
        epoch: database.epoch(),
        visible: found.at,
        primary_url: database.primary_url(),
        stopped: database.stopped(),
        alarms: database.alarms(),
        partition: found.partition,
        durable: found.durable,
        applied: found.applied,
        source: found.source.map(|source| source.position),
        source_entries: found.source.map(|source| source.entries),
        journal_since: found.journal_since,
        head: found.head.map(head),
        version: found.version,
        bytes: found.bytes.map(bytes),
        last_change: search(found.last_change),
        pending: found.pending.map(change),
        missing: search(found.missing),
        quarantined: found.quarantined.map(|held| types::QuarantineView {
            reason: held.reason,
            at: held.at,
            dropped: held.dropped,
        }),
        cut: found.cut.map(|cut| types::CutView { kept_from: cut.kept_from, at: cut.at }),
    })
}

fn head(head: Head) -> types::HeadView {
    types::HeadView {
        kind: head.kind,
        state: head.state,
        r#type: head.r#type,
        working: head.working,
        live: head.live,
        lock: head.lock.map(shape::lock),
        history: head.history,
        versions: head.versions,
        moved_to: head.moved_to,
        changed: head.changed,
        ever_live: head.ever_live,
    }
}

fn change(change: engine::Recorded) -> types::ChangeView {
    types::ChangeView {
        operation: change.operation.as_str().to_owned(),
        position: change.position,
        timestamp: change.timestamp,
        author: change.author,
        time: rfc3339(change.time),
        comment: change.comment,
        counterpart: change.counterpart,
        contents_entries: change.contents_entries,
    }
}

fn search(search: engine::Search) -> types::SearchView {
    match search {
        engine::Search::NotAsked => types::SearchView::NotAsked,
        engine::Search::Found { change: found, transactions_before } => {
            types::SearchView::Found { change: change(found), transactions_before }
        }
        engine::Search::Nothing => types::SearchView::Nothing,
        engine::Search::Unknown { reason } => types::SearchView::Unknown { detail: reason },
    }
}

fn bytes(bytes: engine::VersionBytes) -> types::BytesView {
    match bytes {
        engine::VersionBytes::Whole { content_bytes } => types::BytesView::Whole { content_bytes },
        engine::VersionBytes::Sampled { content_bytes, checked_bytes } => {
            types::BytesView::Sampled { content_bytes, checked_bytes }
        }
        engine::VersionBytes::Missing { what } => types::BytesView::Missing { what: what.to_owned() },
        engine::VersionBytes::Damaged { reason } => types::BytesView::Damaged { detail: reason },
    }
}
