//! `If-Match` and `If-None-Match`.

use axum::http::{HeaderMap, HeaderName, header};

use apograph::transaction::Precondition;
use apograph_format::Hash;

use crate::problem::{Code, Refused};

/// What must be true before a write: `If-Match: "NUMBER"`, `"ID"` or `*`, or `If-None-Match: *`.
pub(crate) fn of_write(headers: &HeaderMap) -> Result<Precondition, Refused> {
    let (if_match, if_none_match) = (text(headers, header::IF_MATCH)?, text(headers, header::IF_NONE_MATCH)?);
    match (if_match, if_none_match) {
        (None, None) => Ok(Precondition::None),
        (Some(tag), None) => matching(tag),
        (None, Some("*")) => Ok(Precondition::Absent),
        (None, Some(_)) => Err(refused("if-none-match takes only `*` in a write")),
        (Some(_), Some(_)) => Err(refused("give if-match or if-none-match, not both")),
    }
}

/// Does the reader have this version already?
pub(crate) fn has_already(headers: &HeaderMap, id: &Hash) -> Result<bool, Refused> {
    let Some(tags) = text(headers, header::IF_NONE_MATCH)? else {
        return Ok(false);
    };
    let id = id.to_string();
    let same = |tag: &str| tag == "*" || tag.trim_start_matches("W/").trim_matches('"') == id;
    Ok(tags.split(',').any(|tag| same(tag.trim())))
}

/// A version's id as an entity tag.
pub(crate) fn etag(id: &Hash) -> String {
    format!("\"{id}\"")
}

fn matching(tag: &str) -> Result<Precondition, Refused> {
    if tag == "*" {
        return Ok(Precondition::Present);
    }
    let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let inner = inner.ok_or_else(|| refused("if-match takes one tag in double quotes, or `*`"))?;
    let number = inner.parse().ok().filter(|_| inner.len() < 20);
    let id = inner.parse().map(Precondition::Id);
    number
        .map(Precondition::Version)
        .or(id.ok())
        .ok_or_else(|| refused("if-match takes the number of a version, or its id as 64 hex digits"))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Refused> {
    let mut values = headers.get_all(&name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(refused(&format!("{name} is given twice")));
    }
    let value = first.map(|value| value.to_str()).transpose();
    Ok(value.map_err(|_| refused(&format!("{name} is not text")))?.map(str::trim))
}

fn refused(detail: &str) -> Refused {
    Code::HeaderInvalid.because(detail)
}
