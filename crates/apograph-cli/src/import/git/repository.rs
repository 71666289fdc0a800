//! A git repository on disk, and its main line.

use std::path::{Path, PathBuf};

use super::error::GitError;
use super::oid::Oid;
use super::process::{self, GitProcess};

/// A repository that git accepts, bare or with a working tree. Nothing is ever written to it.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    path: PathBuf,
}

/// The line of history that is published: a branch's commits, followed over first parents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MainLine {
    /// Name of the branch, or `HEAD` if the repository's head is detached.
    pub(crate) branch: String,
    /// Its newest commit, at the time it was looked up.
    pub(crate) head: Oid,
    /// Its first commit, which identifies the repository as an origin of documents.
    pub(crate) root: Oid,
    /// Commits reachable from the head, side branches included: the number of transactions of a full import.
    pub(crate) commits: u64,
    /// The branch that the repository's head names, if that has no commits: a bundle's head often does.
    pub(crate) instead_of: Option<String>,
}

impl Repository {
    /// Checks that `path` is a repository with a complete history.
    pub(crate) fn open(path: &Path) -> Result<Repository, GitError> {
        let refuse = |reason: String| GitError::NotARepository { path: path.to_owned(), reason };
        let absolute = path.canonicalize().map_err(|error| refuse(error.to_string()))?;
        if !absolute.is_dir() {
            return Err(refuse("it is a file; clone it first with `git clone --bare`".to_owned()));
        }
        let shallow = process::run(&absolute, "rev-parse", &["--is-shallow-repository"]);
        match shallow {
            Ok(answer) if answer == "false" => Ok(Repository { path: absolute }),
            Ok(answer) if answer == "true" => Err(GitError::Shallow { path: path.to_owned() }),
            Ok(found) => Err(GitError::Unexpected { command: "rev-parse", found }),
            Err(GitError::Failed { stderr, .. }) => Err(refuse(stderr)),
            Err(error) => Err(error),
        }
    }

    /// Resolves `branch`, or the repository's head.
    pub(crate) fn main_line(&self, branch: Option<&str>) -> Result<MainLine, GitError> {
        let (branch, head, instead_of) = match branch {
            Some(name) => (name.to_owned(), self.branch_head(name), None),
            None => {
                let arguments = ["--verify", "--quiet", "HEAD^{commit}"];
                let head = process::run(&self.path, "rev-parse", &arguments);
                let (named, branches) = (self.head_branch()?, self.branches()?);
                match (&head, branches.as_slice()) {
                    (Err(GitError::Failed { .. }), [only]) => {
                        (only.clone(), self.branch_head(only), Some(named))
                    }
                    _ => (named, head, None),
                }
            }
        };
        let head = match head {
            Ok(answer) => oid("show-ref", &answer)?,
            Err(GitError::Failed { .. }) => {
                return Err(GitError::NoSuchBranch { branch, branches: self.branches()? });
            }
            Err(error) => return Err(error),
        };
        let roots = ["--first-parent", "--max-parents=0", head.as_str()];
        let root = oid("rev-list", &process::run(&self.path, "rev-list", &roots)?)?;
        let count = process::run(&self.path, "rev-list", &["--count", head.as_str()])?;
        let commits = count.parse().map_err(|_| unexpected("rev-list", &count))?;
        Ok(MainLine { branch, head, root, commits, instead_of })
    }

    /// `show-ref` takes a name as it is; `rev-parse` would read `main^2` as an expression.
    fn branch_head(&self, name: &str) -> Result<String, GitError> {
        let reference = format!("refs/heads/{name}");
        process::run(&self.path, "show-ref", &["--verify", "--hash", "--", &reference])
    }

    /// Streams the commits of the main line, the first one first, one object name a line.
    pub(crate) fn first_parents(&self, head: &Oid) -> Result<GitProcess, GitError> {
        GitProcess::start(&self.path, "rev-list", &["--first-parent", "--reverse", head.as_str()])
    }

    /// Streams everything reachable from `head`, parents first, without contents.
    ///
    /// Contents come from [`Repository::objects`] instead: one way to fetch them for a commit's first and later
    /// mentions alike, and only for those that the plan needs. The head is named by object, not by branch, so
    /// that a push during the import changes nothing.
    pub(crate) fn export(&self, head: &Oid) -> Result<GitProcess, GitError> {
        let arguments = [
            "--no-data",
            "--show-original-ids",
            "--use-done-feature",
            "--signed-tags=strip",
            "--reencode=yes",
            "--topo-order",
            "-M",
            head.as_str(),
        ];
        GitProcess::start(&self.path, "fast-export", &arguments)
    }

    /// Starts the process that answers for single objects.
    pub(crate) fn objects(&self) -> Result<GitProcess, GitError> {
        GitProcess::start(&self.path, "cat-file", &["--batch-command"])
    }

    fn branches(&self) -> Result<Vec<String>, GitError> {
        let arguments = ["--count=10", "--format=%(refname:short)", "refs/heads"];
        let names = process::run(&self.path, "for-each-ref", &arguments)?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    fn head_branch(&self) -> Result<String, GitError> {
        match process::run(&self.path, "symbolic-ref", &["--quiet", "--short", "HEAD"]) {
            Ok(name) => Ok(name),
            Err(GitError::Failed { .. }) => Ok("HEAD".to_owned()),
            Err(error) => Err(error),
        }
    }
}

fn oid(command: &'static str, answer: &str) -> Result<Oid, GitError> {
    Oid::parse(answer).ok_or_else(|| unexpected(command, answer))
}

fn unexpected(command: &'static str, answer: &str) -> GitError {
    GitError::Unexpected { command, found: answer.chars().take(200).collect() }
}
