//! From what somebody asks for to what the journal will say: every check of an edit is here, and nothing is written.
//!
//! A transaction is planned against the state that the transactions before it leave, durable or not: the store, over
//! it what the running group has decided ([`Overlay`]), over that what this transaction did so far.

mod check;
mod load;
mod operations;
mod overlay;
mod put;
mod recover;
mod rollback;

use std::collections::BTreeMap;

use bytes::Bytes;

use apograph_format::limits::{COMMENT_BYTES_MAX, NAME_BYTES_MAX, OPERATIONS_MAX};
use apograph_format::{Change, ContentFact, Cursor, Hash, PartitionId, Timestamp, VersionNames};

use crate::error::{CommitError, LoadRefusal, Refusal, TransactionRefusal};
use crate::spool::SpooledContent;
use crate::transaction::{CursorMove, Operation, OperationResult, Transaction};

pub(crate) use overlay::{Overlay, State, newest_cursor, newest_cursor_at};
pub use rollback::Lost;
pub(crate) use rollback::{Turn, turn};

/// What a transaction will write, by partition, and what it answers.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) parts: BTreeMap<PartitionId, Part>,
    pub(crate) results: Vec<OperationResult>,
    pub(crate) author: String,
    pub(crate) comment: String,
    pub(crate) time: i64,
    pub(crate) cursor: Option<Cursor>,
}

/// What a transaction will write into one partition.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) changes: Vec<Change>,
    pub(crate) contents: Vec<ContentFact>,
    pub(crate) payloads: Vec<PlannedPayload>,
    pub(crate) named: Vec<VersionNames>,
}

/// A payload that will travel with the transaction, read only when its entry is written.
#[derive(Debug, Clone)]
pub(crate) struct PlannedPayload {
    pub(crate) hash: Hash,
    pub(crate) bytes: usize,
    pub(crate) from: PayloadSource,
}

/// Where its bytes are.
#[derive(Debug, Clone)]
pub(crate) enum PayloadSource {
    Memory(Bytes),
    Spool(SpooledContent, usize),
    /// In another partition's store, or in this one's.
    Store(PartitionId),
}

/// Plans one transaction at `timestamp`. On success `state` holds its effects in its upper layer.
pub(crate) fn plan(
    transaction: &Transaction,
    timestamp: Timestamp,
    state: &mut State<'_>,
) -> Result<Plan, CommitError> {
    check_whole(transaction)?;
    let now = i64::try_from(timestamp.0).unwrap_or(i64::MAX);
    let mut plan = Plan {
        author: transaction.author.clone(),
        comment: transaction.comment.clone(),
        time: transaction.time.unwrap_or(now),
        cursor: plan_cursor(transaction.cursor.as_ref(), state)?,
        ..Plan::default()
    };
    for (index, operation) in transaction.operations.iter().enumerate() {
        let mut planning = Planning { transaction, timestamp, state: &mut *state, plan: &mut plan };
        planning.operation(operation).map_err(|error| error.at(index, operation))?;
    }
    if let (Some(cursor), true) = (&plan.cursor, plan.parts.is_empty()) {
        let home = state.partitioning().of_bytes(cursor.name.as_bytes());
        plan.parts.insert(home, Part::default());
    }
    Ok(plan)
}

fn check_whole(transaction: &Transaction) -> Result<(), TransactionRefusal> {
    let operations = &transaction.operations;
    if operations.is_empty() && transaction.cursor.is_none() {
        return Err(TransactionRefusal::Empty);
    }
    let cursor = transaction.cursor.as_ref();
    let cursor_bytes = cursor.map_or(0, |cursor| cursor.name.len().max(cursor.position.len()));
    let limits = [
        ("operations of a transaction", OPERATIONS_MAX, operations.len()),
        ("bytes of a comment", COMMENT_BYTES_MAX, transaction.comment.len()),
        ("bytes of an author's name", NAME_BYTES_MAX, transaction.author.len()),
        ("bytes of a cursor's name and position", NAME_BYTES_MAX, cursor_bytes),
    ];
    if let Some((what, max, found)) = limits.into_iter().find(|(_, max, found)| found > max) {
        return Err(TransactionRefusal::TooLarge { what, max, found });
    }
    if transaction.purges() && operations.len() > 1 {
        return Err(TransactionRefusal::PurgeNotAlone);
    }
    Ok(())
}

fn plan_cursor(cursor: Option<&CursorMove>, state: &mut State<'_>) -> Result<Option<Cursor>, CommitError> {
    let Some(cursor) = cursor else { return Ok(None) };
    let found = state.cursor(&cursor.name)?;
    if found != cursor.previous {
        return Err(TransactionRefusal::Cursor { name: cursor.name.clone(), found }.into());
    }
    state.set_cursor(&cursor.name, &cursor.position);
    Ok(Some(cursor.to_fact()))
}

/// One transaction on its way through its operations.
struct Planning<'a, 's> {
    transaction: &'a Transaction,
    timestamp: Timestamp,
    state: &'a mut State<'s>,
    plan: &'a mut Plan,
}

/// Why an operation cannot be planned.
#[derive(Debug)]
enum PlanError {
    Refused(Refusal),
    Store(apograph_store::StoreError),
}

impl From<Refusal> for PlanError {
    fn from(refusal: Refusal) -> PlanError {
        PlanError::Refused(refusal)
    }
}

impl From<LoadRefusal> for PlanError {
    fn from(refusal: LoadRefusal) -> PlanError {
        PlanError::Refused(refusal.into())
    }
}

impl From<apograph_store::StoreError> for PlanError {
    fn from(error: apograph_store::StoreError) -> PlanError {
        PlanError::Store(error)
    }
}

impl PlanError {
    fn at(self, index: usize, operation: &Operation) -> CommitError {
        match self {
            PlanError::Refused(refusal) => {
                CommitError::Refused { index, uri: operation.uri.clone(), refusal }
            }
            PlanError::Store(error) => CommitError::Store(error),
        }
    }
}
