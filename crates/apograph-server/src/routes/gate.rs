//! What every request passes: who asks, may they, and what was answered.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Access;
use crate::app::App;
use crate::problem::{Answer, Code};
use crate::request::lent::Left;
use crate::tokens::Principal;

/// The decision about one route.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) app: App,
    pub(super) access: Access,
    pub(super) path: &'static str,
}

/// Lets the request through, or not.
pub(super) async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let (begun, method) = (Instant::now(), request.method().clone());
    let left = Left::default();
    let body = std::mem::take(request.body_mut());
    *request.body_mut() = left.lend(body);
    let response = match admit(&gate, request.headers()) {
        Ok(principal) => {
            if let Some(principal) = principal {
                request.extensions_mut().insert(principal);
            }
            next.run(request).await
        }
        Err(refused) => {
            drop(request);
            refused.into_response()
        }
    };
    if !response.status().is_success() {
        left.drain().await;
    }
    let status = response.status().as_u16();
    gate.app.metrics.answered(gate.path, &method, status);
    tracing::debug!(%method, path = gate.path, status, micros = begun.elapsed().as_micros(), "answered");
    response
}

/// Who asks, if the route wants to know.
fn admit(gate: &Gate, headers: &HeaderMap) -> Answer<Option<Principal>> {
    let Access::Roles(roles) = gate.access else {
        return Ok(None);
    };
    let header = headers.get(header::AUTHORIZATION);
    let header = header.ok_or_else(|| Code::Unauthenticated.because("there is no authorization header"))?;
    let token = header.to_str().ok().and_then(bearer);
    let token = token.ok_or_else(|| Code::Unauthenticated.because("the authorization is no bearer token"))?;
    let principal = gate.app.tokens.recognise(token);
    let principal = principal
        .ok_or_else(|| Code::Unauthenticated.because("the token is unknown, expired or was taken back"))?;
    if roles.contains(&principal.role) {
        return Ok(Some(principal));
    }
    let may: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    let detail = format!("the token's role is {}; this takes {}", principal.role, may.join(", "));
    Err(Code::Forbidden.because(detail))
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What stands on every answer.
pub(super) async fn mark(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let version = HeaderValue::from_static(env!("CARGO_PKG_VERSION"));
    headers.insert(HeaderName::from_static(apograph_client::header::APOGRAPH), version);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let private = HeaderValue::from_static("private, no-cache");
    headers.entry(header::CACHE_CONTROL).or_insert(private);
    response
}
