//! Errors over HTTP, RFC 9457, as `application/problem+json`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Why a request was not done. `code` is stable: programs may rely on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// URI of the kind of problem: `urn:apograph:problem:CODE`.
    #[serde(rename = "type")]
    pub r#type: String,
    /// The kind of problem, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The request it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The kind of problem, for programs. Never changes its meaning.
    pub code: String,
    /// What a person could do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Facts of this kind of problem, such as `primary_url`.
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object, additional_properties))]
    pub extra: Map<String, Value>,
}

impl Problem {
    /// A bulk transaction that came after a refused one.
    pub const NOT_ATTEMPTED: &str = "not-attempted";
    /// This server does not take edits; `primary_url` says who does, if known.
    pub const READ_ONLY: &str = "read-only";
    /// A cursor stands elsewhere; `position` says where.
    pub const CURSOR: &str = "cursor";
    /// Stored bytes are not what they were.
    pub const DAMAGED: &str = "damaged";

    /// A problem of the stable code `code`.
    pub fn new(status: u16, code: &str, title: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem {
            r#type: format!("urn:apograph:problem:{code}"),
            title: title.into(),
            status,
            detail: detail.into(),
            instance: None,
            code: code.to_owned(),
            next: None,
            extra: Map::new(),
        }
    }

    /// Says what a person could do next.
    pub fn next(mut self, next: impl Into<String>) -> Problem {
        self.next = Some(next.into());
        self
    }

    /// Adds a fact.
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Problem {
        self.extra.insert(member.to_owned(), value.into());
        self
    }

    /// A fact that is text.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.extra.get(member).and_then(Value::as_str)
    }

    /// Where edits go, when this server does not take them.
    pub fn primary_url(&self) -> Option<&str> {
        self.text("primary_url")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.detail.is_empty() { &self.title } else { &self.detail })
    }
}
