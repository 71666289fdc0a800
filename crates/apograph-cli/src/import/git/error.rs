//! What can go wrong between a repository and a planned transaction.

use std::io;
use std::path::PathBuf;

use super::fast_export::ParseError;
use super::oid::Oid;

/// A failure to read from git.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// The git program could not be started.
    #[error("git could not be started; is it installed and on the PATH?")]
    Spawn(#[source] io::Error),
    /// The path is no folder, or the folder is no repository.
    #[error("{} is not a git repository: {reason}", path.display())]
    NotARepository {
        /// As given.
        path: PathBuf,
        /// What git or the file system said.
        reason: String,
    },
    /// The history was cut off by `git clone --depth`: its first commit is not in it.
    #[error("{} is a shallow clone; complete it first with `git fetch --unshallow`", path.display())]
    Shallow {
        /// The repository.
        path: PathBuf,
    },
    /// The branch does not exist, or has no commit yet.
    #[error("the repository has no commits on {branch}; {}", listed(branches))]
    NoSuchBranch {
        /// As given, or where the repository's head points.
        branch: String,
        /// Branches that there are, the first ten.
        branches: Vec<String>,
    },
    /// A git process ended with a failure.
    #[error("`git {command}` failed ({status}): {stderr}")]
    Failed {
        /// Subcommand.
        command: &'static str,
        /// Exit status in words.
        status: String,
        /// The last part of its standard error.
        stderr: String,
    },
    /// A git process answered what this program does not understand.
    #[error("`git {command}` answered {found:?}")]
    Unexpected {
        /// Subcommand.
        command: &'static str,
        /// Its answer, shortened.
        found: String,
    },
    /// The repository lacks an object that its history names.
    #[error("object {oid} is missing in the repository")]
    MissingObject {
        /// Which.
        oid: Oid,
    },
    /// An object is not of the type that its use asks for.
    #[error("object {oid} is a {found}, not a {expected}")]
    WrongType {
        /// Which.
        oid: Oid,
        /// By its use.
        expected: &'static str,
        /// By git.
        found: String,
    },
    /// An object is larger than the limit.
    #[error("object {oid} has {bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// Which.
        oid: Oid,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A tree object that cannot be read, or does not hold what the history says.
    #[error("the tree of commit {commit} does not hold {path}")]
    BrokenTree {
        /// Which commit.
        commit: Oid,
        /// The path asked for.
        path: String,
    },
    /// Reading from or writing to a git process failed.
    #[error("talking to `git {command}` failed")]
    Io {
        /// Subcommand.
        command: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A failure of the import of a history.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The export stream is not what git writes.
    #[error("the export of the repository cannot be read")]
    Stream(#[from] ParseError),
    /// The export stream says something that this program did not ask for.
    #[error("commit {commit}: the export holds {found}, which the import does not support")]
    Unsupported {
        /// In which commit.
        commit: Oid,
        /// What.
        found: String,
    },
    /// A commit without a mark or without its object name.
    #[error("the export holds a commit without {missing}")]
    Nameless {
        /// `mark` or `original-oid`.
        missing: &'static str,
    },
    /// The export ended before the end of the main line, or holds commits that it does not reach.
    #[error(
        "the export ended with {held} commits that the main line does not reach; expected last: {expected:?}"
    )]
    Incomplete {
        /// Commits left over.
        held: usize,
        /// The main-line commit that did not come, if any.
        expected: Option<Oid>,
    },
    /// The commit to resume after is not in the history any more.
    #[error(
        "commit {commit}, the last one imported, is not in the history of {branch}: the history was rewritten"
    )]
    HistoryRewritten {
        /// The commit.
        commit: Oid,
        /// The main line.
        branch: String,
    },
}

fn listed(branches: &[String]) -> String {
    match branches {
        [] => "it has no branches yet".to_owned(),
        branches => format!("its branches: {}", branches.join(", ")),
    }
}
