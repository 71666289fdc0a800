//! The copy's side: what it has, to be compared; what arrives, installed by the worker.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apograph_format::synchronize::WantedDocument;
use apograph_format::{
    Hash, Head, Leaf, Participants, PartitionId, Timestamp, TreeShape, Uri, VersionRef, View,
};
use apograph_store::{Install, Installment, Store, StoreError, Syncing};

use super::log::SyncLog;
use super::marker::{SyncMarker, SyncPhase};
use super::outcome::{LISTED_MAX, Repaired, SyncOutcome};
use super::{Snapshot, SyncError};
use crate::Role;
use crate::database::applier::relieve;
use crate::database::worker::{Worker, chain};
use crate::database::{Database, Shared};

/// What the worker keeps while the copy synchronizes.
#[derive(Debug, Default)]
pub(in crate::database) struct Installing {
    logs: Vec<SyncLog>,
    repaired: Vec<Repaired>,
    repaired_total: u64,
}

/// What a partition of this copy holds, what a synchronization brought so far included.
pub struct Own {
    store: Arc<Store>,
    view: View,
    /// What purges took and is still in files. None comes to these while a synchronization goes on.
    going: HashSet<Hash>,
    /// A copy of the published view holds what was shown after this time, and a later epoch cut off.
    parted: Option<Timestamp>,
}

impl Database {
    /// A synchronization that was begun and is not finished.
    pub fn sync_marker(&self) -> Option<SyncMarker> {
        self.shared.sync_marker()
    }

    /// What the last synchronization did.
    pub fn sync_outcome(&self) -> Option<SyncOutcome> {
        self.shared.sync_outcome()
    }

    /// Somebody has seen what the last synchronization did: its alarm goes.
    pub fn see_sync_outcome(&self) -> Result<(), SyncError> {
        match self.shared.sync_outcome() {
            Some(outcome) => self.shared.set_outcome(SyncOutcome { seen: true, ..outcome })?,
            // If there was one, somebody has seen that it is gone.
            None => self.shared.side_files.forget([super::outcome::file(&self.shared.path).as_path()])?,
        }
        Ok(())
    }

    /// What of a source's snapshot is for this copy.
    pub fn part_of(&self, mut snapshot: Snapshot) -> Snapshot {
        snapshot.partitions.retain(|of| self.held_partitions().contains(of.partition));
        snapshot
    }

    /// Begins to synchronize, or goes on with another snapshot. From now on nothing is followed; readers keep what they
    /// see until it is finished. Blocks; durable on return.
    pub fn begin_sync(&self, mut marker: SyncMarker) -> Result<(), SyncError> {
        // Whatever the reason: a source whose journal begins behind the fork does not see that there is one.
        marker.keep_journals |= self.is_forked();
        self.on_worker(move |worker| worker.begin_sync(marker))?
    }

    /// How far a partition is; `None` when nothing was begun.
    pub fn syncing(&self, partition: PartitionId) -> Option<Syncing> {
        self.shared.store(partition)?.syncing()
    }

    /// The timestamp that a snapshot must be above, with room for all batches.
    pub fn sync_floor(&self) -> Timestamp {
        self.shared.stores.iter().map(|store| store.latest()).max().unwrap_or_default().max(self.visible())
    }

    /// Installs a batch of the snapshot at `at`; what is left of an earlier one is refused. Blocks.
    pub fn install(
        &self,
        partition: PartitionId,
        at: Timestamp,
        installment: Installment,
    ) -> Result<(), SyncError> {
        self.on_worker(move |worker| worker.install(partition, at, &installment))?
    }

    /// What a partition holds, to be compared.
    pub fn own(&self, partition: PartitionId) -> Result<Own, SyncError> {
        let store = self.shared.store(partition).ok_or(SyncError::NotBegun)?;
        let pending = store.pending_erasures()?;
        let going = pending.into_iter().flat_map(|erasure| erasure.payloads).collect();
        let journal = self.shared.journal(partition).ok_or(SyncError::NotBegun)?;
        let parted = self.shared.file().parted_at(journal.end().epoch, journal.end_timestamp());
        let parted = parted.filter(|_| self.view() == View::Published);
        Ok(Own { store: Arc::clone(store), view: self.view(), going, parted })
    }

