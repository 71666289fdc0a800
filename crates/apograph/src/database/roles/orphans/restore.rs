//! The primary takes an orphan back, from whoever kept it: its entries as they are stored, perhaps with others that
//! brought contents which it names.
//!
//! What was brought back is remembered in the same transaction, as a cursor: so it comes back once, whatever crashes and
//! whoever asks again, and a failover that cuts off the one cuts off the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read, Seek, SeekFrom, Write};

use apograph_format::{Entry, Facts, Hash, PartitionId, Token, TransactionFacts, Uri, Version};

use super::super::super::plan::newest_cursor_at;
use super::super::Database;
use super::RESTORED;
use super::kept::OrphanLabel;
use crate::error::{CommitError, ReadError, TransactionRefusal};
use crate::spool::{SpoolError, SpoolFile};
use crate::transaction::{
    Action, ContentBytes, CursorMove, Operation, Precondition, Recover, RecoveredChange, Recovery,
    Transaction,
};

/// An orphan on its way back. Dropping it forgets what came.
pub struct OrphanIntake {
    database: Database,
    label: OrphanLabel,
    /// Its own parts.
    parts: BTreeMap<PartitionId, (Hash, TransactionFacts)>,
    participants: BTreeSet<PartitionId>,
    /// How contents are cut, from all entries.
    contents: BTreeMap<Hash, apograph_format::ContentFact>,
    scratch: SpoolFile,
    scratch_bytes: u64,
    /// Payloads in the scratch file.
    payloads: HashMap<Hash, (u64, usize)>,
}

/// What became of an orphan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredOrphan {
    /// The transaction that brought it back.
    pub token: Token,
    /// It was brought back before.
    pub already: bool,
    /// What became of each change, in order; empty if that was before.
    pub changes: Vec<(Uri, apograph_format::Operation, Recovery)>,
}

/// Why an orphan is not taken back. Nothing of it was done.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Nothing cut it off.
    #[error("{token} is a transaction of this history: nothing cut it off")]
    NotCut {
        /// Its token.
        token: Token,
    },
    /// Bytes that are no orphan.
    #[error("what came is no orphan: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// Not all of its parts came.
    #[error("{token} was written to {expected} partitions, and {found} of them came")]
    Partial {
        /// Its token.
        token: Token,
        /// Partitions that it was written to.
        expected: usize,
        /// Partitions that came.
        found: usize,
    },
    /// The disk.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The state could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It was refused.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Database {
    /// Begins to take an orphan back; on a primary only.
    pub fn orphan_intake(&self, label: OrphanLabel) -> Result<OrphanIntake, RestoreError> {
        self.check_writable()?;
        let token = label.token;
        if !self.shared.file().is_cut(token.epoch, token.timestamp) {
            return Err(RestoreError::NotCut { token });
        }
        let scratch = SpoolFile::create(&self.shared.spool, "orphan").map_err(SpoolError::from)?;
        Ok(OrphanIntake {
            database: self.clone(),
            label,
            parts: BTreeMap::new(),
            participants: BTreeSet::new(),
            contents: BTreeMap::new(),
            scratch,
            scratch_bytes: 0,
            payloads: HashMap::new(),
        })
    }

    /// Was it brought back? By which transaction?
    fn brought_back(&self, mark: &str) -> Result<Option<Token>, ReadError> {
        let found = newest_cursor_at(&self.shared.stores, mark, self.visible())?;
        let Some((timestamp, _)) = found else { return Ok(None) };
        Ok(Some(Token { epoch: self.shared.file().epoch_at(timestamp), timestamp }))
    }
}

