//! What can go wrong in an engine.

use std::{io, path::PathBuf};

use super::{Space, VERSION_MAX};

/// `VersionOrder`, `VersionRange` and `Key` are mistakes of the caller and change nothing. After `Io` from a writing
/// operation the state of the disk is unknown. `Damaged` means that stored bytes are not what was written.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The operating system refused.
    #[error("{}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// Stored bytes fail their checks or are missing.
    #[error("damaged store in {}: {detail}", path.display())]
    Damaged {
        /// The folder, or the file where it is known.
        path: PathBuf,
        /// Which check failed.
        detail: String,
    },
    /// Another process or another handle has this store open.
    #[error("the store in {} is in use", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder was written by another version of this program.
    #[error("the store in {} has format {found}, this program reads {supported}", path.display())]
    Format {
        /// The folder.
        path: PathBuf,
        /// What its header says.
        found: String,
        /// What this program reads and writes.
        supported: u32,
    },
    /// A write below the last version.
    #[error("version {at} comes after version {last} was written")]
    VersionOrder {
        /// The version asked for.
        at: u64,
        /// The last version written.
        last: u64,
    },
    /// A version that cannot be stored.
    #[error("version {at} is above the highest one, {}", VERSION_MAX)]
    VersionRange {
        /// The version asked for.
        at: u64,
    },
    /// A key that cannot be stored: empty, too long, or reserved.
    #[error("a key of {bytes} bytes in {space:?} is empty, too long or reserved")]
    Key {
        /// Where.
        space: Space,
        /// Length of the key.
        bytes: usize,
    },
}