    /// Everything is there: the copy moves to the snapshot. Blocks; durable on return. Refused while a partition has
    /// another digest than the snapshot, unless something is known to be missing: so many documents that the operator
    /// leaves out, or some in quarantine.
    pub fn finish_sync(&self, left_out: u64) -> Result<SyncOutcome, SyncError> {
        self.on_worker(move |worker| worker.finish_sync(left_out))?
    }

    /// Documents of which something was found damaged here: the next synchronization brings them whole.
    pub fn suspects(&self) -> Vec<Uri> {
        self.shared.health().suspects.iter().cloned().collect()
    }

    /// Is something known to be damaged here?
    pub fn has_suspects(&self) -> bool {
        !self.shared.health().suspects.is_empty()
    }

    pub(super) fn suspects_of(&self, partition: PartitionId) -> Vec<Uri> {
        let partitioning = self.partitioning();
        self.suspects().into_iter().filter(|uri| partitioning.of(uri) == partition).collect()
    }

    /// Reads every document with every version and content, and compares it with what the hash trees say; what is damaged
    /// is suspected from then on. Answers how many documents were looked at. Blocks: it reads the whole store.
    pub fn look_for_damage(&self) -> Result<u64, StoreError> {
        let (at, mut looked) = (self.visible(), 0);
        for store in &self.shared.stores {
            for item in store.documents("", None, at) {
                let (uri, _) = item?;
                looked += 1;
                if !store.is_sound(&uri, at)? {
                    self.shared.suspect(&uri);
                }
            }
        }
        Ok(looked)
    }
}

impl Own {
    /// How large the tree is.
    pub fn shape(&self) -> TreeShape {
        self.store.tree_shape()
    }

    /// The children of a node of the tree.
    pub fn children(&self, level: usize, node: usize) -> Vec<Hash> {
        self.store.own_children(self.view, level, node).unwrap_or_default()
    }

    /// The digest of what is here, and the number of documents.
    pub fn digest(&self) -> Option<(Hash, u64)> {
        self.store.sync_digest(self.view)
    }

    /// The leaf of a document with this head.
    pub fn leaf(&self, uri: &Uri, head: &Head) -> Option<Leaf> {
        self.store.leaf_of(self.view, uri, head)
    }

    /// Is this payload here? If asked for, its bytes are looked at as well.
    pub fn keeps_payload(&self, hash: &Hash, checked: bool) -> Result<bool, StoreError> {
        let is_here = match checked {
            true => matches!(self.store.payload(hash), Ok(Some(_))),
            false => self.store.has_payload(hash)?,
        };
        // What a purge took, and is only still in a file, may be gone before anything names it again.
        Ok(is_here && (!self.going.contains(hash) || self.store.is_named_or_will_be(hash)?))
    }

    /// Where a document stands in the tree.
    pub fn place(&self, uri: &Uri) -> [u8; 16] {
        self.store.place_of(self.view, uri)
    }

    /// Documents behind a URI of which fewer than so many versions have their bodies, zero meaning all, and for which
    /// others were left out: at most `limit` of them, and where the next ones begin.
    pub(super) fn cut_below(
        &self,
        max_versions: u64,
        mut after: Option<Uri>,
        limit: usize,
    ) -> Result<(Vec<Uri>, Option<Uri>), StoreError> {
        let at = self.store.latest();
        let mut found = Vec::new();
        for item in self.store.cut_documents(after.as_ref(), at) {
            let (uri, cut) = item?;
            after = Some(uri.clone());
            let versions = self.store.head(&uri, at)?.map_or(0, |head| head.versions);
            if max_versions == 0 || (versions + 1).saturating_sub(cut.kept_from) < max_versions {
                found.push(uri);
            }
            if found.len() == limit {
                return Ok((found, after));
            }
        }
        Ok((found, None))
    }

    /// Documents behind a URI that were shown in the published view and are no more, with the newest version that is here
    /// of each: at most `limit` of them, and where the next ones begin.
    pub(super) fn shown_no_more(
        &self,
        after: Option<Uri>,
        limit: usize,
    ) -> Result<(Vec<WantedDocument>, Option<Uri>), StoreError> {
        let at = self.store.latest();
        let mut found = Vec::new();
        for item in self.store.documents("", after.as_ref(), at) {
            let (uri, head) = item?;
            if head.live.is_some() {
                continue;
            }
            let mut versions = self.store.versions(&uri, 0, u64::MAX, at);
            let newest = versions.try_fold(None, |_, version| version.map(Some))?;
            if let Some((number, record)) = newest {
                let is_cut = self.parted.is_some_and(|parted| head.changed > parted);
                let have = (!is_cut).then_some(VersionRef { number, id: record.id });
                found.push(WantedDocument { place: self.place(&uri), have, uri: Some(uri.clone()) });
            }
            if found.len() == limit {
                return Ok((found, Some(uri)));
            }
        }
        Ok((found, None))
    }

