//! An import in progress.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::ChildStdout;

use super::changes;
use super::error::{GitError, ImportError};
use super::fast_export::{Commit, Item, Parser};
use super::limits::{BLOB_BYTES_MAX, LINE_BYTES_MAX};
use super::objects::Objects;
use super::oid::Oid;
use super::order::Order;
use super::plan::{PlannedTransaction, Planner};
use super::process::GitProcess;
use super::repository::{MainLine, Repository};

/// The transactions of a main line that are still to come, and the contents that they name.
///
/// Memory: the documents that exist, the commits of side branches not yet merged, and one content.
#[derive(Debug)]
pub(crate) struct Import {
    export: Export,
    main_line: FirstParents,
    objects: Objects,
    order: Order,
    ready: VecDeque<Commit>,
    planner: Planner,
    sequence: u64,
    blob_bytes_max: u64,
    ended: bool,
}

impl Import {
    /// Starts reading `main_line`, from its beginning or after `resume_after`, a commit of an earlier import.
    ///
    /// Resuming reads the history from its beginning and plans it again without contents, so that it needs
    /// nothing but the repository and that commit. The time it takes is that of `git fast-export --no-data`.
    pub(crate) fn start(
        repository: &Repository,
        main_line: &MainLine,
        resume_after: Option<&Oid>,
    ) -> Result<Import, ImportError> {
        let mut import = Import {
            export: Export::start(repository, &main_line.head)?,
            main_line: FirstParents::start(repository, &main_line.head)?,
            objects: Objects::start(repository)?,
            order: Order::default(),
            ready: VecDeque::new(),
            planner: Planner::default(),
            sequence: 0,
            blob_bytes_max: BLOB_BYTES_MAX,
            ended: false,
        };
        if let Some(last) = resume_after {
            loop {
                match import.next()? {
                    Some(transaction) if transaction.commit == *last => break,
                    Some(_) => {}
                    None => {
                        let branch = main_line.branch.clone();
                        return Err(ImportError::HistoryRewritten { commit: last.clone(), branch });
                    }
                }
            }
        }
        Ok(import)
    }

    /// Reads contents up to `bytes_max` instead of [`BLOB_BYTES_MAX`].
    pub(crate) fn with_blob_bytes_max(mut self, bytes_max: u64) -> Import {
        self.blob_bytes_max = bytes_max;
        self
    }

    /// Transactions passed so far, those of earlier imports included. Directly after a resuming
    /// [`Import::start`] it must be the number of transactions that the target has: if it is another one, the
    /// main line was changed to reach the same commit on another way.
    pub(crate) fn passed(&self) -> u64 {
        self.sequence
    }

    /// The next transaction; `None` when the main line's head was the last one, and git confirmed it.
    /// After an error the import is of no further use.
    pub(crate) fn next(&mut self) -> Result<Option<PlannedTransaction>, ImportError> {
        while self.ready.is_empty() && !self.ended {
            self.read_on()?;
        }
        let Some(commit) = self.ready.pop_front() else { return Ok(None) };
        // A main-line commit is the last one of those that it released.
        let on_main_line = self.ready.is_empty();
        self.plan(commit, on_main_line).map(Some)
    }

    /// The bytes of a content. One above the limit is an error, after which the import can go on.
    pub(crate) fn blob(&mut self, oid: &Oid) -> Result<Vec<u8>, ImportError> {
        Ok(self.objects.blob(oid, self.blob_bytes_max)?)
    }

    /// The size of a content in bytes.
    #[cfg(test)]
    pub(crate) fn blob_size(&mut self, oid: &Oid) -> Result<u64, ImportError> {
        Ok(self.objects.blob_size(oid)?)
    }

