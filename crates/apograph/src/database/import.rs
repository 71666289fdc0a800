//! An export, loaded into an empty primary. Nothing is guessed: versions come as they were, heads as they stood.
//!
//! Documents go into transactions of a few megabytes; each moves a cursor to the place behind what it brings. So an
//! import that was interrupted goes on at the cursor, and nothing comes twice. While one transaction is made durable the
//! next one is read: memory holds two, whatever the export holds.

use apograph_format::limits::CHUNK_BYTES_MAX;
use apograph_format::{Head, Kind, Timestamp, Token, Uri, VersionRef};

use super::reads::Merged;
use super::{Database, PendingCommit};
use crate::error::{CommitError, ImportError, TransactionRefusal};
use crate::import::{ImportPosition, Item, LineError, LineFault, OpenDocument, Reader};
use crate::transaction::{Action, CursorMove, Load, LoadedVersion, Operation, Precondition, Transaction};

/// Versions of one transaction, unless asked otherwise.
const VERSIONS_DEFAULT: usize = 512;
/// Bytes of contents and version bodies of one transaction.
const BATCH_BYTES: usize = 4 * CHUNK_BYTES_MAX;
/// Documents that are listed because they were left out or purged meanwhile; more are counted.
const LISTED_MAX: usize = 1_000;

/// What to load, and in whose name.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// Author of the transactions. Authors of versions are what they were.
    pub author: String,
    /// The cursor that remembers where the import stands: one for each export.
    pub cursor: String,
    /// Where the lines go on that will come; none for the first one. It must be where the cursor stands.
    pub from: Option<ImportPosition>,
    /// Versions of one transaction; a transaction is also closed after some megabytes.
    pub versions_max: usize,
}

impl ImportRequest {
    /// An import from the first line on.
    pub fn new(author: impl Into<String>, cursor: impl Into<String>) -> ImportRequest {
        let (author, cursor) = (author.into(), cursor.into());
        ImportRequest { author, cursor, from: None, versions_max: VERSIONS_DEFAULT }
    }
}

/// An import on its way. Dropping it forgets the lines that are not in a transaction yet.
pub struct Import {
    database: Database,
    author: String,
    cursor: String,
    /// Where the cursor stands, or will when the pending transaction is durable.
    written: Option<String>,
    reader: Reader,
    versions_max: usize,
    batch: Batch,
    /// The document whose versions come.
    loading: Option<Loading>,
    pending: Option<Pending>,
    done: ImportProgress,
    loaded: Imported,
}

/// How far an import is: all of it durable and to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// The place in the export.
    pub position: ImportPosition,
    /// Token of the last transaction; none before the first one.
    pub token: Option<Token>,
}

/// What an import brought, since it was begun or gone on with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Transactions.
    pub transactions: u64,
    /// Documents that are whole by now, purged ones included.
    pub documents: u64,
    /// Versions.
    pub versions: u64,
    /// Bytes of their contents.
    pub content_bytes: u64,
    /// Documents that were left out, the first thousand.
    pub left_out: Vec<Uri>,
    /// How many were left out.
    pub left_out_total: u64,
    /// Documents that were purged while the export was made, and came as purged; the first thousand.
    pub purged_meanwhile: Vec<Uri>,
    /// How many.
    pub purged_meanwhile_total: u64,
    /// Documents of which the export lacks older versions, as the copy did that it is of; the first thousand.
    pub cut: Vec<Uri>,
    /// How many.
    pub cut_total: u64,
}

#[derive(Default)]
struct Batch {
    operations: Vec<Operation>,
    items: usize,
    bytes: usize,
}

/// Versions of a document that are not in a batch yet.
struct Loading {
    uri: Uri,
    kind: Kind,
    after: Option<VersionRef>,
    versions: Vec<LoadedVersion>,
}

struct Pending {
    commit: PendingCommit,
    position: ImportPosition,
}

impl Database {
    /// Begins to load an export, or goes on with it. A new one needs a database in which nothing ever was but the
    /// documents of its own servers.
    pub fn import(&self, request: ImportRequest) -> Result<Import, ImportError> {
        self.check_writable()?;
        let ImportRequest { author, cursor, from, versions_max } = request;
        let found = self.cursor(&cursor)?;
        let written = from.map(|from| from.to_string());
        if found != written {
            return Err(CommitError::from(TransactionRefusal::Cursor { name: cursor, found }).into());
        }
        if from.is_some_and(|from| from.open == OpenDocument::End) {
            return Err(ImportError::Loaded);
        }
        if found.is_none() {
            self.check_empty()?;
        }
        let position = from.unwrap_or_default();
        Ok(Import {
            database: self.clone(),
            author,
            cursor,
            written,
            reader: Reader::loading(self, from),
            versions_max,
            batch: Batch::default(),
            loading: None,
            pending: None,
            done: ImportProgress { position, token: None },
            loaded: Imported::default(),
        })
    }

    fn check_empty(&self) -> Result<(), ImportError> {
        for document in Merged::new(&self.shared.stores, "", None, self.visible()) {
            let (uri, _) = document.map_err(crate::error::ReadError::from)?;
            if !uri.is_server() {
                return Err(ImportError::NotEmpty { uri });
            }
        }
        Ok(())
    }
}

