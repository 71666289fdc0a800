//! Recognises tokens.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use apograph_format::Hash;
use apograph_format::timestamp::parse_rfc3339;

use super::TokenRole;
use super::file::{self, NAME, TokenError, TokenFile};
use crate::clock;
use crate::limits::TOKENS_LOOK_INTERVAL;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Name of the token.
    pub name: String,
    /// What it may do.
    pub role: TokenRole,
    hash: Hash,
}

/// The tokens of a data folder, read again when their file changes.
#[derive(Debug)]
pub struct Tokens {
    directory: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    file: TokenFile,
    stamp: Option<(SystemTime, u64)>,
    looked: Instant,
}

impl Tokens {
    /// Reads the tokens of a data folder.
    pub fn load(directory: &Path) -> Result<Tokens, TokenError> {
        let stamp = stamp(directory);
        let known = Known { file: file::load(directory)?, stamp, looked: Instant::now() };
        Ok(Tokens { directory: directory.to_owned(), known: Mutex::new(known) })
    }

    /// Whose token this is, if anybody's. Takes as long for a token that is nearly right as for any other: what is
    /// compared are hashes, in constant time.
    pub fn recognise(&self, text: &str) -> Option<Principal> {
        self.find(Hash::of(text.as_bytes()))
    }

    /// Is the token still good? For streams that outlive it.
    pub fn still_good(&self, principal: &Principal) -> bool {
        self.find(principal.hash).is_some_and(|found| found.role == principal.role)
    }

    fn find(&self, hash: Hash) -> Option<Principal> {
        let wanted = blake3::Hash::from_bytes(hash.0);
        let now = clock::now_us();
        let known = self.current();
        let mut found = None;
        for token in &known.file.tokens {
            // Equality of `blake3::Hash` takes constant time; no early end either.
            let same = blake3::Hash::from_bytes(token.hash.0) == wanted;
            let expires = token.expires.as_deref().and_then(parse_rfc3339);
            if same && expires.is_none_or(|expires| now < expires) {
                found = Some(Principal { name: token.name.clone(), role: token.role, hash });
            }
        }
        found
    }

    fn current(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() < TOKENS_LOOK_INTERVAL {
            return known;
        }
        known.looked = Instant::now();
        let stamp = stamp(&self.directory);
        if stamp != known.stamp {
            match file::load(&self.directory) {
                Ok(file) => (known.file, known.stamp) = (file, stamp),
                Err(error) => tracing::warn!(%error, "the tokens stay what they were"),
            }
        }
        known
    }
}

fn stamp(directory: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(directory.join(NAME)).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
