//! Why a role was not changed.

use serde_json::json;

use apograph::database::roles::{Block, RoleError};
use apograph::error::Fenced;

use super::{Code, Refused, failed};

impl From<Fenced> for Refused {
    fn from(fenced: Fenced) -> Refused {
        Code::Fenced
            .because(fenced.to_string())
            .with("epoch", fenced.epoch.to_string())
            .with("seen", fenced.seen.to_string())
            .with_some("primary_url", fenced.primary_url)
    }
}

impl From<RoleError> for Refused {
    fn from(error: RoleError) -> Refused {
        let detail = error.to_string();
        match error {
            RoleError::Blocked { blocks } => {
                let blocks: Vec<_> = blocks.iter().map(block).collect();
                Code::NotPromotable.because(detail).with("blocks", blocks)
            }
            RoleError::NotPrimary { .. } => Code::NotPrimary.because(detail),
            RoleError::Fenced(fenced) => fenced.into(),
            RoleError::NotHeld | RoleError::NotReached { .. } => Code::SwitchoverFailed.because(detail),
            RoleError::LowerEpoch { seen, .. } => {
                Code::LowerEpoch.because(detail).with("seen", seen.to_string())
            }
            RoleError::HandedToAnother { .. } | RoleError::NotFenced | RoleError::NoEpochLeft { .. } => {
                Code::NotPromotable.because(detail)
            }
            RoleError::UnknownServer { .. } | RoleError::NotItsEpoch { .. } => {
                Code::UnknownServer.because(detail)
            }
            RoleError::NameTaken { .. } => Code::Exists.because(detail),
            RoleError::Stopped { .. } => Code::Stopped.because(detail),
            RoleError::Folder(error) => failed(&error),
            RoleError::Commit(error) => error.into(),
        }
    }
}

fn block(block: &Block) -> serde_json::Value {
    json!({ "code": block.code(), "detail": block.to_string(), "may_be_forced": block.may_be_forced() })
}
