//! `GET /v1/openapi.json`: paths from the table of routes, schemas from the types that travel.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use apograph_client::{media_type, types};

use super::{Access, Route, table};

#[derive(OpenApi)]
#[openapi(components(schemas(
    types::Acknowledgement,
    types::AcknowledgementAnswer,
    types::BackupOrder,
    types::BackupStatus,
    types::BulkAnswer,
    types::CursorAnswer,
    types::DocumentAnswer,
    types::DocumentRequest,
    types::DocumentView,
    types::EpochAnswer,
    types::EpochNotice,
    types::FollowRequest,
    types::HandoverAnswer,
    types::HandoverRequest,
    types::Handshake,
    types::Health,
    types::HistoryPage,
    types::ImportAnswer,
    types::LagLimit,
    types::LagLimitView,
    types::LinkReport,
    types::LinkStatus,
    types::ListPage,
    types::OrphanVersionView,
    types::OrphanView,
    types::OrphansGone,
    types::RestoreRequest,
    types::RestoreAnswer,
    types::OrphanRestored,
    types::Problem,
    types::RollbackAnswer,
    types::RollbackRequest,
    types::PromoteRequest,
    types::PromotionAnswer,
    types::ReportAnswer,
    types::SnapshotRequest,
    types::Status,
    types::SwitchoverAnswer,
    types::SwitchoverRequest,
    types::SyncMeasure,
    types::SyncRemark,
    types::SyncReport,
    types::SyncRequest,
    types::ThrottleRequest,
    types::TransactionAnswer,
    types::TransactionRequest,
    types::ViewStatus,
    types::WhyAnswer,
)))]
struct Schemas;

/// The document.
pub(super) async fn get() -> Response {
    Json(document()).into_response()
}

pub(crate) fn document() -> Value {
    let schemas = serde_json::to_value(Schemas::openapi()).unwrap_or_default();
    let mut paths = Map::new();
    for route in table() {
        let path = paths.entry(route.path.replace("{*uri}", "{uri}")).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(route.method.as_str().to_ascii_lowercase(), operation(&route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Apograph",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A document repository whose copies are exact, and can prove it.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.pointer("/components/schemas"),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let names = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<_> = names
        .map(|name| name.trim_start_matches('*'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if route.access == super::EDIT {
        let header = |name: &str, about: &str| json!({ "name": name, "in": "header", "description": about, "schema": { "type": "string" } });
        let about = "How durable it must be before it is answered: `local`, or `replicas=N`.";
        parameters.push(header(apograph_client::header::DURABILITY, about));
        let about =
            "For how many seconds the answer may wait for that. 202: committed, and not as durable in time.";
        parameters.push(header(apograph_client::header::WITHIN, about));
    }
    let (security, roles) = match route.access {
        Access::Public => (json!([]), Vec::new()),
        Access::Roles(roles) => (json!([{ "token": [] }]), roles.iter().map(|role| role.as_str()).collect()),
    };
    let mut operation = json!({
        "summary": route.about,
        "parameters": parameters,
        "responses": {
            "2XX": { "description": "Done.", "content": content(route.gives) },
            "default": { "description": "Why not.", "content": {
                media_type::PROBLEM: { "schema": { "$ref": "#/components/schemas/Problem" } },
            } },
        },
        "security": security,
        "x-roles": roles,
    });
    if let (Value::Object(members), false) = (&mut operation, route.takes.is_empty()) {
        let body = json!({ "required": true, "content": content(route.takes) });
        members.insert("requestBody".to_owned(), body);
    }
    operation
}

/// A schema's name, or a media type of which there is no schema.
fn content(of: &str) -> Value {
    if of.is_empty() {
        json!({})
    } else if of.contains('/') {
        json!({ of: {} })
    } else {
        json!({ media_type::JSON: { "schema": { "$ref": format!("#/components/schemas/{of}") } } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_in_the_document_and_every_schema_it_names() {
        let document = document();
        for route in table() {
            let path = route.path.replace("{*uri}", "{uri}");
            let operation = &document["paths"][&path][route.method.as_str().to_ascii_lowercase()];
            assert!(operation.is_object(), "{} {path}", route.method);
            for name in
                [route.takes, route.gives].into_iter().filter(|name| !name.is_empty() && !name.contains('/'))
            {
                assert!(document["components"]["schemas"][name].is_object(), "schema {name}");
            }
        }
    }

    /// `crates/apograph-server/openapi.json` is the document; `UPDATE_GOLDEN=1 cargo test -p apograph-server openapi`
    /// writes it anew: read the difference.
    #[test]
    fn the_document_is_the_golden_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        let found = serde_json::to_string_pretty(&document()).unwrap() + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == expected, "openapi.json is not what the code says; UPDATE_GOLDEN=1 writes it anew");
    }
}
