//! `GET /v1/databases/{db}/export?view=&as_of=&prefix=&document=&damage=`: equal copies export equal bytes.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;

use apograph::read::{ExportQuery, Scope};
use apograph_client::media_type;
use apograph_format::{Token, View};

use super::commit;
use crate::app::App;
use crate::problem::{Answer, Code};
use crate::request::params::{self, Params};
use crate::request::path::{InDatabase, parse_uri};
use crate::request::reading;
use crate::stream::{self, Lane, Lines};

/// What to export.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportParams {
    view: Option<String>,
    as_of: Option<String>,
    at_least: Option<String>,
    wait: Option<String>,
    prefix: Option<String>,
    document: Option<String>,
    partitions: Option<String>,
    /// `listed`: what cannot be read becomes a line. Otherwise the export breaks off there.
    damage: Option<String>,
}

/// Everything of a view at one time, one line per document version.
pub(super) async fn get(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    Params(asked): Params<ExportParams>,
    headers: HeaderMap,
) -> Answer {
    let view: View = params::parse("view", asked.view.as_deref())?.unwrap_or(database.view());
    let (as_of, at_least, wait) = (asked.as_of.as_deref(), asked.at_least.as_deref(), asked.wait.as_deref());
    let at = reading::at(&database, &headers, as_of, at_least, wait).await?;
    let token = Token { epoch: database.epoch(), timestamp: at };
    let scope = scope(asked.prefix, asked.document.as_deref())?;
    let count = database.partitioning().count();
    let partitions = asked.partitions.as_deref().map(|asked| params::partitions(asked, count)).transpose()?;
    let lists_damage = match asked.damage.as_deref() {
        None => false,
        Some("listed") => true,
        Some(other) => return Err(Code::QueryInvalid.because(format!("damage is `listed`, not {other:?}"))),
    };
    let query = ExportQuery { view, scope, partitions, as_of: Some(at), lists_damage };
    let held = database.clone();
    let export = app.blocking(move || database.export_of(query)).await?;
    let mut response = Response::new(stream::body(&app, Lane::Bulk, Lines(export)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::NDJSON));
    commit::set_token(&mut response, &token);
    commit::set_held(&mut response, &held);
    Ok(response)
}

/// Which documents: those below a prefix, one, or all.
pub(super) fn scope(prefix: Option<String>, document: Option<&str>) -> Answer<Scope> {
    match (prefix, document) {
        (None, None) => Ok(Scope::Whole),
        (Some(prefix), None) => Ok(Scope::Prefix(prefix)),
        (None, Some(document)) => Ok(Scope::Document(parse_uri(document)?)),
        (Some(_), Some(_)) => Err(Code::QueryInvalid.because("give prefix or document, not both")),
    }
}
