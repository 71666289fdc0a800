//! Every route, and who may use it: one table, from which the router and the OpenAPI document are built. A route
//! without a decision cannot exist.

mod acknowledge;
mod backup;
mod commit;
mod contents;
mod cursors;
mod digest;
mod documents;
mod export;
mod gate;
mod handshake;
mod health;
mod import;
mod journal;
mod lag_limits;
mod leaves;
mod links;
mod list;
mod metrics;
mod openapi;
mod orphans;
mod reports;
mod roles;
mod rollback;
pub(crate) mod shape;
mod status;
mod switchover;
mod synchronization;
mod synchronize;
mod transactions;
mod versions;
mod why;

use axum::Router;
use axum::http::Method;
use axum::routing::{self, MethodRouter};

use crate::app::App;
use crate::problem::{Code, Refused};
use crate::tokens::TokenRole;
use TokenRole::{Admin, Editor, LinkReplica, LinkStaging, Reader};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Public,
    /// Holders of a token of these roles.
    Roles(&'static [TokenRole]),
}

const READ: Access = Access::Roles(&[Admin, Editor, Reader]);
const EDIT: Access = Access::Roles(&[Admin, Editor]);
const OBSERVE: Access = Access::Roles(&[Admin, Editor, Reader, LinkReplica]);
/// Which views, the route decides: `link:staging` gets the published one only.
const FOLLOW: Access = Access::Roles(&[Admin, LinkReplica, LinkStaging]);
const OPERATE: Access = Access::Roles(&[Admin]);
/// A full copy.
const MEMBER: Access = Access::Roles(&[LinkReplica]);
const ANY: Access = Access::Roles(&TokenRole::ALL);

/// A route, and what was decided about it.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    /// For the OpenAPI document: what it does, what it takes and gives.
    pub(crate) about: &'static str,
    pub(crate) takes: &'static str,
    pub(crate) gives: &'static str,
    handler: MethodRouter<App>,
}

/// Method, path and access of every route.
pub fn decisions() -> Vec<(Method, &'static str, Access)> {
    table().into_iter().map(|route| (route.method, route.path, route.access)).collect()
}

/// The router of a running server.
pub(crate) fn router(app: &App) -> Router {
    let mut router = Router::new();
    for route in table() {
        let gate = gate::Gate { app: app.clone(), access: route.access, path: route.path };
        let layer = axum::middleware::from_fn_with_state(gate, gate::pass);
        router = router.route(route.path, route.handler.layer(layer));
    }
    router
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(axum::middleware::from_fn(gate::mark))
        .with_state(app.clone())
}

async fn no_such_route() -> Refused {
    Code::NoSuchRoute.because("there is nothing at this path")
}

async fn method_not_allowed() -> Refused {
    Code::MethodNotAllowed.because("the path exists, the method does not")
}