    /// Documents that came without what a purge had erased, at most `limit`.
    pub(super) fn awaiting_purges(&self, limit: usize) -> Result<Vec<Uri>, StoreError> {
        let awaiting = self.store.awaiting_purges(self.store.latest()).take(limit);
        awaiting.map(|item| item.map(|(uri, _)| uri)).collect()
    }

    /// Where a source shows nothing of this document: is what is here of no use? It lacks what a purge erased, or may be of what was
    /// cut off.
    pub(super) fn is_to_be_forgotten(&self, uri: &Uri) -> Result<bool, StoreError> {
        Ok(self.may_be_cut_off(uri)? || self.store.awaits_purge(uri, self.store.latest())?)
    }

    /// May a version of it be here that was shown in what a later epoch cut off, and never since?
    fn may_be_cut_off(&self, uri: &Uri) -> Result<bool, StoreError> {
        let Some(parted) = self.parted else { return Ok(false) };
        Ok(self.store.head(uri, self.store.latest())?.is_some_and(|head| head.changed > parted))
    }

    /// Is this a document of the published view that is shown no more here already?
    pub(super) fn is_unshown(&self, uri: &Uri) -> Result<bool, StoreError> {
        if self.view != View::Published {
            return Ok(false);
        }
        Ok(self.store.head(uri, self.store.latest())?.is_some_and(|head| head.live.is_none()))
    }

    /// Is a document in quarantine?
    pub fn holds_back(&self) -> Result<bool, StoreError> {
        let at = self.store.latest();
        self.store.quarantine(at).next().transpose().map(|held| held.is_some())
    }

    /// What differs in a bucket that should have these leaves. What is stored here is not believed: a document whose
    /// head gives another leaf than the tree has counts as different. If none differs the bucket's own sum is wrong,
    /// and is put right.
    pub fn compare(&self, bucket: u32, leaves: &[Leaf]) -> Result<Vec<WantedDocument>, StoreError> {
        let bucket = bucket as usize;
        let at = self.store.latest();
        let mut wanted = Vec::new();
        let mut theirs = leaves.iter().peekable();
        for item in self.store.leaves(self.view, bucket, at) {
            let (stored, uri) = item?;
            while let Some(missing) = theirs.next_if(|leaf| leaf.place < stored.place) {
                wanted.push(WantedDocument { place: missing.place, have: None, uri: None });
            }
            let expected = theirs.next_if(|leaf| leaf.place == stored.place);
            // A head that cannot be read is as wrong as any other.
            let found = self.store.true_leaf(self.view, &uri, at).unwrap_or(None);
            let is_true = found == Some(stored);
            if expected == Some(&stored) && is_true {
                continue;
            }
            let is_good = is_true && !self.may_be_cut_off(&uri)?;
            let have = if is_good { self.newest(&uri, at)? } else { None };
            wanted.push(WantedDocument { place: stored.place, have, uri: Some(uri) });
        }
        wanted.extend(theirs.map(|leaf| WantedDocument { place: leaf.place, have: None, uri: None }));
        if wanted.is_empty() && self.store.is_syncing() {
            self.store.mend_bucket(self.view, bucket)?;
        }
        Ok(wanted)
    }

    /// The newest version that is here with its record.
    fn newest(&self, uri: &Uri, at: Timestamp) -> Result<Option<VersionRef>, StoreError> {
        let head = self.store.head(uri, at)?;
        let Some(newest) = head.and_then(|head| head.working.or(head.live)) else { return Ok(None) };
        let record = self.store.version(uri, newest.number, at)?;
        Ok(record.filter(|record| record.id == newest.id).map(|_| newest))
    }
}

