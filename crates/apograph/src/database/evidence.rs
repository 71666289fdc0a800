//! What this server knows of one document, from its store and its journal. Nothing is decided here.

use apograph_format::{
    Change, Entry, EntryKind, Facts, Head, Timestamp, TransactionFacts, Uri, VersionRef, View,
};
use apograph_journal::JournalReader;
use apograph_replication::published::shows;

use super::Database;
use crate::error::{Cause, ReadError};
use crate::evidence::{Evidence, Inquiry, Recorded, Search, VersionBytes};
use crate::read::Which;

/// Where a search looks, and for what.
struct Hunt<'a> {
    uri: &'a Uri,
    /// Only changes that show in this view.
    view: View,
    /// Entries after this.
    after: Timestamp,
    /// And not after this.
    until: Timestamp,
    bytes_max: u64,
}

impl Database {
    /// What this server knows of one document. Reads a bounded part of the journal: it may take a second.
    pub fn evidence(&self, inquiry: &Inquiry) -> Result<Evidence, ReadError> {
        let (uri, at) = (&inquiry.uri, self.visible());
        let partition = self.partitioning().of(uri);
        let elsewhere = || self.shared.elsewhere(partition);
        let journal = self.shared.journal(partition).ok_or_else(elsewhere)?;
        let store = self.shared.store(partition).ok_or_else(elsewhere)?;
        let (durable, applied) = (journal.end(), store.progress().position);
        let head = store.head(uri, at)?;
        let version = head.as_ref().map(|head| self.version_of(uri, head, inquiry.which, at)).transpose()?;
        let version = version.flatten();
        let bytes = version.as_ref().map(|version| self.bytes_of(uri, version, inquiry)).transpose()?;
        let hunt = |view, after, until| {
            self.hunt(&journal, &Hunt { uri, view, after, until, bytes_max: inquiry.search_bytes_max })
        };
        let last_change = head.as_ref().map_or(Search::NotAsked, |head| {
            // Exactly this transaction: at most the entries of one timestamp are read.
            let after = Timestamp(head.changed.0.saturating_sub(1));
            let hunt = Hunt { uri, view: self.view(), after, until: head.changed, bytes_max: u64::MAX };
            self.hunt(&journal, &hunt)
        });
        let pending = match hunt(self.view(), at, Timestamp(u64::MAX)) {
            Search::Found { change, .. } => Some(change),
            _ => None,
        };
        let missing = inquiry.after.map_or(Search::NotAsked, |(after, view)| hunt(view, after, at));
        Ok(Evidence {
            at,
            partition,
            durable,
            applied,
            source: self.shared.source_of(partition),
            journal_since: journal.reaches_back_to(),
            head,
            version,
            bytes,
            last_change,
            pending,
            missing,
            quarantined: self.held(uri, at)?,
            cut: store.cut_versions(uri, at)?,
        })
    }

    fn version_of(
        &self,
        uri: &Uri,
        head: &Head,
        which: Which,
        at: Timestamp,
    ) -> Result<Option<VersionRef>, ReadError> {
        Ok(match which {
            Which::Working => head.working.filter(|_| head.is_visible()),
            Which::Live => head.live,
            Which::Number(number) => {
                let record = self.shared.store_of(uri)?.version(uri, number, at)?;
                record.map(|record| VersionRef { number, id: record.id })
            }
        })
    }

    fn bytes_of(
        &self,
        uri: &Uri,
        version: &VersionRef,
        inquiry: &Inquiry,
    ) -> Result<VersionBytes, ReadError> {
        let version = match self.read_version(uri, version) {
            Ok(version) => version,
            Err(error) => return unreadable("the version", error),
        };
        let Some(content) = version.content else { return Ok(VersionBytes::Whole { content_bytes: 0 }) };
        let (content_bytes, checked_bytes) = (content.bytes, content.bytes.min(inquiry.content_bytes_max));
        let pieces = self.content(uri, &content, 0..checked_bytes);
        match pieces.and_then(|mut pieces| pieces.try_for_each(|piece| piece.map(drop))) {
            Ok(()) if checked_bytes < content_bytes => {
                Ok(VersionBytes::Sampled { content_bytes, checked_bytes })
            }
            Ok(()) => Ok(VersionBytes::Whole { content_bytes }),
            Err(error) => unreadable("the content", error),
        }
    }

