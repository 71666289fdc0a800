//! Strict JSON: unknown members, duplicate keys, wrong types and invalid UTF-8 are refused with their position.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use apograph_client::media_type;
use apograph_format::Properties;

use crate::app::App;
use crate::problem::{Code, Refused};
use crate::request::body;

/// The value of a whole body of at most `max` bytes.
pub(crate) async fn whole<T: DeserializeOwned>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    max: usize,
) -> Result<T, Refused> {
    expect(headers, media_type::JSON)?;
    let held = body::whole(app, headers, body, max).await?;
    parse(&held.bytes)
}

/// Reads a value.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    // Said once for the whole body: where a byte is no UTF-8 depends on nothing else.
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(Code::BodyInvalid.because(format!("the body is not UTF-8: {error}")));
    }
    // The reader would take an array for the members in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Code::BodyInvalid.because("expected a JSON object, found an array"));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let place = (error.line() as u64, error.column() as u64);
        Code::BodyInvalid.because(error.to_string()).with("line", place.0).with("column", place.1)
    })
}

/// Reads properties from the text of their JSON.
pub(crate) fn properties(text: &RawValue) -> Result<Properties, Refused> {
    Properties::parse(text.get()).map_err(|error| Code::PropertiesInvalid.because(error.to_string()))
}

/// The media type of the body, without its parameters, in lower case.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Refuses bodies of another media type.
pub(crate) fn expect(headers: &HeaderMap, expected: &str) -> Result<(), Refused> {
    let found = content_type(headers);
    if found.as_deref() == Some(expected) {
        return Ok(());
    }
    let found = found.unwrap_or_else(|| "none".into());
    Err(Code::MediaType.because(format!("this route takes {expected}; the content type is {found}")))
}
