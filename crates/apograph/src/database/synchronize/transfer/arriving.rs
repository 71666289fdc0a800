//! What arrives: documents and their payloads, checked, and gathered into batches to install.

use std::collections::{HashMap, HashSet};

use apograph_format::synchronize::WantedPayloads;
use apograph_format::{Hash, SyncDocument, SyncFrame, Uri, VersionRef};
use apograph_store::Install;

use super::{Group, Stage, Transfer, TransferError, unexpected};

/// A batch is installed when it has so many bytes, or documents.
const BATCH_BYTES: u64 = 1 << 20;
const BATCH_DOCUMENTS: usize = 1_000;
/// Documents that are asked for once more because they are not what the tree says; more of them are held back at once.
const DOUBTED_MAX: usize = 4_096;

impl Transfer {
    /// A document that cannot be understood; what follows of it is passed over.
    pub(super) fn hold_back(&mut self, uri: Uri, reason: String) -> Result<(), TransferError> {
        self.check_all_came()?;
        match &mut self.stage {
            Stage::All { held } => {
                let before = held.take();
                self.complete(before)?;
                self.batch.after = Some(uri.clone());
            }
            Stage::Documents(_) => {}
            _ => return Err(unexpected("a document")),
        }
        self.passes_over = true;
        self.batch.changes.push(Install::Quarantined { uri, reason });
        Ok(())
    }

    pub(super) fn take_frame(&mut self, frame: SyncFrame) -> Result<(), TransferError> {
        match frame {
            SyncFrame::End => {}
            SyncFrame::Hashes(hashes) => self.take_hashes(&hashes)?,
            SyncFrame::Leaves { bucket, leaves } => self.take_leaves(bucket, &leaves)?,
            SyncFrame::Document(document) => self.take_document(document)?,
            SyncFrame::Payload(_) if self.passes_over => {}
            SyncFrame::Payload(payload) => {
                self.awaited.remove(&payload.hash);
                self.in_batch.insert(payload.hash);
                self.batch_bytes += payload.bytes.len() as u64;
                self.batch.payloads.push(payload);
            }
            SyncFrame::Erased(_) if self.passes_over => {}
            SyncFrame::Erased(body) => {
                self.awaited.remove(&body.names.id);
                self.erased.insert(body.names.id, body);
            }
            SyncFrame::Lost { hash, reason } => {
                self.awaited.remove(&hash);
                self.lost.insert(hash, reason);
            }
            SyncFrame::Cursor { name, position, since } => self.batch.cursors.push((name, position, since)),
            SyncFrame::Purged(uri) => match &mut self.stage {
                Stage::Documents(group) => group.purged.push(uri),
                _ => self.batch.changes.push(Install::Purged(uri)),
            },
            SyncFrame::Measured(measured) => self.answer = measured,
        }
        Ok(())
    }

    /// A document without what belongs to it would have the right digest.
    pub(super) fn check_all_came(&self) -> Result<(), TransferError> {
        match self.awaited.iter().next() {
            Some(hash) => Err(unexpected(format!("something else in place of payload {hash}"))),
            None => Ok(()),
        }
    }

    fn take_document(&mut self, document: Box<SyncDocument>) -> Result<(), TransferError> {
        self.check_all_came()?;
        self.passes_over = false;
        if let Some(head) = &document.head {
            let live = head.live.map(|live| live.number);
            let is_sent =
                |version: &&VersionRef| version.number >= document.kept_from || live == Some(version.number);
            self.awaited.extend(document.versions.iter().filter(is_sent).map(|version| version.id));
        }
        match &mut self.stage {
            Stage::All { held } => {
                if held.as_ref().is_some_and(|before| before.uri >= document.uri) {
                    return Err(unexpected(format!("{} out of order", document.uri)));
                }
                let before = held.replace(document);
                self.complete(before)
            }
            Stage::Documents(group) => {
                if group.came.iter().any(|before| before.uri == document.uri) {
                    return Err(unexpected(format!("{} twice", document.uri)));
                }
                group.came.push(*document);
                Ok(())
            }
            _ => Err(unexpected("a document")),
        }
    }