    fn hunt(&self, journal: &JournalReader, hunt: &Hunt<'_>) -> Search {
        self.search(journal, hunt).unwrap_or_else(|reason| Search::Unknown { reason })
    }

    /// The last change of `uri` in the first transaction that changes it and shows; or why nobody can tell.
    fn search(&self, journal: &JournalReader, hunt: &Hunt<'_>) -> Result<Search, String> {
        let partition = self.partitioning().of(hunt.uri);
        // In a derived journal everything shows.
        let derives = self.view() == View::Full && hunt.view == View::Published;
        // What the error says may name files, and is not for everybody.
        let unreadable = |error: &dyn std::fmt::Display| {
            tracing::warn!(database = self.name(), uri = %hunt.uri, %error, "the journal cannot be searched");
            "the journal cannot be read; the server's log says why".to_owned()
        };
        let since = Timestamp(hunt.after.0.saturating_add(1));
        if since > journal.end_timestamp() {
            return Ok(Search::Nothing);
        }
        let entries = journal.entries_since(since).map_err(|error| unreadable(&error))?;
        let mut entries = entries.ok_or_else(|| {
            let oldest = journal.reaches_back_to();
            format!("the journal reaches back to {} ({oldest}) only", oldest.to_rfc3339())
        })?;
        let (mut contents_entries, mut transactions_before, mut bytes) = (0, 0, 0);
        while let Some(entry) = entries.next().map_err(|error| unreadable(&error))? {
            let header = entry.header();
            if header.timestamp > hunt.until {
                break;
            }
            bytes += header.entry_bytes();
            if bytes > hunt.bytes_max {
                return Err(format!(
                    "more than {} bytes of the journal would have to be read",
                    hunt.bytes_max
                ));
            }
            if header.kind == EntryKind::Contents {
                contents_entries += 1;
                continue;
            }
            let contents_before = std::mem::take(&mut contents_entries);
            let Facts::Transaction(facts) = entry.facts().map_err(|error| unreadable(&error))? else {
                continue;
            };
            let counts = |change: &&Change| change.uri == *hunt.uri && (!derives || shows(change));
            if let Some(change) = facts.changes.iter().rfind(counts) {
                let change = recorded(&entry, &facts, change, contents_before);
                return Ok(Search::Found { change, transactions_before });
            }
            let shown = facts.published.is_some_and(|published| published.participants.contains(partition));
            transactions_before += u64::from(!derives || shown);
        }
        Ok(Search::Nothing)
    }
}

fn recorded(entry: &Entry, facts: &TransactionFacts, change: &Change, contents_entries: u64) -> Recorded {
    Recorded {
        operation: change.operation,
        position: entry.position(),
        timestamp: entry.header().timestamp,
        author: facts.author.clone(),
        time: facts.time,
        comment: facts.comment.clone(),
        counterpart: change.counterpart.clone(),
        contents_entries,
    }
}
/// Bytes that are gone or not what they were are evidence; another failure is one of this request.
fn unreadable(what: &'static str, error: ReadError) -> Result<VersionBytes, ReadError> {
    match error {
        ReadError::Erased { .. } | ReadError::NotBrought { .. } => Ok(VersionBytes::Missing { what }),
        ReadError::Store(error) if Cause::of_store(&error) == Cause::Damage => {
            tracing::warn!(%error, "{what} cannot be read");
            Ok(VersionBytes::Damaged { reason: format!("{what}; the server's log says how it shows") })
        }
        error => Err(error),
    }
}