impl Import {
    /// Takes the next line, without its end; blocks while transactions are made durable. After an error nothing more can
    /// be loaded; what is durable stays, and the cursor says where to go on.
    pub fn line(&mut self, line: &[u8]) -> Result<(), ImportError> {
        let Some(item) = self.reader.line(line)? else { return Ok(()) };
        match item {
            Item::Version { uri, kind, version, head, content_bytes, is_cut } => {
                if is_cut {
                    list(uri.clone(), &mut self.loaded.cut, &mut self.loaded.cut_total);
                }
                let bytes = line.len().max(usize::try_from(content_bytes).unwrap_or(usize::MAX));
                self.version(uri, kind, *version, head.map(|head| *head), bytes)?;
                self.loaded.content_bytes += content_bytes;
            }
            Item::Purged { uri, head, meanwhile } => self.purged(uri, *head, meanwhile)?,
            Item::LeftOut { uri } => {
                list(uri, &mut self.loaded.left_out, &mut self.loaded.left_out_total);
            }
            Item::End(_) => return self.flush(),
        }
        if self.batch.items >= self.versions_max || self.batch.bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// How far it is by now.
    pub fn progress(&self) -> ImportProgress {
        self.done
    }

    /// No more lines come: answers what was loaded, if that was all.
    pub fn finish(mut self) -> Result<(ImportProgress, Imported), ImportError> {
        self.reader.finish()?;
        self.settle()?;
        Ok((self.done, self.loaded))
    }

    fn version(
        &mut self,
        uri: Uri,
        kind: Kind,
        version: LoadedVersion,
        head: Option<Head>,
        bytes: usize,
    ) -> Result<(), ImportError> {
        let mut loading = match self.loading.take() {
            Some(loading) if loading.uri == uri => loading,
            _ => Loading {
                after: self.came_before(&uri, version.version.number)?,
                uri,
                kind,
                versions: Vec::new(),
            },
        };
        loading.versions.push(version);
        self.batch.items += 1;
        self.batch.bytes = self.batch.bytes.saturating_add(bytes);
        self.loaded.versions += 1;
        match head {
            None => self.loading = Some(loading),
            Some(head) => {
                self.loaded.documents += 1;
                self.batch.operations.push(loading.part(Some(head)));
            }
        }
        Ok(())
    }

    /// The last version of a document that came before this import was gone on with.
    fn came_before(&self, uri: &Uri, number: u64) -> Result<Option<VersionRef>, ImportError> {
        match self.done.position.open {
            OpenDocument::At { version, .. } if self.is_first_item() && version < number => {
                Ok(self.database.head(uri, None)?.and_then(|head| head.working))
            }
            _ => Ok(None),
        }
    }

    fn is_first_item(&self) -> bool {
        self.done.token.is_none() && self.pending.is_none() && self.batch.items == 0
    }

    fn purged(&mut self, uri: Uri, head: Head, meanwhile: bool) -> Result<(), ImportError> {
        if let Some(loading) = self.loading.take_if(|loading| loading.uri == uri) {
            if loading.after.is_some() {
                return Err(self.purged_in_part(uri));
            }
            self.loaded.versions -= loading.versions.len() as u64;
        } else if meanwhile && self.came_before(&uri, u64::MAX)?.is_some() {
            return Err(self.purged_in_part(uri));
        }
        if meanwhile {
            list(uri.clone(), &mut self.loaded.purged_meanwhile, &mut self.loaded.purged_meanwhile_total);
        }
        self.loaded.documents += 1;
        self.batch.items += 1;
        let loading = Loading { uri, kind: head.kind, after: None, versions: Vec::new() };
        self.batch.operations.push(loading.part(Some(head)));
        Ok(())
    }

    fn purged_in_part(&self, uri: Uri) -> ImportError {
        let line = self.reader.position().line;
        LineError { line, fault: LineFault::PurgedMeanwhile { uri } }.into()
    }

    /// Hands what came to the committer, after what was handed over before is durable.
    fn flush(&mut self) -> Result<(), ImportError> {
        let position = self.reader.position();
        let mut batch = std::mem::take(&mut self.batch);
        if let Some(loading) = self.loading.take_if(|loading| !loading.versions.is_empty()) {
            let after = loading.versions.last();
            let after = after.map(|last| VersionRef { number: last.version.number, id: last.id });
            let next = Loading { after, versions: Vec::new(), uri: loading.uri.clone(), kind: loading.kind };
            batch.operations.push(loading.part(None));
            self.loading = Some(next);
        }
        self.settle()?;
        let previous = self.written.replace(position.to_string());
        let cursor = CursorMove { name: self.cursor.clone(), previous, position: position.to_string() };
        let transaction = Transaction {
            author: self.author.clone(),
            comment: "loaded from an export".to_owned(),
            operations: batch.operations,
            cursor: Some(cursor),
            privileged: true,
            ..Transaction::default()
        };
        let commit = self.database.hand_over(transaction)?;
        self.pending = Some(Pending { commit, position });
        Ok(())
    }

    /// Waits for the transaction that was handed over.
    fn settle(&mut self) -> Result<(), ImportError> {
        if let Some(Pending { commit, position }) = self.pending.take() {
            let committed = commit.wait()?;
            self.loaded.transactions += 1;
            self.done = ImportProgress { position, token: Some(committed.token) };
        }
        Ok(())
    }
}

impl ImportProgress {
    /// Commit time of the last transaction.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.token.map(|token| token.timestamp)
    }
}

impl Loading {
    fn part(self, head: Option<Head>) -> Operation {
        let Loading { uri, kind, after, versions } = self;
        let action = Action::Load(Load { kind, after, versions, head });
        Operation { uri, precondition: Precondition::None, action }
    }
}

fn list(uri: Uri, listed: &mut Vec<Uri>, total: &mut u64) {
    *total += 1;
    if listed.len() < LISTED_MAX {
        listed.push(uri);
    }
}