    /// Reads one commit, or the end of the export.
    fn read_on(&mut self) -> Result<(), ImportError> {
        let Some(commit) = self.export.commit()? else {
            let expected = self.main_line.take()?;
            let held = self.order.held();
            if held > 0 || expected.is_some() {
                return Err(ImportError::Incomplete { held, expected });
            }
            self.ended = true;
            return Ok(());
        };
        let on_main_line = commit.oid.as_ref() == self.main_line.upcoming()?;
        if on_main_line {
            self.main_line.take()?;
            self.order.release(commit, &mut self.ready);
        } else {
            let mark = commit.mark.ok_or(ImportError::Nameless { missing: "mark" })?;
            self.order.hold(mark, commit);
        }
        Ok(())
    }

    fn plan(&mut self, mut commit: Commit, on_main_line: bool) -> Result<PlannedTransaction, ImportError> {
        let oid = commit.oid.take().ok_or(ImportError::Nameless { missing: "original-oid" })?;
        let author = std::mem::take(&mut commit.author);
        let comment = std::mem::take(&mut commit.message);
        let changes = changes::net(&oid, commit, |commit, path| self.objects.entry(commit, path))?;
        let plan = self.planner.plan(&oid, on_main_line, &changes);
        self.sequence += 1;
        Ok(PlannedTransaction {
            commit: oid,
            sequence: self.sequence,
            author: author.name,
            // A time that microseconds cannot hold is as good as none.
            time_us: author.time_seconds.checked_mul(1_000_000).unwrap_or(0),
            comment,
            on_main_line,
            operations: plan.operations,
            skipped: plan.skipped,
        })
    }
}

/// `git fast-export`, and the parser of what it writes.
#[derive(Debug)]
struct Export {
    parser: Parser<ExportSource>,
}

impl Export {
    fn start(repository: &Repository, head: &Oid) -> Result<Export, GitError> {
        let source = ExportSource(repository.export(head)?);
        // With `--no-data` there are no contents in the stream.
        Ok(Export { parser: Parser::new(source, 0) })
    }

    /// The next commit; `None` if git ended well after its last one.
    fn commit(&mut self) -> Result<Option<Commit>, ImportError> {
        loop {
            match self.parser.next() {
                Ok(Some(Item::Commit(commit))) => return Ok(Some(*commit)),
                Ok(Some(Item::Blob(_))) => {}
                Ok(None) => {
                    self.parser.source().0.finish()?;
                    return Ok(None);
                }
                Err(error) => return Err(self.parser.source().0.explain(error.into())),
            }
        }
    }
}

/// Lets the parser own the process whose output it reads.
#[derive(Debug)]
struct ExportSource(GitProcess);

impl std::io::Read for ExportSource {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stdout().read(buffer)
    }
}

impl BufRead for ExportSource {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.stdout().fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.stdout().consume(bytes);
    }
}

impl ExportSource {
    fn stdout(&mut self) -> &mut BufReader<ChildStdout> {
        self.0.stdout()
    }
}

/// The commits of the main line, oldest first, one ahead.
#[derive(Debug)]
struct FirstParents {
    process: GitProcess,
    upcoming: Option<Oid>,
}

impl FirstParents {
    fn start(repository: &Repository, head: &Oid) -> Result<FirstParents, GitError> {
        Ok(FirstParents { process: repository.first_parents(head)?, upcoming: None })
    }

    fn upcoming(&mut self) -> Result<Option<&Oid>, GitError> {
        if self.upcoming.is_none() {
            self.upcoming = self.read()?;
        }
        Ok(self.upcoming.as_ref())
    }

    fn take(&mut self) -> Result<Option<Oid>, GitError> {
        self.upcoming()?;
        Ok(self.upcoming.take())
    }

    fn read(&mut self) -> Result<Option<Oid>, GitError> {
        let command = self.process.command();
        let mut line = String::new();
        let source = std::io::Read::take(self.process.stdout(), LINE_BYTES_MAX).read_line(&mut line);
        match source.map_err(|source| GitError::Io { command, source })? {
            0 => self.process.finish().map(|()| None),
            _ => match Oid::parse(line.trim_end()) {
                Some(oid) => Ok(Some(oid)),
                None => Err(self.process.explain(GitError::Unexpected { command, found: line })),
            },
        }
    }
}