impl OrphanIntake {
    /// Takes an entry in. Its bytes were checked when it was read; payloads go to the disk. Blocks.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), RestoreError> {
        let invalid = |reason: String| RestoreError::Invalid { reason };
        let facts = entry.facts().map_err(|error| invalid(error.to_string()))?;
        entry.verify_payloads(&facts).map_err(|error| invalid(error.to_string()))?;
        for payload in entry.payloads() {
            let payload = payload.map_err(|error| invalid(error.to_string()))?;
            if payload.erased || self.payloads.contains_key(&payload.hash) {
                continue;
            }
            self.scratch.file().write_all(&payload.bytes).map_err(SpoolError::from)?;
            self.payloads.insert(payload.hash, (self.scratch_bytes, payload.bytes.len()));
            self.scratch_bytes += payload.bytes.len() as u64;
        }
        if let Facts::Transaction(facts) = facts {
            let header = entry.header();
            self.contents.extend(facts.contents.iter().map(|content| (content.hash, content.clone())));
            let token = Token { epoch: header.epoch, timestamp: header.timestamp };
            if token == self.label.token {
                self.participants.extend(header.participants.iter());
                self.parts.insert(header.partition, (header.hash, facts));
            }
        }
        Ok(())
    }

    /// Everything came: brings it back, unless that was done before. Blocks; durable and visible on return.
    pub fn finish(mut self, author: &str) -> Result<RestoredOrphan, RestoreError> {
        let token = self.label.token;
        let Some((_, (hash, facts))) = self.parts.first_key_value() else {
            return Err(RestoreError::Invalid { reason: "no transaction of that token came".to_owned() });
        };
        if self.participants.iter().any(|of| !self.parts.contains_key(of)) {
            let (expected, found) = (self.participants.len(), self.parts.len());
            return Err(RestoreError::Partial { token, expected, found });
        }
        let mark = format!("{RESTORED}{token}:{}", hash.to_string().get(..16).unwrap_or_default());
        let comment = comment(&self.label, &facts.author, &facts.comment);
        let already = |token| RestoredOrphan { token, already: true, changes: Vec::new() };
        if let Some(token) = self.database.brought_back(&mark)? {
            return Ok(already(token));
        }
        let recover = self.recover()?;
        let changes: Vec<_> =
            recover.changes.iter().map(|of| (of.change.uri.clone(), of.change.operation)).collect();
        let operations = recover.changes.first().map(|of| of.change.uri.clone());
        let operations = operations.map(|uri| Operation {
            uri,
            precondition: Precondition::None,
            action: Action::Recover(recover),
        });
        let transaction = Transaction {
            author: author.to_owned(),
            comment,
            operations: operations.into_iter().collect(),
            cursor: Some(CursorMove {
                name: mark.clone(),
                previous: None,
                position: format!("restored by {author}"),
            }),
            privileged: true,
            ..Transaction::default()
        };
        match self.database.commit(transaction) {
            Ok(committed) => {
                let results = committed.results.iter().filter_map(|result| result.recovery);
                let changes = changes.into_iter().zip(results);
                let changes = changes.map(|((uri, operation), recovery)| (uri, operation, recovery));
                Ok(RestoredOrphan { token: committed.token, already: false, changes: changes.collect() })
            }
            // Somebody else brought it back at the same time.
            Err(CommitError::Transaction(TransactionRefusal::Cursor { name, found })) => {
                let again = self.database.brought_back(&mark)?;
                let refused = || CommitError::from(TransactionRefusal::Cursor { name, found });
                again.map(already).ok_or_else(|| refused().into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn recover(&mut self) -> Result<Recover, RestoreError> {
        let mut changes = Vec::new();
        let mut before = self.label.before.clone();
        let mut named = BTreeSet::new();
        for (_, facts) in std::mem::take(&mut self.parts).into_values() {
            for change in facts.changes {
                let versions = change.versions.iter();
                let versions: Vec<Option<Version>> =
                    versions.map(|version| self.version(&version.id)).collect::<Result<_, _>>()?;
                let contents = versions.iter().flatten().filter_map(|version| version.content.as_ref());
                named.extend(contents.map(|content| content.hash));
                // The second change of a document in one transaction is planned behind the first.
                let before = before.remove(&change.uri);
                changes.push(RecoveredChange { change, before, versions });
            }
        }
        let mut contents = BTreeMap::new();
        for hash in named {
            if let Some(bytes) = self.content(&hash)? {
                contents.insert(hash, bytes);
            }
        }
        Ok(Recover { base: self.label.base, from: self.label.from.clone(), changes, contents })
    }

    fn version(&mut self, id: &Hash) -> Result<Option<Version>, RestoreError> {
        let Some(bytes) = self.payload(id)? else { return Ok(None) };
        let version = Version::decode(&bytes);
        version.map(Some).map_err(|error| RestoreError::Invalid { reason: error.to_string() })
    }

    fn payload(&mut self, hash: &Hash) -> Result<Option<Vec<u8>>, RestoreError> {
        let Some((offset, length)) = self.payloads.get(hash).copied() else { return Ok(None) };
        let mut bytes = vec![0; length];
        let file = self.scratch.file();
        file.seek(SeekFrom::Start(offset)).map_err(SpoolError::from)?;
        file.read_exact(&mut bytes).map_err(SpoolError::from)?;
        Ok(Some(bytes))
    }

    /// A content, cut and hashed anew.
    fn content(&mut self, hash: &Hash) -> Result<Option<ContentBytes>, RestoreError> {
        let Some(fact) = self.contents.get(hash).cloned() else { return Ok(None) };
        let mut spool = self.database.spool();
        for chunk in &fact.chunks {
            let Some(bytes) = self.payload(chunk)? else { return Ok(None) };
            spool.write(&bytes)?;
        }
        Ok(Some(spool.finish()?))
    }
}

fn comment(label: &OrphanLabel, author: &str, comment: &str) -> String {
    let mut text = format!("brings back {} of {}, kept by {}: {comment}", label.token, author, label.from);
    text.truncate(text.floor_char_boundary(apograph_format::limits::COMMENT_BYTES_MAX));
    text
}
