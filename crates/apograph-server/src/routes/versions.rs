//! `GET /v1/databases/{db}/versions/{uri…}?before=&limit=`: also those from before a move, which stand under the old URI.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;

use apograph::Database;
use apograph::error::{ReadError, Refusal};
use apograph::read::HistoryItem;
use apograph_client::types::HistoryPage;
use apograph_format::Uri;

use super::{list, shape};
use crate::app::App;
use crate::limits::HISTORY_MOVES_MAX;
use crate::problem::Answer;
use crate::request::params::{self, Params};
use crate::request::path::AtDocument;

/// Which versions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionsParams {
    before: Option<String>,
    limit: Option<String>,
}

/// The versions of a document, newest first.
pub(super) async fn get(
    State(app): State<App>,
    AtDocument { database, uri }: AtDocument,
    Params(asked): Params<VersionsParams>,
) -> Answer {
    let before = params::parse("before", asked.before.as_deref())?;
    let limit = list::limit(asked.limit.as_deref())?;
    let from = Place { uri: uri.clone(), before };
    let (items, next) = app.blocking(move || lineage(&database, from, limit)).await?;
    let versions = items.into_iter().map(shape::history_item).collect();
    let next_before = next.as_ref().and_then(|next| next.before);
    let next_uri = next.map(|next| next.uri).filter(|next| *next != uri);
    Ok(Json(HistoryPage { uri, versions, next_uri, next_before }).into_response())
}

/// Where a history goes on: below a number, under a URI.
struct Place {
    uri: Uri,
    before: Option<u64>,
}

/// Up to `limit` versions, and where the next page begins. A move gives its version a number above all of the old URI,
/// so numbers fall all along the way.
fn lineage(
    database: &Database,
    from: Place,
    limit: usize,
) -> Result<(Vec<HistoryItem>, Option<Place>), ReadError> {
    let (mut items, mut next) = (Vec::new(), Some(from));
    for moves in 0..=HISTORY_MOVES_MAX {
        let Some(Place { uri, before }) = next.take_if(|_| items.len() < limit) else { break };
        // One more, to see where the last one comes from.
        let found = match database.history(&uri, before, limit - items.len() + 1) {
            // Purged since it was moved away, or never shown in this view.
            Err(ReadError::Refused { refusal: Refusal::NotFound, .. }) if moves > 0 => break,
            found => found?,
        };
        let mut found = found.into_iter().peekable();
        while let Some(item) = found.next() {
            next = older(&item, found.peek());
            items.push(item);
            if items.len() == limit || next.as_ref().is_none_or(|next| next.uri != uri) {
                break;
            }
        }
    }
    Ok((items, next))
}

/// What comes before a version: the one below it, unless a move brought it here from elsewhere. What stands below then
/// was another document, which had this URI before.
fn older(item: &HistoryItem, below: Option<&HistoryItem>) -> Option<Place> {
    let is_parent = |id| item.version.parents.contains(id);
    let before = Some(item.version_ref.number);
    let origin = item.version.origin.as_ref().and_then(|origin| origin.document.as_ref());
    match (origin, below) {
        (Some((uri, Some(id))), below)
            if is_parent(id) && below.is_none_or(|below| !is_parent(&below.version_ref.id)) =>
        {
            Some(Place { uri: uri.clone(), before })
        }
        (_, Some(_)) => Some(Place { uri: item.uri.clone(), before }),
        (_, None) => None,
    }
}
