//! Who may do what: opaque tokens, kept as hashes, each with one role.
//!
//! A token reads `apo_LETTER_` and 64 hex digits. The data folder holds `tokens.json` (0600) with hashes only, and
//! `tokens/*.token` (0600) with the plain tokens of the first start, for whoever administers the server to hand out.

mod check;
mod create;
mod file;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use check::{Principal, Tokens};
pub(crate) use create::keep;
pub use create::{add, create, token_path};
pub use file::TokenError;

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TokenRole {
    /// Everything.
    #[serde(rename = "admin")]
    Admin,
    /// Read, and edit documents; not purge, break locks, touch system documents or write for others.
    #[serde(rename = "editor")]
    Editor,
    /// Read.
    #[serde(rename = "reader")]
    Reader,
    /// Follow any view.
    #[serde(rename = "link:replica")]
    LinkReplica,
    /// Follow the published view.
    #[serde(rename = "link:staging")]
    LinkStaging,
}

impl TokenRole {
    /// All of them.
    pub const ALL: [TokenRole; 5] = [
        TokenRole::Admin,
        TokenRole::Editor,
        TokenRole::Reader,
        TokenRole::LinkReplica,
        TokenRole::LinkStaging,
    ];

    /// The name, as in `tokens.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenRole::Admin => "admin",
            TokenRole::Editor => "editor",
            TokenRole::Reader => "reader",
            TokenRole::LinkReplica => "link:replica",
            TokenRole::LinkStaging => "link:staging",
        }
    }

    /// Names the token, its file and, unless told otherwise, the author of what it writes.
    pub fn file_stem(self) -> &'static str {
        match self {
            TokenRole::Admin => "admin",
            TokenRole::Editor => "editor",
            TokenRole::Reader => "reader",
            TokenRole::LinkReplica => "link-replica",
            TokenRole::LinkStaging => "link-staging",
        }
    }

    fn letter(self) -> char {
        match self {
            TokenRole::Admin => 'a',
            TokenRole::Editor => 'e',
            TokenRole::Reader => 'r',
            TokenRole::LinkReplica => 'c',
            TokenRole::LinkStaging => 's',
        }
    }
}

impl fmt::Display for TokenRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
