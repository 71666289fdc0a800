//! Which version a reader wants, as of when, and from how far on.

use std::time::Duration;

use axum::http::HeaderMap;
use serde::Deserialize;

use apograph::read::Which;
use apograph::{Database, Role};
use apograph_format::{Timestamp, Token};

use super::params;
use crate::limits::WAIT_MAX;
use crate::problem::{Code, Refused};

/// Query parameters of every read of one document.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadParams {
    state: Option<String>,
    version: Option<String>,
    as_of: Option<String>,
    at_least: Option<String>,
    wait: Option<String>,
}

/// What a reader wants, after the wait for it.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) which: Which,
    /// The time of the answer: the one asked for, or now.
    pub(crate) at: Timestamp,
}

/// Waits as asked, then says what to read.
pub(crate) async fn begin(
    database: &Database,
    headers: &HeaderMap,
    asked: &ReadParams,
) -> Result<Reading, Refused> {
    let which = which(database, asked)?;
    let at = at(database, headers, asked.as_of.as_deref(), asked.at_least.as_deref(), asked.wait.as_deref());
    Ok(Reading { which, at: at.await? })
}

/// The time of an answer, after the wait for `at_least`.
pub(crate) async fn at(
    database: &Database,
    headers: &HeaderMap,
    as_of: Option<&str>,
    at_least: Option<&str>,
    wait: Option<&str>,
) -> Result<Timestamp, Refused> {
    let as_of: Option<Timestamp> = params::parse("as_of", as_of)?;
    if let Some(token) = params::parse::<Token>("at_least", at_least)? {
        let at_most = wait_of(headers, wait)?;
        database.wait_for(token, at_most, tokio::time::sleep(at_most)).await?;
    }
    Ok(as_of.unwrap_or_else(|| database.visible()))
}

fn which(database: &Database, asked: &ReadParams) -> Result<Which, Refused> {
    let number = params::parse("version", asked.version.as_deref())?;
    match (asked.state.as_deref(), number) {
        (None, Some(number)) => Ok(Which::Number(number)),
        (Some(_), Some(_)) => Err(Code::QueryInvalid.because("give state or version, not both")),
        (Some("working"), None) => Ok(Which::Working),
        (Some("live"), None) => Ok(Which::Live),
        (Some(other), None) => {
            Err(Code::QueryInvalid.because(format!("state is `live` or `working`, not {other:?}")))
        }
        (None, None) => Ok(match database.role() {
            Role::Staging => Which::Live,
            Role::Primary | Role::Replica => Which::Working,
        }),
    }
}

/// `wait=SECONDS`, or `Prefer: wait=SECONDS`; never above the limit.
fn wait_of(headers: &HeaderMap, wait: Option<&str>) -> Result<Duration, Refused> {
    let preferred = headers.get("prefer").and_then(|value| value.to_str().ok());
    let preferred =
        preferred.and_then(|text| text.split(',').find_map(|word| word.trim().strip_prefix("wait=")));
    let Some(seconds) = params::parse::<f64>("wait", wait.or(preferred))? else {
        return Ok(WAIT_MAX);
    };
    let wait = Duration::try_from_secs_f64(seconds);
    wait.map(|wait| wait.min(WAIT_MAX)).map_err(|error| Code::QueryInvalid.because(format!("wait: {error}")))
}
