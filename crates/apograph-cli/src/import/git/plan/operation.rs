//! What a plan consists of.

use super::Oid;

/// One commit as one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedTransaction {
    /// The commit.
    pub(crate) commit: Oid,
    /// Its place in the import, counted from one; the same in every import of this history.
    pub(crate) sequence: u64,
    /// `Name <email>`.
    pub(crate) author: String,
    /// The author's time in microseconds since 1970, UTC. Not necessarily above the one before.
    pub(crate) time_us: i64,
    /// The message, as written.
    pub(crate) comment: String,
    /// Whether it is a commit of the main line, not of a side branch.
    pub(crate) on_main_line: bool,
    /// To be applied in this order. May be empty.
    pub(crate) operations: Vec<PlannedOperation>,
    /// Files of this commit that are left out.
    pub(crate) skipped: Vec<Skipped>,
}

/// One operation on one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlannedOperation {
    /// Save a working version. The document may be new, or in the trash.
    Put {
        /// Where.
        uri: String,
        /// Its content; of a symbolic link, the text of the link.
        blob: Oid,
        /// What kind of file it is.
        mode: Mode,
        /// The document that this one continues, if a rename could not be a [`PlannedOperation::Move`].
        moved_from: Option<String>,
    },
    /// Make the working version live.
    Publish {
        /// Which document.
        uri: String,
    },
    /// Put the document into the trash: neither working nor live.
    Trash {
        /// Which document.
        uri: String,
    },
    /// Continue the document at `to`, where there is none or one in the trash; `uri` goes to the trash. What was
    /// live is live at `to`; a working version beyond it stays one.
    Move {
        /// The document.
        uri: String,
        /// Its new URI.
        to: String,
    },
}

/// A file as a tree holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What kind of file it is.
    pub(crate) mode: Mode,
    /// Its content, or the commit that a gitlink names.
    pub(crate) blob: Oid,
}

/// The kinds of files that git knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// 100644.
    File,
    /// 100755.
    Executable,
    /// 120000.
    Symlink,
    /// 160000, a commit of another repository. Never in an operation.
    Gitlink,
}

impl Mode {
    /// Reads an octal mode. Files of old repositories have other permissions, which git takes as one of two.
    pub(crate) fn parse(octal: &str) -> Option<Mode> {
        let bits = u32::from_str_radix(octal, 8).ok()?;
        match bits & 0o170_000 {
            0o100_000 if bits & 0o100 == 0 => Some(Mode::File),
            0o100_000 => Some(Mode::Executable),
            0o120_000 => Some(Mode::Symlink),
            0o160_000 => Some(Mode::Gitlink),
            _ => None,
        }
    }

    /// The six octal digits of git.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Mode::File => "100644",
            Mode::Executable => "100755",
            Mode::Symlink => "120000",
            Mode::Gitlink => "160000",
        }
    }
}

/// A file that is left out, in the commit that would have brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// The commit.
    pub(crate) commit: Oid,
    /// The file; bytes that are not UTF-8 are replaced by U+FFFD.
    pub(crate) path: String,
    /// Why.
    pub(crate) reason: SkippedReason,
}

/// Why a file is left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SkippedReason {
    /// It is a submodule.
    #[error("a submodule has no content in this repository")]
    Gitlink,
    /// Its URI would be too long.
    #[error("its URI would have {bytes} bytes; the limit is {}", super::super::limits::URI_BYTES_MAX)]
    TooLong {
        /// Bytes that it would have.
        bytes: usize,
    },
    /// The path has an empty segment.
    #[error("its path has an empty segment")]
    EmptySegment,
    /// Another file has the same URI, after normalization.
    #[error("its URI {uri} is that of the file {owner:?}")]
    SameUri {
        /// The URI.
        uri: String,
        /// The file that has it.
        owner: String,
    },
}
