//! What a server is for one database.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use apograph_format::View;

/// What a server is for one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes every edit.
    Primary,
    /// Holds everything, version history included.
    Replica,
    /// Holds what is published and nothing else.
    Staging,
}

/// A role's name is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown role {found:?}; use `primary`, `replica` or `staging`")]
pub struct UnknownRole {
    /// The name given.
    pub found: String,
}

impl Role {
    /// The view a server of this role holds.
    pub fn view(self) -> View {
        match self {
            Role::Primary | Role::Replica => View::Full,
            Role::Staging => View::Published,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Primary => "primary",
            Role::Replica => "replica",
            Role::Staging => "staging",
        })
    }
}

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Role, UnknownRole> {
        [Role::Primary, Role::Replica, Role::Staging]
            .into_iter()
            .find(|role| role.to_string() == text)
            .ok_or_else(|| UnknownRole { found: text.chars().take(40).collect() })
    }
}
