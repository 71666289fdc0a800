//! Makes tokens.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use apograph_format::Hash;

use super::TokenRole;
use super::file::{self, NAME, TokenError, TokenFile, TokenRecord};

/// Where the plain token of a role lies after [`create`].
pub fn token_path(directory: &Path, role: TokenRole) -> PathBuf {
    directory.join("tokens").join(format!("{}.token", role.file_stem()))
}

/// Makes one token of every role in a data folder that has none yet. Plain tokens first, their hashes last: a stop
/// in between leaves tokens that nobody accepts, and the next call makes new ones.
pub fn create(directory: &Path) -> Result<(), TokenError> {
    if directory.join(NAME).exists() {
        return Ok(());
    }
    let folder = directory.join("tokens");
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(file::disk(&folder)(error));
        }
        _ => {}
    }
    let mut tokens = Vec::new();
    for role in TokenRole::ALL {
        let (text, record) = draw(role, role.file_stem(), None)?;
        file::write_private(&token_path(directory, role), &text)?;
        tokens.push(record);
    }
    file::save(directory, &TokenFile { tokens })
}

/// Makes one more token and returns its text, which is kept nowhere. A running server takes it within a second.
pub fn add(
    directory: &Path,
    role: TokenRole,
    name: &str,
    expires: Option<&str>,
) -> Result<String, TokenError> {
    let mut file = file::load(directory)?;
    let (text, record) = draw(role, name, expires)?;
    file.tokens.push(record);
    file::save(directory, &file)?;
    Ok(text)
}

/// Keeps the text of a token, readable by its owner only.
pub(crate) fn keep(path: &Path, text: &str) -> Result<(), TokenError> {
    file::write_private(path, text)
}

fn draw(role: TokenRole, name: &str, expires: Option<&str>) -> Result<(String, TokenRecord), TokenError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| TokenError::Malformed {
        path: "the system's random numbers".into(),
        reason: error.to_string(),
    })?;
    let text = format!("apo_{}_{}", role.letter(), hex::encode(secret));
    let record = TokenRecord {
        name: name.to_owned(),
        role,
        hash: Hash::of(text.as_bytes()),
        created: apograph_format::timestamp::rfc3339(crate::clock::now_us()),
        expires: expires.map(str::to_owned),
    };
    Ok((text, record))
}