impl Worker {
    fn begin_sync(&mut self, marker: SyncMarker) -> Result<(), SyncError> {
        check(&self.shared, &marker.snapshot)?;
        if let Some(reason) = self.shared.stopped() {
            return Err(SyncError::Stopped { reason });
        }
        if self.shared.sync_marker().is_none() {
            // What readers see must be on disk before anything is written above it.
            for store in &self.shared.stores {
                store.flush()?;
            }
        }
        let target = marker.snapshot.at;
        self.shared.set_marker(Some(marker))?;
        let shown = self.shared.visible();
        for store in &self.shared.stores {
            store.begin_sync(target, shown)?;
        }
        self.open_logs()
    }

    fn open_logs(&mut self) -> Result<(), SyncError> {
        if self.installing.logs.is_empty() {
            let homes = self.shared.held.iter().map(|partition| self.shared.home(partition));
            self.installing.logs = homes.map(|home| SyncLog::open(&home)).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    fn install(
        &mut self,
        partition: PartitionId,
        at: Timestamp,
        installment: &Installment,
    ) -> Result<(), SyncError> {
        self.open_logs()?;
        let store = self.shared.store(partition).ok_or(SyncError::NotBegun)?;
        let syncing = store.syncing().filter(|syncing| syncing.target == at).ok_or(SyncError::NotBegun)?;
        let marker = self.shared.sync_marker().filter(SyncMarker::lists_differences);
        if let Some(marker) = marker {
            let shown = self.shared.visible();
            let suspects = marker.is_damage().then(|| self.shared.health().suspects.clone());
            let wrong = |change| difference(store, change, syncing.version, shown, suspects.as_ref());
            for repaired in installment.changes.iter().filter_map(wrong) {
                self.installing.repaired_total += 1;
                if self.installing.repaired.len() < LISTED_MAX {
                    self.installing.repaired.push(repaired);
                }
            }
        }
        relieve(store)?;
        let version = Timestamp(syncing.version.0 + 1);
        let log = self.shared.slot(partition).and_then(|slot| self.installing.logs.get_mut(slot));
        let log = log.ok_or(SyncError::NotBegun)?;
        log.append(installment, version)?;
        store.install_at(installment, version)?;
        log.trim(store)
    }

    fn finish_sync(&mut self, left_out: u64) -> Result<SyncOutcome, SyncError> {
        let mut marker = self.shared.sync_marker().ok_or(SyncError::NotBegun)?;
        marker.left_out = left_out;
        let is_equal = self.compare_with(&marker)?;
        let stores = self.shared.stores.iter().filter_map(|store| store.syncing());
        (marker.documents, marker.bytes) =
            stores.fold((0, 0), |(documents, bytes), of| (documents + of.documents, bytes + of.bytes));
        marker.equal = is_equal;
        // Logs are not synced: what is to be believed from here on has to be in the stores, on disk.
        for store in &self.shared.stores {
            store.flush()?;
        }
        marker.phase = SyncPhase::Installing;
        self.shared.set_marker(Some(marker.clone()))?;
        let installing = std::mem::take(&mut self.installing);
        // From here on only forward: if it fails, the next start finishes it.
        self.move_to(&marker.snapshot, marker.keep_journals).inspect_err(|error| {
            self.shared.stop(format!("a synchronization could not be finished: {}", chain(error)));
        })?;
        self.shared.clear_suspects();
        let mut outcome = SyncOutcome::of(&marker, &self.shared.stores)?;
        (outcome.repaired, outcome.repaired_total) = (installing.repaired, installing.repaired_total);
        // Who asked for a repair waits for its outcome; what a server did by itself somebody has to see.
        outcome.seen = outcome.repaired_total == 0 || !marker.is_unasked();
        if let Some(alarm) = outcome.alarm() {
            tracing::error!(database = %self.shared.name, %alarm, "alarm");
        }
        self.shared.set_outcome(outcome.clone())?;
        let quarantine = super::quarantine::file(&self.shared.path);
        if outcome.quarantined == 0 && !quarantine.exists() {
            // Nothing is held any more that people could have said something of.
            self.shared.side_files.forget([quarantine.as_path()])?;
        }
        self.shared.set_marker(None)?;
        Ok(outcome)
    }

    /// Has every partition the digest of the snapshot? It may lack what is known to be missing, and nothing else.
    fn compare_with(&self, marker: &SyncMarker) -> Result<bool, SyncError> {
        let mut is_equal = true;
        for of in &marker.snapshot.partitions {
            let store = self.shared.store(of.partition).ok_or(SyncError::NotBegun)?;
            let syncing = store.syncing().ok_or(SyncError::NotBegun)?;
            let found =
                store.sync_digest(marker.snapshot.view).map(|(digest, _)| digest).unwrap_or(Hash([0; 32]));
            if found == of.digest {
                store.release_absent()?;
                continue;
            }
            is_equal = false;
            let is_held = store.quarantine(syncing.version).next().is_some();
            if !is_held && marker.left_out == 0 {
                return Err(SyncError::Unequal { partition: of.partition, found, expected: of.digest });
            }
        }
        Ok(is_equal)
    }
}

/// Is this snapshot one of ours, and are we one who may take it?
fn check(shared: &Shared, snapshot: &Snapshot) -> Result<(), SyncError> {
    if shared.role() == Role::Primary {
        return Err(SyncError::Primary);
    }
    let misfit = |reason: String| Err(SyncError::Misfit { reason });
    if snapshot.view != shared.view() {
        return misfit(format!(
            "it is of the {} view, this copy holds the {} view",
            snapshot.view,
            shared.view()
        ));
    }
    let found: Vec<PartitionId> = snapshot.partitions.iter().map(|of| of.partition).collect();
    if !shared.held.iter().eq(found.iter().copied()) {
        let found: Participants = found.into_iter().collect();
        return misfit(format!("it is of partitions {found}, this copy holds {}", shared.held));
    }
    if snapshot.at <= shared.visible() {
        return Err(SyncError::TooClose);
    }
    Ok(())
}

/// What was wrong with a document that is being put right; `None` if it only changed at the source since the time that
/// readers see here. A source does not say when it published, so a staging server cannot tell all of these apart; if it looks for
/// damage, what is sound here, and was not suspected, changed there.
fn difference(
    store: &Store,
    change: &Install,
    at: Timestamp,
    shown: Timestamp,
    suspects: Option<&BTreeSet<Uri>>,
) -> Option<Repaired> {
    let (uri, new) = match change {
        Install::Document(document) if document.left_out => return None,
        Install::Document(document) => (&document.uri, document.head.as_ref()),
        Install::Absent(uri) | Install::Purged(uri) | Install::Forgotten(uri) => (uri, None),
        Install::Quarantined { .. } => return None,
    };
    // It came so, and that was said.
    if store.awaits_purge(uri, at).unwrap_or(false) {
        return None;
    }
    let is_full = store.holds(View::Full);
    let is_innocent = suspects.is_some_and(|suspects| !suspects.contains(uri));
    if is_innocent && !is_full && store.is_sound(uri, at).unwrap_or(false) {
        return None;
    }
    let what = match (store.head(uri, at), new) {
        (Err(error), _) => format!("it could not be read: {error}"),
        (Ok(_), Some(new)) if is_full && new.changed > shown => return None,
        (Ok(None), None) => return None,
        (Ok(Some(old)), None) if !is_full && old.live.is_none() => return None,
        (Ok(None), Some(_)) if is_full => "it was missing here".to_owned(),
        (Ok(None), Some(_)) => "it was missing here, or was published since".to_owned(),
        (Ok(Some(_)), None) if is_full => "it was here, and not at the source".to_owned(),
        (Ok(Some(_)), None) => "it was here, and not published at the source, or not any more".to_owned(),
        (Ok(Some(old)), Some(new)) => in_words(&old, new),
    };
    Some(Repaired { uri: uri.clone(), what })
}

fn in_words(old: &Head, new: &Head) -> String {
    let mut what = Vec::new();
    if old.versions != new.versions {
        what.push(format!("{} versions instead of {}", old.versions, new.versions));
    }
    if old.state != new.state {
        what.push(format!("{} instead of {}", old.state, new.state));
    }
    if old.history != new.history || old.working != new.working || old.live != new.live {
        what.push("other versions".to_owned());
    }
    if old.lock != new.lock {
        what.push("another lock".to_owned());
    }
    if what.is_empty() {
        what.push(
            if old == new { "its entry in the tree was wrong" } else { "its head was altered" }.to_owned(),
        );
    }
    what.join(", ")
}

impl Shared {
    /// The folder of a partition.
    pub(in crate::database) fn home(&self, partition: PartitionId) -> PathBuf {
        partition_home(&self.path, partition)
    }
}

/// The folder of a partition of the database in this folder.
pub(crate) fn partition_home(database: &Path, partition: PartitionId) -> PathBuf {
    database.join("partitions").join(format!("{partition:0>3}"))
}
