//! `GET /v1/databases/{db}/handshake?view=`

use axum::extract::State;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Deserialize;

use apograph_client::types::Handshake;

use super::{journal, shape};
use crate::app::App;
use crate::problem::Answer;
use crate::request::params::{self, Params};
use crate::request::path::InDatabase;
use crate::tokens::Principal;

/// Which view the copy wants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HandshakeParams {
    view: Option<String>,
}

/// What a copy must know before it follows.
pub(super) async fn get(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    InDatabase(database): InDatabase,
    Params(asked): Params<HandshakeParams>,
) -> Answer {
    let view = params::parse("view", asked.view.as_deref())?.unwrap_or(database.view());
    let view = journal::view_for(&principal, view)?;
    let handshake = app.blocking(move || database.handshake(view)).await?;
    let answer = Handshake {
        protocol: app.versions.protocol,
        software: format!("apograph {}", app.versions.software),
        format: app.versions.format,
        database: handshake.database,
        name: handshake.name,
        partitions: handshake.partitions,
        epoch: handshake.epoch,
        view: handshake.view,
        digest_keys: handshake.digest_keys,
        primary: Some(shape::identity(handshake.primary)),
        server: shape::identity(handshake.server),
        visible: handshake.visible,
        epochs: handshake.epochs.into_iter().map(shape::epoch).collect(),
        held: handshake.held,
        servers: handshake.servers.map(shape::signed_servers),
        handover: handshake.handover.map(shape::handover),
    };
    Ok(Json(answer).into_response())
}
