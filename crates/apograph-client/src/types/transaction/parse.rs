//! Reads operations. A derived reader would hold every operation as a tree before it knows its `op`, and lose the
//! text of the properties with that; this one reads all members there are, and then refuses those that do not fit.

use apograph_format::{Hash, Kind};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::operation::{Lock, Move, Operation, Precondition, Publish, Put, Target};

/// Every member that an operation may have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Members {
    op: Op,
    uri: String,
    if_version: Option<u64>,
    if_id: Option<Hash>,
    #[serde(default)]
    if_absent: bool,
    kind: Option<Kind>,
    r#type: Option<String>,
    properties: Option<Box<RawValue>>,
    body: Option<String>,
    body_base64: Option<String>,
    media_type: Option<String>,
    comment: Option<String>,
    external: Option<String>,
    made_from: Option<String>,
    version: Option<u64>,
    to: Option<String>,
    owner: Option<String>,
    seconds: Option<u64>,
}

/// Why the members do not make an operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MembersError {
    #[error("a {op} has no member `{member}`")]
    Foreign { op: &'static str, member: &'static str },
    #[error("a {op} needs the member `{member}`")]
    Missing { op: &'static str, member: &'static str },
    #[error("give one of `if_version`, `if_id` and `if_absent`, not several")]
    Preconditions,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Put,
    Publish,
    Withdraw,
    Trash,
    Restore,
    Purge,
    Move,
    Lock,
    Unlock,
}

impl TryFrom<Members> for Operation {
    type Error = MembersError;

    fn try_from(members: Members) -> Result<Operation, MembersError> {
        let op = members.op;
        members.check()?;
        let missing = |member| MembersError::Missing { op: op.name(), member };
        let Members { uri, if_version, if_id, if_absent, .. } = members;
        let target = Target { uri, precondition: Precondition { if_version, if_id, if_absent } };
        Ok(match op {
            Op::Put => Operation::Put(Put {
                target,
                kind: members.kind,
                r#type: members.r#type,
                properties: members.properties,
                body: members.body,
                body_base64: members.body_base64,
                media_type: members.media_type,
                comment: members.comment,
                external: members.external,
                made_from: members.made_from,
            }),
            Op::Publish => Operation::Publish(Publish { target, version: members.version }),
            Op::Withdraw => Operation::Withdraw(target),
            Op::Trash => Operation::Trash(target),
            Op::Restore => Operation::Restore(target),
            Op::Purge => Operation::Purge(target),
            Op::Move => Operation::Move(Move { target, to: members.to.ok_or(missing("to"))? }),
            Op::Lock => Operation::Lock(Lock {
                target,
                owner: members.owner,
                seconds: members.seconds.ok_or(missing("seconds"))?,
            }),
            Op::Unlock => Operation::Unlock(target),
        })
    }
}

impl Members {
    /// Refuses members of other operations.
    fn check(&self) -> Result<(), MembersError> {
        let given = [
            ("if_absent", Op::Put, self.if_absent),
            ("kind", Op::Put, self.kind.is_some()),
            ("type", Op::Put, self.r#type.is_some()),
            ("properties", Op::Put, self.properties.is_some()),
            ("body", Op::Put, self.body.is_some()),
            ("body_base64", Op::Put, self.body_base64.is_some()),
            ("media_type", Op::Put, self.media_type.is_some()),
            ("comment", Op::Put, self.comment.is_some()),
            ("external", Op::Put, self.external.is_some()),
            ("made_from", Op::Put, self.made_from.is_some()),
            ("version", Op::Publish, self.version.is_some()),
            ("to", Op::Move, self.to.is_some()),
            ("owner", Op::Lock, self.owner.is_some()),
            ("seconds", Op::Lock, self.seconds.is_some()),
        ];
        if let Some((member, ..)) = given.into_iter().find(|(_, owner, given)| *given && *owner != self.op) {
            return Err(MembersError::Foreign { op: self.op.name(), member });
        }
        let preconditions = [self.if_version.is_some(), self.if_id.is_some(), self.if_absent];
        if preconditions.into_iter().filter(|given| *given).count() > 1 {
            return Err(MembersError::Preconditions);
        }
        Ok(())
    }
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Op::Put => "put",
            Op::Publish => "publish",
            Op::Withdraw => "withdraw",
            Op::Trash => "trash",
            Op::Restore => "restore",
            Op::Purge => "purge",
            Op::Move => "move",
            Op::Lock => "lock",
            Op::Unlock => "unlock",
        }
    }
}
