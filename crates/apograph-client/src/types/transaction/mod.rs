//! `POST /v1/databases/{db}/transactions`: several operations, all or nothing.
//!
//! With `Content-Type: application/x-ndjson` the body is one [`TransactionRequest`] per line and the answer one
//! [`BulkAnswer`] per line, in the same order. The first refused one ends the work: every later line is answered by a
//! problem of the code [`Problem::NOT_ATTEMPTED`].

mod operation;
mod parse;

use apograph_format::{Hash, State, Timestamp, Token, Uri};
use serde::{Deserialize, Serialize};

pub use operation::{Lock, Move, Operation, Precondition, Publish, Put, Target};

use super::{AuthorTime, DurabilityAnswer, Problem};

/// One atomic, attributed change of any number of documents.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionRequest {
    /// What to do, in order. May be empty only when there is a cursor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Who wrote it, when it is not the holder of the token. For importers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When it was written, when it is not now: microseconds since 1970 or RFC 3339. For importers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub time: Option<AuthorTime>,
    /// Advance this cursor in the same transaction. For importers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<CursorMove>,
}

/// Advances a cursor, if it stands where the caller believes. That makes an import exactly-once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CursorMove {
    /// Which cursor.
    pub name: String,
    /// Where it must stand; absent means that it must not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Where it stands afterwards.
    pub position: String,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionAnswer {
    /// Commit time, microseconds since 1970.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub timestamp: Timestamp,
    /// Reading with `at_least` and this token shows at least this transaction.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub token: Token,
    /// One for every operation, in order.
    pub results: Vec<OperationResult>,
    /// How durable it is, if more than `local` was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<DurabilityAnswer>,
}

/// What became of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationResult {
    /// The document; after a move, its new URI.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub uri: Uri,
    /// Number of its newest version, if it has one left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Id of that version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub id: Option<Hash>,
    /// Where it stands now.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub state: State,
}

/// One line of the answer to bulk transactions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum BulkAnswer {
    /// Done.
    Committed(TransactionAnswer),
    /// Not done; nothing of it.
    Refused(Box<Problem>),
}

#[cfg(test)]
mod tests;