#[rustfmt::skip]
pub(crate) fn table() -> Vec<Route> {
    const DOCUMENT: &str = "/v1/databases/{db}/documents/{*uri}";
    const CONTENT: &str = "/v1/databases/{db}/contents/{*uri}";
    const LAG_LIMIT: &str = "/v1/databases/{db}/lag-limits/{name}";
    let json = "application/json";
    vec![
        get("/health/live", Access::Public, "Does the server run?", "Health", routing::get(health::live)),
        get("/health/ready", Access::Public, "Is it ready for requests? 503 if not.", "Health", routing::get(health::ready)),
        get("/metrics", READ, "Numbers for Prometheus.", "text/plain", routing::get(metrics::get)),
        get("/v1/openapi.json", ANY, "This document.", json, routing::get(openapi::get)),
        get("/v1/status", OBSERVE, "Databases and links of this server.", "Status", routing::get(status::get)),
        get("/v1/databases/{db}/documents", READ, "Documents by prefix, kind, type and state, in the order of their URIs.", "ListPage", routing::get(list::get)),
        get(DOCUMENT, READ, "A document in one version.", "DocumentView", routing::get(documents::get)),
        write(Method::PUT, DOCUMENT, "Save a new version.", "DocumentRequest", "DocumentAnswer", routing::put(documents::put)),
        write(Method::DELETE, DOCUMENT, "Into the trash; with `purge=true`, erase it everywhere (admin).", "", "DocumentAnswer", routing::delete(documents::delete)),
        get(CONTENT, READ, "The content of a version, as bytes; ranges.", "application/octet-stream", routing::get(contents::get)),
        write(Method::PUT, CONTENT, "Save a new version with this content.", "application/octet-stream", "DocumentAnswer", routing::put(contents::put)),
        write(Method::POST, "/v1/databases/{db}/transactions", "Several operations, all or nothing; or many transactions as NDJSON.", "TransactionRequest", "TransactionAnswer", routing::post(transactions::post)),
        get("/v1/databases/{db}/versions/{*uri}", READ, "The versions of a document, newest first.", "HistoryPage", routing::get(versions::get)),
        get("/v1/databases/{db}/why/{*uri}", READ, "Why a document is, or is not, on this server, by what the server itself knows.", "WhyAnswer", routing::get(why::get)),
        get("/v1/databases/{db}/cursors/{name}", READ, "Where an importer's cursor stands.", "CursorAnswer", routing::get(cursors::get)),
        get("/v1/databases/{db}/digest", READ, "Digests of a view at one timestamp.", "ViewStatus", routing::get(digest::get)),
        get("/v1/databases/{db}/leaves", READ, "Every document of a view with a hash of what its digest covers, one line each.", "application/x-ndjson", routing::get(leaves::get)),
        get("/v1/databases/{db}/export", READ, "Everything of a view, one line per document version.", "application/x-ndjson", routing::get(export::get)),
        Route { method: Method::POST, path: "/v1/databases/{db}/import", access: Access::Roles(&[Admin]), about: "An export, loaded into an empty primary; answered line by line.", takes: "application/x-ndjson", gives: "ImportAnswer", handler: routing::post(import::post) },
        get("/v1/databases/{db}/handshake", FOLLOW, "What a copy must know before it follows.", "Handshake", routing::get(handshake::get)),
        get("/v1/databases/{db}/partitions/{p}/journal", FOLLOW, "A partition's journal behind a position, without end.", "application/vnd.apograph.journal", routing::get(journal::get)),
        Route { method: Method::POST, path: "/v1/databases/{db}/report", access: FOLLOW, about: "How far a copy is.", takes: "LinkReport", gives: "ReportAnswer", handler: routing::post(reports::post) },
        Route { method: Method::POST, path: "/v1/databases/{db}/acknowledge", access: MEMBER, about: "What a full copy has on disk.", takes: "Acknowledgement", gives: "AcknowledgementAnswer", handler: routing::post(acknowledge::post) },
        Route { method: Method::POST, path: "/v1/databases/{db}/snapshot", access: FOLLOW, about: "The newest state of this server, or that of a time, for a copy that synchronizes.", takes: "SnapshotRequest", gives: json, handler: routing::post(synchronize::snapshot) },
        Route { method: Method::POST, path: "/v1/databases/{db}/partitions/{p}/synchronize", access: FOLLOW, about: "What a copy asks about a snapshot, answered frame by frame.", takes: "application/vnd.apograph.synchronize", gives: "application/vnd.apograph.synchronize", handler: routing::post(synchronize::ask) },
        get("/v1/databases/{db}/synchronization", OBSERVE, "How the last synchronization ended, and what it could not take.", "SyncReport", routing::get(synchronization::get)),
        Route { method: Method::POST, path: "/v1/databases/{db}/synchronization", access: OPERATE, about: "Say that it was seen, or let a held document be.", takes: "SyncRemark", gives: "SyncReport", handler: routing::post(synchronization::post) },
        get("/v1/databases/{db}/backup", OPERATE, "How far the last backup is that this server was asked for.", "BackupStatus", routing::get(backup::get)),
        Route { method: Method::POST, path: "/v1/databases/{db}/backup", access: OPERATE, about: "Make a backup on the server's machine, below its backup folder; answered when it is begun.", takes: "BackupOrder", gives: "BackupStatus", handler: routing::post(backup::post) },
        operate(Method::POST, "/v1/databases/{db}/sync", "Synchronize a copy with its source; with `dry_run`, say what would come (`SyncMeasure`).", "SyncRequest", routing::post(links::sync)),
        operate(Method::POST, "/v1/databases/{db}/pause", "Pause the link of a copy, until it is resumed.", "", routing::post(links::pause)),
        operate(Method::POST, "/v1/databases/{db}/resume", "Let the link of a copy go on.", "", routing::post(links::resume)),
        get("/v1/databases/{db}/lag-limits", OBSERVE, "How far copies may be behind before writes wait for them: a list of `LagLimitView`.", json, routing::get(lag_limits::list)),
        Route { method: Method::PUT, path: LAG_LIMIT, access: OPERATE, about: "Limit how far a copy may be behind; answers all limits, a list of `LagLimitView`.", takes: "LagLimit", gives: json, handler: routing::put(lag_limits::put) },
        Route { method: Method::DELETE, path: LAG_LIMIT, access: OPERATE, about: "Take the limit of a copy away; answers all that are left.", takes: "", gives: json, handler: routing::delete(lag_limits::delete) },
        Route { method: Method::POST, path: "/v1/databases/{db}/promote", access: OPERATE, about: "Make this copy the primary; with `plan`, say what that would mean.", takes: "PromoteRequest", gives: "PromotionAnswer", handler: routing::post(roles::promote) },
        Route { method: Method::POST, path: "/v1/databases/{db}/switchover", access: OPERATE, about: "Give the role of primary to a copy that follows, without loss.", takes: "SwitchoverRequest", gives: "SwitchoverAnswer", handler: routing::post(switchover::switchover) },
        Route { method: Method::PUT, path: "/v1/databases/{db}/source", access: OPERATE, about: "Have a copy, or a primary that another one followed, follow another server.", takes: "FollowRequest", gives: "EpochAnswer", handler: routing::put(roles::follow) },
        get("/v1/databases/{db}/orphans", OPERATE, "What a later epoch cut off and this server kept, oldest first: a list of `OrphanView`.", json, routing::get(orphans::list)),
        get("/v1/databases/{db}/orphans/{timestamp}", OPERATE, "The versions that one of them had added: a list of `OrphanVersionView`.", json, routing::get(orphans::show)),
        Route { method: Method::POST, path: "/v1/databases/{db}/orphans/restore", access: OPERATE, about: "Bring them back to the primary, as new versions; answered line by line.", takes: "RestoreRequest", gives: "RestoreAnswer", handler: routing::post(orphans::restore::post) },
        Route { method: Method::POST, path: "/v1/databases/{db}/restorations", access: OPERATE, about: "The primary takes one of them from the server that kept it.", takes: "application/vnd.apograph.orphan", gives: "OrphanRestored", handler: routing::post(orphans::intake::post) },
        Route { method: Method::DELETE, path: "/v1/databases/{db}/orphans", access: OPERATE, about: "Remove all of them, for ever.", takes: "", gives: "OrphansGone", handler: routing::delete(orphans::discard) },
        get("/v1/databases/{db}/rollback", OPERATE, "What would change if the state of an earlier time became the current one, line by line.", "RollbackAnswer", routing::get(rollback::get)),
        Route { method: Method::POST, path: "/v1/databases/{db}/rollback", access: OPERATE, about: "Make the state of an earlier time the current one; answered line by line.", takes: "RollbackRequest", gives: "RollbackAnswer", handler: routing::post(rollback::post) },
        Route { method: Method::POST, path: "/v1/databases/{db}/handover", access: MEMBER, about: "A copy that is to become primary asks for it.", takes: "HandoverRequest", gives: "HandoverAnswer", handler: routing::post(switchover::handover) },
        Route { method: Method::POST, path: "/v1/databases/{db}/epoch", access: MEMBER, about: "A primary says that it is one.", takes: "EpochNotice", gives: "EpochAnswer", handler: routing::post(roles::epoch) },
        operate(Method::PUT, "/v1/databases/{db}/throttle", "Bound what the link of a copy lets in.", "ThrottleRequest", routing::put(links::throttle)),
    ]
}

fn get(
    path: &'static str,
    access: Access,
    about: &'static str,
    gives: &'static str,
    handler: MethodRouter<App>,
) -> Route {
    Route { method: Method::GET, path, access, about, takes: "", gives, handler }
}

fn write(
    method: Method,
    path: &'static str,
    about: &'static str,
    takes: &'static str,
    gives: &'static str,
    handler: MethodRouter<App>,
) -> Route {
    Route { method, path, access: EDIT, about, takes, gives, handler }
}

/// What operators tell links; all of them answer how the link stands then.
fn operate(
    method: Method,
    path: &'static str,
    about: &'static str,
    takes: &'static str,
    handler: MethodRouter<App>,
) -> Route {
    Route { method, path, access: OPERATE, about, takes, gives: "LinkStatus", handler }
}
