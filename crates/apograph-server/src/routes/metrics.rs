//! `GET /metrics`, in the OpenMetrics text form.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::app::App;
use crate::problem::{Answer, Refused};

/// Numbers for Prometheus.
pub(super) async fn get(State(app): State<App>) -> Answer {
    let open = app.databases();
    let read = move || {
        open.iter().map(|database| database.status().map_err(Refused::from)).collect::<Answer<Vec<_>>>()
    };
    let databases = app.blocking(read).await?;
    let limits: Vec<_> = databases
        .iter()
        .map(|database| (database.name.clone(), app.lag_limits.list(&database.name)))
        .collect();
    app.metrics.lag_limits(&limits);
    app.metrics.versions(&app.versions);
    app.metrics.waiting(app.copies.waiting());
    let text = app.metrics.text(&databases, &app.board.inbound());
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, form)], text).into_response())
}
