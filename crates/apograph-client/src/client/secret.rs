//! The bearer token: never shown, never logged.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A bearer token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why a token is not used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("the token file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read the file.
    #[error("the token file {} can be read by others (mode {mode:03o}); make it private with `chmod 600`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Empty, too long, or not printable ASCII without spaces.
    #[error(
        "{what} holds no token: it is one line of printable characters, at most {SECRET_BYTES_MAX} bytes"
    )]
    Malformed {
        /// What was read.
        what: String,
    },
}

/// Longest token: what fits into a header of every proxy.
const SECRET_BYTES_MAX: usize = 1024;

impl Secret {
    /// Checks `text`, without the white space around it.
    pub fn new(text: &str) -> Result<Secret, SecretError> {
        Secret::parse(text, || "the text given".to_owned())
    }

    /// Reads a file that only its owner can read.
    pub fn from_file(path: &Path) -> Result<Secret, SecretError> {
        let failed = |source| SecretError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(SecretError::Open { path: path.to_owned(), mode });
            }
        }
        let mut text = String::new();
        file.take(SECRET_BYTES_MAX as u64 + 2).read_to_string(&mut text).map_err(failed)?;
        Secret::parse(&text, || format!("the file {}", path.display()))
    }

    /// The text, for a header.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    fn parse(text: &str, what: impl Fn() -> String) -> Result<Secret, SecretError> {
        let text = text.trim();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > SECRET_BYTES_MAX || !printable {
            return Err(SecretError::Malformed { what: what() });
        }
        Ok(Secret(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_private_printable_line() {
        assert_eq!(Secret::new(" abc\n").unwrap().expose(), "abc");
        assert_eq!(format!("{:?}", Secret::new("abc").unwrap()), "Secret(…)");
        for bad in ["", " ", "a b", "a\nb", "ä", &"x".repeat(2000)] {
            assert!(Secret::new(bad).is_err(), "{bad:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        std::fs::write(&path, "abc\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(matches!(Secret::from_file(&path), Err(SecretError::Open { mode: 0o644, .. })));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert!(Secret::from_file(&path).is_ok());
    }
}
