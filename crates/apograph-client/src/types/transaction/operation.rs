//! The operations of a transaction.

use apograph_format::{Hash, Kind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One operation on one document; `op` says which.
///
/// URIs are text here; the server parses them and says which operation's is wrong. A member that the operation does
/// not have is refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", try_from = "super::parse::Members")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Operation {
    /// Save a new version.
    Put(Put),
    /// Make a version live.
    Publish(Publish),
    /// Nothing is live any more.
    Withdraw(Target),
    /// Into the trash, not live any more.
    Trash(Target),
    /// Out of the trash.
    Restore(Target),
    /// Erase it and its history everywhere. Stands alone in its transaction.
    Purge(Target),
    /// Continue under another URI.
    Move(Move),
    /// Keep others from changing it.
    Lock(Lock),
    /// Let others change it again.
    Unlock(Target),
}

/// A document, and what must be true of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Target {
    /// The document.
    pub uri: String,
    /// What must be true before, or the transaction is refused.
    #[serde(flatten)]
    pub precondition: Precondition,
}

/// What must be true of a document before an operation. At most one of the three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Precondition {
    /// The working version has this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
    /// The working version has this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub if_id: Option<Hash>,
    /// There is no such document, or it is in the trash.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub if_absent: bool,
}

/// A new version. What is absent stays as it was in the version before.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Put {
    /// The document, and what must be true of it.
    #[serde(flatten)]
    pub target: Target,
    /// What it is: `document` or `node`, or a system kind below `/_system/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub kind: Option<Kind>,
    /// What the application calls this sort of document.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// What the application knows of it: a JSON object without duplicate keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub properties: Option<Box<RawValue>>,
    /// The content, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The content, as bytes in Base64 (standard alphabet, padded). Not together with `body`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// What the content is; `text/plain; charset=utf-8` for a `body`, `application/octet-stream` for bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Why this version was made; absent means the comment of the transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Importers: the name of this version in the system it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
    /// The document this one was made from, when its history continues another's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_from: Option<String>,
}

/// Makes a version live.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Publish {
    /// The document, and what must be true of it.
    #[serde(flatten)]
    pub target: Target,
    /// Number of the version; absent means the working version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// Continues a document under another URI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Move {
    /// The document, and what must be true of it.
    #[serde(flatten)]
    pub target: Target,
    /// Its new URI.
    pub to: String,
}

/// Keeps others from changing a document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Lock {
    /// The document, and what must be true of it.
    #[serde(flatten)]
    pub target: Target,
    /// Who works on it; absent means the author of the transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// For how long.
    pub seconds: u64,
}

impl Operation {
    /// The document.
    pub fn target(&self) -> &Target {
        match self {
            Operation::Put(put) => &put.target,
            Operation::Publish(publish) => &publish.target,
            Operation::Move(r#move) => &r#move.target,
            Operation::Lock(lock) => &lock.target,
            Operation::Withdraw(target)
            | Operation::Trash(target)
            | Operation::Restore(target)
            | Operation::Purge(target)
            | Operation::Unlock(target) => target,
        }
    }
}

impl Target {
    /// The document at `uri`, whatever its state.
    pub fn of(uri: impl Into<String>) -> Target {
        Target { uri: uri.into(), precondition: Precondition::default() }
    }
}
