//! `GET|DELETE /v1/databases/{db}/orphans`, `GET …/orphans/{timestamp}`: what a later epoch cut off, and this server kept.
//! How it comes back: [`restore`] at the server that kept it, [`intake`] at the primary.

pub(super) mod intake;
pub(super) mod restore;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use serde::Deserialize;

use apograph::database::roles::{Orphan, OrphanError, OrphanVersion};
use apograph_client::types::{OrphanChange, OrphanVersionView, OrphanView, OrphansGone};
use apograph_format::Timestamp;
use apograph_format::timestamp::rfc3339;

use crate::app::App;
use crate::problem::{Answer, Code, Refused, failed};
use crate::request::params::Params;
use crate::request::path::InDatabase;

/// Orphans of one answer, when nothing is said.
const LIMIT: usize = 100;
/// At most.
const LIMIT_MAX: usize = 1_000;
/// Longer contents are named, and not shown.
const CONTENT_BYTES_MAX: u64 = 1 << 20;

/// Which orphans.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrphansParams {
    after: Option<u64>,
    limit: Option<usize>,
}

/// Lists them, oldest first.
pub(super) async fn list(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    Params(asked): Params<OrphansParams>,
) -> Answer {
    let (after, limit) = (Timestamp(asked.after.unwrap_or(0)), asked.limit.unwrap_or(LIMIT));
    if limit == 0 || limit > LIMIT_MAX {
        return Err(Code::QueryInvalid.because(format!("limit: from 1 to {LIMIT_MAX}")));
    }
    let orphans = app.blocking(move || database.orphans(after, limit)).await?;
    Ok(Json(orphans.into_iter().map(orphan).collect::<Vec<_>>()).into_response())
}

/// The versions that one of them added.
pub(super) async fn show(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    Path((_, timestamp)): Path<(String, String)>,
) -> Answer {
    let refused = || Code::NotFound.because("there is no orphan of that timestamp");
    let timestamp = Timestamp(timestamp.parse().map_err(|_| refused())?);
    let found = app.blocking(move || database.orphan_versions(timestamp, CONTENT_BYTES_MAX)).await?;
    if found.is_empty() {
        return Err(refused());
    }
    Ok(Json(found.into_iter().map(version).collect::<Vec<_>>()).into_response())
}

/// Removes all of them, for ever.
pub(super) async fn discard(State(app): State<App>, InDatabase(database): InDatabase) -> Answer {
    let discarded = app.blocking(move || database.discard_orphans()).await?;
    Ok(Json(OrphansGone { discarded }).into_response())
}

fn orphan(orphan: Orphan) -> OrphanView {
    OrphanView {
        token: orphan.token,
        author: orphan.author,
        comment: orphan.comment,
        time: rfc3339(orphan.time),
        documents: orphan
            .documents
            .into_iter()
            .map(|change| OrphanChange {
                uri: change.uri,
                operation: change.operation.as_str().to_owned(),
                versions: change.versions,
            })
            .collect(),
        partitions: orphan.partitions.into_iter().collect(),
        is_whole: orphan.is_whole,
        restored: orphan.restored,
    }
}

fn version(version: OrphanVersion) -> OrphanVersionView {
    let OrphanVersion { uri, version: of, body, content } = version;
    let text = content.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    let named = body.as_ref().and_then(|body| body.content.clone());
    OrphanVersionView {
        uri,
        version: of.number,
        id: of.id,
        properties: body.as_ref().map(|body| body.properties.to_value()),
        r#type: body.as_ref().map(|body| body.r#type.clone()),
        author: body.as_ref().map(|body| body.author.clone()),
        comment: body.map(|body| body.comment),
        media_type: named.as_ref().map(|content| content.media_type.clone()),
        content_bytes: named.as_ref().map(|content| content.bytes),
        content_hash: named.map(|content| content.hash),
        body: text,
    }
}

impl From<OrphanError> for Refused {
    fn from(error: OrphanError) -> Refused {
        match error {
            OrphanError::Journal { .. } => Code::Damaged.because(error.to_string()),
            OrphanError::Folder(error) => failed(&error),
        }
    }
}
