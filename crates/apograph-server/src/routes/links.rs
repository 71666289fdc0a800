//! `POST /v1/databases/{db}/sync`, `…/pause`, `…/resume` and `PUT …/throttle`: what operators tell the link of a copy.
//! What is answered is durable.

use std::num::NonZeroU64;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;

use apograph_client::types::{SyncMeasure, SyncRequest, ThrottleRequest};
use apograph_format::Timestamp;
use apograph_format::timestamp::parse_date;

use crate::app::App;
use crate::clock;
use crate::limits::ORDER_BYTES_MAX;
use crate::links::{Order, Wanted};
use crate::problem::{Answer, Code};
use crate::request::json;
use crate::request::path::Named;

/// Synchronizes, or says what that would bring.
pub(super) async fn sync(
    State(app): State<App>,
    Named(database): Named,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: SyncRequest = json::whole(&app, &headers, body, ORDER_BYTES_MAX).await?;
    let wanted = wanted(&asked)?;
    if asked.dry_run {
        let measure = app.orders.measure(&database, wanted).await?;
        let answer = SyncMeasure {
            documents: measure.documents,
            bytes: measure.bytes,
            of_documents: measure.of_documents,
            requests: measure.requests,
        };
        return Ok(Json(answer).into_response());
    }
    give(&app, &database, Order::Synchronize(wanted)).await
}

/// Pauses.
pub(super) async fn pause(State(app): State<App>, Named(database): Named) -> Answer {
    give(&app, &database, Order::Pause).await
}

/// Lets go on.
pub(super) async fn resume(State(app): State<App>, Named(database): Named) -> Answer {
    give(&app, &database, Order::Resume).await
}

/// Bounds.
pub(super) async fn throttle(
    State(app): State<App>,
    Named(database): Named,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: ThrottleRequest = json::whole(&app, &headers, body, ORDER_BYTES_MAX).await?;
    let bound = asked.bytes_per_second.map(|bytes| {
        let refused = || Code::BodyInvalid.because("bytes_per_second: at least 1; null takes the bound away");
        NonZeroU64::new(bytes).ok_or_else(refused)
    });
    give(&app, &database, Order::Throttle(bound.transpose()?)).await
}

async fn give(app: &App, database: &str, order: Order) -> Answer {
    Ok(Json(app.orders.give(database, order).await?).into_response())
}

fn wanted(asked: &SyncRequest) -> Answer<Wanted> {
    let refused = |detail: String| Code::BodyInvalid.because(detail);
    let since = asked.since.as_deref().map(parse_date).transpose();
    let since = since.map_err(|error| refused(format!("since: {error}")))?;
    let now = Timestamp(u64::try_from(clock::now_us()).unwrap_or(0));
    if since.is_some_and(|since| since > now) {
        return Err(refused("since: it lies in the future".to_owned()));
    }
    if asked.full && since.is_some() {
        let detail =
            "full and since contradict each other: what is brought anew as a whole leaves nothing out";
        return Err(refused(detail.to_owned()));
    }
    Ok(Wanted { since, max_versions: asked.max_versions, full: asked.full })
}