    /// All documents come: the payloads of this one have come. What has a large content is left for the comparison, which
    /// asks for what is missing piece by piece.
    pub(super) fn complete(&mut self, document: Option<Box<SyncDocument>>) -> Result<(), TransferError> {
        let Some(document) = document else { return Ok(()) };
        let uri = document.uri.clone();
        if !document.left_out && document.head.is_some() {
            let document = *document;
            if self.missing(std::slice::from_ref(&document))?.is_empty() {
                let change = self.checked(document, None);
                self.progress.documents += u64::from(change.is_some());
                self.batch.changes.extend(change);
            }
        }
        self.erased.clear();
        self.batch.after = Some(uri);
        self.flush_if_full()
    }

    /// Chunks of contents that are not here.
    pub(super) fn missing(&self, documents: &[SyncDocument]) -> Result<Vec<WantedPayloads>, TransferError> {
        let mut missing = Vec::new();
        let mut known = HashSet::new();
        for document in documents {
            let mut hashes = Vec::new();
            for chunk in document.contents.iter().flat_map(|content| &content.chunks) {
                let is_here = self.in_batch.contains(chunk)
                    || self.lost.contains_key(chunk)
                    || !known.insert(*chunk)
                    || self.own.keeps_payload(chunk, self.checks_payloads)?;
                if !is_here {
                    hashes.push(*chunk);
                }
            }
            if !hashes.is_empty() {
                missing.push(WantedPayloads { uri: document.uri.clone(), hashes });
            }
        }
        Ok(missing)
    }

    /// Documents whose payloads are all here; what is to be done next.
    pub(super) fn put(&mut self, group: Group) -> Result<Stage, TransferError> {
        for document in group.came {
            if document.left_out {
                self.progress.left_out += 1;
                continue;
            }
            let is_forgotten = document.head.is_none() && self.own.is_to_be_forgotten(&document.uri)?;
            if document.head.is_none() && !is_forgotten && self.own.is_unshown(&document.uri)? {
                continue;
            }
            let change = if is_forgotten {
                Some(Install::Forgotten(document.uri))
            } else if document.head.is_none() {
                Some(Install::Absent(document.uri))
            } else {
                self.checked(document, Some(&group.asked))
            };
            self.progress.documents += u64::from(change.is_some());
            self.batch.changes.extend(change);
        }
        self.erased.clear();
        self.batch.changes.extend(group.purged.into_iter().map(Install::Purged));
        self.flush()?;
        Ok(Stage::documents(group.buckets, group.wanted))
    }

    /// A document that is what the source's own tree says, and of which everything came; or a reason to hold it back. What
    /// differs from the tree may be an answer of before, that somebody between the servers kept: it is asked for once more.
    fn checked(
        &mut self,
        mut document: SyncDocument,
        asked: Option<&HashMap<[u8; 16], Option<Hash>>>,
    ) -> Option<Install> {
        let uri = document.uri.clone();
        let lost = document.versions.iter().map(|version| &version.id);
        let lost = lost.chain(document.contents.iter().flat_map(|content| &content.chunks));
        if let Some((hash, reason)) = lost.filter_map(|hash| self.lost.get_key_value(hash)).next() {
            let reason = format!("payload {hash} did not come: {reason}");
            return Some(Install::Quarantined { uri, reason });
        }
        let leaf = document.head.as_ref().and_then(|head| self.own.leaf(&uri, head));
        let expected = leaf.and_then(|leaf| asked.and_then(|asked| asked.get(&leaf.place).copied()));
        if let (Some(leaf), Some(Some(expected))) = (leaf, expected)
            && leaf.hash != expected
        {
            if self.doubted.len() < DOUBTED_MAX && self.doubted.insert(uri.clone()) {
                return None;
            }
            let reason =
                "what the source sends is not what its own digest says: verify the source".to_owned();
            return Some(Install::Quarantined { uri, reason });
        }
        let erased = document.versions.iter().filter_map(|version| self.erased.get(&version.id));
        document.erased = erased.cloned().collect();
        Some(Install::Document(Box::new(document)))
    }

    pub(super) fn flush_if_full(&mut self) -> Result<(), TransferError> {
        if self.batch_bytes >= BATCH_BYTES || self.batch.changes.len() >= BATCH_DOCUMENTS {
            self.flush()
        } else {
            Ok(())
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), TransferError> {
        let batch = std::mem::take(&mut self.batch);
        self.in_batch.clear();
        self.batch_bytes = 0;
        let is_empty = batch.payloads.is_empty() && batch.changes.is_empty() && batch.cursors.is_empty();
        if is_empty && batch.after.is_none() && !batch.all_came {
            return Ok(());
        }
        Ok(self.database.install(self.partition, self.target, batch)?)
    }
}
