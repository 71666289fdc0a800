//! From what somebody sent to a transaction of the engine, with the rights of whoever sent it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use apograph::spool::SpoolError;
use apograph::transaction::{Action, ContentBytes, ContentChange, CursorMove, Operation, Precondition, Put};
use apograph::{Database, Transaction};
use apograph_client::types;
use apograph_format::Uri;
use apograph_format::limits::CHUNK_BYTES_MAX;

use super::json;
use super::path::parse_uri;
use crate::problem::{Code, Refused};
use crate::tokens::{Principal, TokenRole};

/// What a `body` is, unless said otherwise.
const TEXT: &str = "text/plain; charset=utf-8";

/// Everything a transaction says, checked as far as it can be without the database. Blocks when a content is large.
pub(crate) fn of(
    database: &Database,
    principal: &Principal,
    request: types::TransactionRequest,
) -> Result<Transaction, Refused> {
    let transaction = by(principal, request.comment);
    let (author, time) = (request.author, request.time);
    if principal.role != TokenRole::Admin
        && (time.is_some() || author.as_ref().is_some_and(|author| *author != principal.name))
    {
        return Err(
            Code::Forbidden.because("only an administrator may write in another name or for another time")
        );
    }
    let operation = |(index, operation): (usize, types::Operation)| {
        self::operation(database, operation).map_err(|refused| refused.with("operation", index))
    };
    let operations: Vec<_> =
        request.operations.into_iter().enumerate().map(operation).collect::<Result<_, _>>()?;
    allow(principal, &operations)?;
    Ok(Transaction {
        author: author.unwrap_or(transaction.author),
        time: time.map(|time| time.0),
        operations,
        cursor: request.cursor.map(|cursor| CursorMove {
            name: cursor.name,
            previous: cursor.previous,
            position: cursor.position,
        }),
        ..transaction
    })
}

/// A transaction of one operation.
pub(crate) fn single(
    principal: &Principal,
    comment: Option<String>,
    operation: Operation,
) -> Result<Transaction, Refused> {
    allow(principal, std::slice::from_ref(&operation))?;
    Ok(Transaction { operations: vec![operation], ..by(principal, comment.unwrap_or_default()) })
}

/// What a document's body says.
pub(crate) fn put(database: &Database, request: types::DocumentRequest) -> Result<Put, Refused> {
    Ok(Put {
        kind: request.kind,
        r#type: request.r#type,
        properties: request.properties.as_deref().map(json::properties).transpose()?,
        content: content(database, request.body, request.body_base64, request.media_type)?,
        comment: request.comment,
        external: None,
        made_from: None,
    })
}

fn by(principal: &Principal, comment: String) -> Transaction {
    let privileged = principal.role == TokenRole::Admin;
    Transaction { author: principal.name.clone(), comment, privileged, ..Transaction::default() }
}

/// What an editor may not do, whatever the state of the documents. Locks are the engine's business.
fn allow(principal: &Principal, operations: &[Operation]) -> Result<(), Refused> {
    if principal.role == TokenRole::Admin {
        return Ok(());
    }
    for (index, operation) in operations.iter().enumerate() {
        let target = match &operation.action {
            Action::Move { to } => Some(to),
            _ => None,
        };
        let what = if matches!(operation.action, Action::Purge) {
            "purge"
        } else if [Some(&operation.uri), target].into_iter().flatten().any(Uri::is_system) {
            "change what lies under /_system/"
        } else {
            continue;
        };
        let problem = Code::Forbidden.because(format!("only an administrator may {what}"));
        return Err(problem.with("operation", index).with("uri", operation.uri.as_str()));
    }
    Ok(())
}

fn operation(database: &Database, operation: types::Operation) -> Result<Operation, Refused> {
    use types::Operation as Asked;
    let target = operation.target();
    let (uri, precondition) = (parse_uri(&target.uri)?, precondition(target.precondition));
    let action = match operation {
        Asked::Put(put) => Action::Put(self::operation_put(database, put)?),
        Asked::Publish(publish) => Action::Publish { version: publish.version },
        Asked::Withdraw(_) => Action::Withdraw,
        Asked::Trash(_) => Action::Trash,
        Asked::Restore(_) => Action::Restore,
        Asked::Purge(_) => Action::Purge,
        Asked::Move(r#move) => Action::Move { to: parse_uri(&r#move.to)? },
        Asked::Lock(lock) => Action::Lock { owner: lock.owner, seconds: lock.seconds },
        Asked::Unlock(_) => Action::Unlock,
    };
    Ok(Operation { uri, precondition, action })
}

fn precondition(asked: types::Precondition) -> Precondition {
    match (asked.if_version, asked.if_id, asked.if_absent) {
        (Some(number), ..) => Precondition::Version(number),
        (None, Some(id), _) => Precondition::Id(id),
        (None, None, true) => Precondition::Absent,
        (None, None, false) => Precondition::None,
    }
}

fn operation_put(database: &Database, put: types::Put) -> Result<Put, Refused> {
    Ok(Put {
        kind: put.kind,
        r#type: put.r#type,
        properties: put.properties.as_deref().map(json::properties).transpose()?,
        content: content(database, put.body, put.body_base64, put.media_type)?,
        comment: put.comment,
        external: put.external,
        made_from: put.made_from.as_deref().map(parse_uri).transpose()?,
    })
}

fn content(
    database: &Database,
    text: Option<String>,
    base64: Option<String>,
    media_type: Option<String>,
) -> Result<ContentChange, Refused> {
    let (bytes, default) = match (text, base64) {
        (None, None) if media_type.is_some() => {
            return Err(Code::BodyInvalid.because("a media_type needs a body or body_base64"));
        }
        (None, None) => return Ok(ContentChange::Keep),
        (Some(_), Some(_)) => return Err(Code::BodyInvalid.because("give body or body_base64, not both")),
        (Some(text), None) => (Bytes::from(text), TEXT),
        (None, Some(text)) => (decode(&text)?, apograph_client::media_type::BYTES),
    };
    let media_type = media_type.unwrap_or_else(|| default.to_owned());
    Ok(ContentChange::Set { media_type, bytes: cut(database, bytes)? })
}

fn decode(text: &str) -> Result<Bytes, Refused> {
    let decoded = STANDARD.decode(text);
    decoded.map(Bytes::from).map_err(|error| Code::BodyInvalid.because(format!("body_base64: {error}")))
}

/// What is larger than a chunk goes to the disk, as every other large content does.
fn cut(database: &Database, bytes: Bytes) -> Result<ContentBytes, SpoolError> {
    if bytes.len() <= CHUNK_BYTES_MAX {
        return Ok(ContentBytes::Inline(bytes));
    }
    let mut spool = database.spool();
    spool.write(&bytes)?;
    spool.finish()
}
