//! `tokens.json`: hashes of tokens and their roles.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use apograph_format::Hash;
use serde::{Deserialize, Serialize};

use super::TokenRole;

pub(super) const NAME: &str = "tokens.json";

/// The file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenFile {
    pub(super) tokens: Vec<TokenRecord>,
}

/// One token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRecord {
    /// For people; the author of what it writes.
    pub(super) name: String,
    pub(super) role: TokenRole,
    /// BLAKE3 of the token's text.
    pub(super) hash: Hash,
    /// RFC 3339.
    pub(super) created: String,
    /// RFC 3339; absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<String>,
}

/// The tokens cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The disk refused.
    #[error("{path}: {error}")]
    Disk {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} cannot be read: {reason}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

pub(super) fn disk(path: &Path) -> impl FnOnce(io::Error) -> TokenError {
    let path = path.to_owned();
    |error| TokenError::Disk { path, error }
}

pub(super) fn load(directory: &Path) -> Result<TokenFile, TokenError> {
    let path = directory.join(NAME);
    let text = fs::read_to_string(&path).map_err(disk(&path))?;
    let file: TokenFile = serde_json::from_str(&text)
        .map_err(|error| TokenError::Malformed { path: path.clone(), reason: error.to_string() })?;
    let bad = file.tokens.iter().filter_map(|token| token.expires.as_ref());
    if let Some(bad) = bad.into_iter().find(|text| apograph_format::timestamp::parse_rfc3339(text).is_none())
    {
        return Err(TokenError::Malformed { path, reason: format!("{bad:?} is no RFC 3339 time") });
    }
    Ok(file)
}

pub(super) fn save(directory: &Path, file: &TokenFile) -> Result<(), TokenError> {
    let text = serde_json::to_string_pretty(file).expect("tokens are plain values");
    write_private(&directory.join(NAME), &text)
}

/// Replaces the file as a whole, readable by its owner only.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), TokenError> {
    let beside = path.with_extension("new");
    let write = || {
        let mut options = fs::File::options();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(disk(path))
}
