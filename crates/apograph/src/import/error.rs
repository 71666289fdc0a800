//! What is wrong with a line of an export.

use apograph_format::{Hash, Participants, Uri};

use crate::error::LoadRefusal;
use crate::spool::SpoolError;

/// A line that cannot be taken. Nothing of it was.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct LineError {
    /// Which, counted from one.
    pub line: u64,
    /// What is wrong with it.
    pub fault: LineFault,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum LineFault {
    /// No JSON, or not the members that a line has.
    #[error("{reason}")]
    Members {
        /// What and where.
        reason: String,
    },
    /// The file does not begin as an export does.
    #[error("this is no export: it begins with a line that names its format")]
    NoExport,
    /// Of some partitions: what documents were moved from, or what else belongs to them, may not be there.
    #[error("the export is of partitions {partitions} only: make one at a server that holds all of them")]
    Part {
        /// Which.
        partitions: Participants,
    },
    /// Written by a newer version of this software.
    #[error("the export has the format {found}; this software reads {}", crate::database::FORMAT)]
    Newer {
        /// What the first line says.
        found: String,
    },
    /// A line stands where another must.
    #[error("{what} was expected, not this line")]
    Unexpected {
        /// What must stand here.
        what: String,
    },
    /// Documents are not sorted.
    #[error("{found} comes after {after}")]
    Order {
        /// The document before.
        after: Uri,
        /// This one.
        found: Uri,
    },
    /// A document cannot be what its lines say.
    #[error("{uri}: {refusal}")]
    Document {
        /// The document.
        uri: Uri,
        /// Why not.
        refusal: LoadRefusal,
    },
    /// A document ends before its last version.
    #[error("{uri} ends before its version {number}")]
    Unfinished {
        /// The document.
        uri: Uri,
        /// The last one, says its head.
        number: u64,
    },
    /// A version was purged while the export was made, and versions before it are loaded already.
    #[error("{uri} was purged while the export was made: make a new one, and load it into an empty database")]
    PurgedMeanwhile {
        /// The document.
        uri: Uri,
    },
    /// What stands before the last line is not what it counts.
    #[error("the end says {expected} {what}, {found} came")]
    Count {
        /// Documents or versions.
        what: &'static str,
        /// What the last line says.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The bytes before the last line are not those that were written.
    #[error("the end says that all before it has the hash {expected}, it has {found}")]
    Hash {
        /// What the last line says.
        expected: Hash,
        /// What came.
        found: Hash,
    },
    /// The lines end without the last one.
    #[error("the export is cut off here: its end is missing")]
    CutOff,
    /// A content could not be kept until its version is whole.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}
