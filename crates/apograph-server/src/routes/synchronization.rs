//! `GET|POST /v1/databases/{db}/synchronization`: how the last one ended, what it could not take, and what people say of it.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;

use apograph::Database;
use apograph::synchronize::{self, SyncError, SyncOutcome};
use apograph_client::types::{HeldDocument, RepairedDocument, SyncEnd, SyncRemark, SyncReport};

use crate::app::App;
use crate::limits::ORDER_BYTES_MAX;
use crate::problem::{Answer, Code, Refused, failed};
use crate::request::json;
use crate::request::path::InDatabase;

/// How it ended.
pub(super) async fn get(State(app): State<App>, InDatabase(database): InDatabase) -> Answer {
    let report = app.blocking(move || report(&database)).await?;
    Ok(Json(report).into_response())
}

/// What people say of it. Durable when it is answered.
pub(super) async fn post(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let remark: SyncRemark = json::whole(&app, &headers, body, ORDER_BYTES_MAX).await?;
    let say = move || {
        if let Some(drop) = &remark.drop {
            if drop.reason.trim().is_empty() {
                return Err(Code::BodyInvalid.because("drop.reason: say why"));
            }
            let is_held = database.drop_held(&drop.uri, &drop.reason).map_err(refused)?;
            if !is_held {
                let detail = format!("{} is not held back here", drop.uri);
                return Err(Code::NotFound.because(detail).with("uri", drop.uri.as_str()));
            }
        }
        if remark.seen {
            database.see_sync_outcome().map_err(refused)?;
        }
        report(&database)
    };
    let report = app.blocking(say).await?;
    Ok(Json(report).into_response())
}

fn report(database: &Database) -> Answer<SyncReport> {
    let quarantine = database.quarantine().map_err(refused)?;
    Ok(SyncReport {
        last: database.sync_outcome().map(end),
        quarantine: quarantine.into_iter().map(held).collect(),
    })
}

fn refused(error: SyncError) -> Refused {
    failed(&error)
}

fn end(outcome: SyncOutcome) -> SyncEnd {
    let repaired = |of: synchronize::Repaired| RepairedDocument { uri: of.uri, what: of.what };
    SyncEnd {
        reason: outcome.reason,
        at: outcome.at,
        began: outcome.began,
        ended: outcome.ended,
        rounds: outcome.rounds,
        documents: outcome.documents,
        bytes: outcome.bytes,
        equal: outcome.equal,
        left_out: outcome.left_out,
        cut_documents: outcome.cut_documents,
        quarantined: outcome.quarantined,
        repaired: outcome.repaired.into_iter().map(repaired).collect(),
        repaired_total: outcome.repaired_total,
        seen: outcome.seen,
    }
}

fn held(of: synchronize::HeldDocument) -> HeldDocument {
    HeldDocument { uri: of.uri, reason: of.reason, at: of.at, dropped: of.dropped }
}
