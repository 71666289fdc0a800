//! Proving a backup without restoring it, and without writing anything into it.
//!
//! Every byte is read and compared with the list, and the list with the manifest. Then what these bytes mean is checked:
//! the chain and the payloads of the journals, the digests of the stores from the documents themselves.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use apograph_format::Hash;
use apograph_journal::{Beginning, Identity, JournalReader};
use apograph_store::Store;
use apograph_store::engine::LsmOptions;

use super::create::{hash_file, walk};
use super::list::{ListReader, inside, order};
use super::{BackedUpPartition, BackupError, LIST, MANIFEST, Manifest, Monitor, Phase, Progress, disk, tell};
use crate::database::{DatabaseFile, chain};
use crate::sealed::read_sealed;

/// Findings that are listed; more are only counted.
const FINDINGS_MAX: usize = 1_000;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// Hash of the manifest.
    pub hash: Hash,
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Entries of journals checked.
    pub entries: u64,
    /// Payloads of stores checked.
    pub payloads: u64,
    /// What is wrong, at most 1,000 things.
    pub findings: Vec<Finding>,
    /// What is wrong and not listed.
    pub findings_unlisted: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Where, relative to the backup.
    pub path: String,
    /// What.
    pub reason: String,
}

impl Report {
    /// Nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { path: path.into(), reason: reason.into() });
        } else {
            self.findings_unlisted += 1;
        }
    }
}

/// Proves a backup.
///
/// # Errors
/// Only when there is no manifest that could be believed: it is absent, damaged, or not signed by the server it names.
/// Everything else that is wrong is in the report.
pub fn verify(dir: &Path, monitor: Monitor<'_>) -> Result<Report, BackupError> {
    let (manifest, hash) = Manifest::read(dir)?;
    let mut report = Report {
        manifest,
        hash,
        files: 0,
        bytes: 0,
        entries: 0,
        payloads: 0,
        findings: Vec::new(),
        findings_unlisted: 0,
    };
    files(dir, &mut report, monitor)?;
    unlisted(dir, &mut report)?;
    if !report.is_sound() {
        // What these bytes mean is not worth asking.
        return Ok(report);
    }
    let manifest = report.manifest.clone();
    for partition in &manifest.partitions {
        journal(dir, partition, &mut report, monitor)?;
    }
    if report.is_sound() {
        stores(dir, &manifest, &mut report, monitor)?;
    }
    Ok(report)
}

fn files(dir: &Path, report: &mut Report, monitor: Monitor<'_>) -> Result<(), BackupError> {
    let list = dir.join(LIST);
    match hash_file(&list) {
        Ok((hash, _)) if hash == report.manifest.list => {}
        Ok(_) => {
            report.add(LIST, "its hash is not that of the manifest");
            return Ok(());
        }
        Err(error) => {
            report.add(LIST, chain(&error));
            return Ok(());
        }
    }
    let bytes_total = report.manifest.bytes;
    for listed in ListReader::open(&list)? {
        let listed = listed?;
        let Some(path) = inside(dir, &listed.path) else { continue };
        match hash_file(&path) {
            Ok((_, bytes)) if bytes != listed.bytes => {
                report.add(listed.path, format!("it has {bytes} bytes, {} are listed", listed.bytes));
            }
            Ok((hash, _)) if hash != listed.blake3 => report.add(listed.path, "its hash differs"),
            Ok(_) => {}
            Err(error) => report.add(listed.path, chain(&error)),
        }
        report.files += 1;
        report.bytes += listed.bytes;
        let progress =
            Progress { phase: Phase::Files, files: report.files, bytes: report.bytes, bytes_total };
        tell(monitor, progress)?;
    }
    if (report.files, report.bytes) != (report.manifest.files, report.manifest.bytes) {
        report.add(LIST, "it lists other files than the manifest counts");
    }
    Ok(())
}

fn unlisted(dir: &Path, report: &mut Report) -> Result<(), BackupError> {
    if !report.is_sound() {
        return Ok(());
    }
    let mut listed = ListReader::open(&dir.join(LIST))?.peekable();
    walk(dir, dir, &mut |path, _| {
        while listed.next_if(|of| of.as_ref().is_ok_and(|of| order(&of.path, path).is_lt())).is_some() {}
        let is_listed = listed.peek().is_some_and(|of| of.as_ref().is_ok_and(|of| of.path == path));
        if !is_listed && ![LIST, MANIFEST].contains(&path) {
            report.add(path, "it does not belong to the backup");
        }
        Ok(())
    })
}

fn journal(
    dir: &Path,
    of: &BackedUpPartition,
    report: &mut Report,
    monitor: Monitor<'_>,
) -> Result<(), BackupError> {
    let name = format!("partitions/{:03}/journal", of.partition.0);
    let folder = dir.join(&name);
    let mut is_wanted = true;
    let checked = apograph_journal::verify(&folder, &mut |progress| {
        let (bytes, bytes_total) = (progress.bytes, progress.bytes_total);
        is_wanted &= monitor(Progress { phase: Phase::Journal, files: progress.entries, bytes, bytes_total });
    });
    if !is_wanted {
        return Err(BackupError::Cancelled);
    }
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => {
            report.add(name, chain(&error));
            return Ok(());
        }
    };
    report.entries += checked.entries;
    for damage in &checked.damage {
        report.add(name.clone(), damage.to_string());
    }
    if checked.identity.is_none_or(|identity| {
        (identity.database, identity.view, identity.partition)
            != (report.manifest.database, report.manifest.view, of.partition)
    }) {
        report.add(name.clone(), "it is the journal of something else");
    }
    let located = JournalReader::open_read_only(&folder)
        .map_err(|error| chain(&error))
        .and_then(|(reader, _)| reader.locate(&of.position).map_err(|error| chain(&error)));
    if let Err(reason) = located {
        report.add(name, format!("the position of the backup is not in it: {reason}"));
    }
    Ok(())
}

fn stores(
    dir: &Path,
    manifest: &Manifest,
    report: &mut Report,
    monitor: Monitor<'_>,
) -> Result<(), BackupError> {
    let file: DatabaseFile = match read_sealed(&dir.join("database.json")) {
        Ok(file) => file,
        Err(error) => {
            report.add("database.json", chain(&error));
            return Ok(());
        }
    };
    if (file.id, file.role, usize::from(file.partitions.count()))
        != (manifest.database, manifest.role, manifest.partitions.len())
    {
        report.add("database.json", "it is of another database than the manifest");
        return Ok(());
    }
    for partition in &manifest.partitions {
        let name = format!("partitions/{:03}/store", partition.partition.0);
        let shadow = Shadow::of(&dir.join(&name))?;
        let checked = store(&shadow.path, &file, manifest, partition, &mut |payloads| {
            let bytes_total = manifest.bytes;
            monitor(Progress { phase: Phase::Store, files: payloads, bytes: 0, bytes_total })
        });
        match checked {
            Ok(payloads) => report.payloads += payloads,
            Err(BackupError::Cancelled) => return Err(BackupError::Cancelled),
            Err(error) => report.add(name, chain(&error)),
        }
    }
    Ok(())
}

/// Counts the digests of one partition anew, and reads its payloads; answers how many.
fn store(
    folder: &Path,
    file: &DatabaseFile,
    manifest: &Manifest,
    of: &BackedUpPartition,
    monitor: &mut dyn FnMut(u64) -> bool,
) -> Result<u64, BackupError> {
    let unequal = |reason: String| BackupError::Unequal { reason };
    let identity = Identity {
        database: file.id,
        view: file.role.view(),
        partition: of.partition,
        partitioning: file.partitions,
    };
    let genesis = Beginning::genesis(&identity);
    let options = apograph_store::StoreOptions { engine: LsmOptions::default() };
    let store = Store::open(folder, &options, file.trees()?, (genesis.after, genesis.timestamp))?;
    if store.progress().position != of.position {
        let found = store.progress().position;
        return Err(unequal(format!("the store stands at {found}, the manifest says {}", of.position)));
    }
    for view in &manifest.digests {
        let expected = view.partitions.get(usize::from(of.partition.0)).copied();
        let kept = store.digest(view.view).map(|(digest, _, _)| digest);
        let counted = store.recount(view.view, manifest.at)?.map(|(digest, _)| digest);
        if kept != expected || counted != expected {
            return Err(unequal(format!("the digest of the {} view differs", view.view)));
        }
    }
    let mut is_wanted = true;
    let payloads = store.check_payloads(&mut |payloads| is_wanted &= monitor(payloads))?;
    if is_wanted { Ok(payloads) } else { Err(BackupError::Cancelled) }
}

/// A folder of links to the files of a store, so that it can be opened and nothing is written where it lies.
struct Shadow {
    path: PathBuf,
}

impl Shadow {
    fn of(store: &Path) -> Result<Shadow, BackupError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| BackupError::Stopped { reason: error.to_string() })?;
        let name = format!("apograph-verify-{}", hex::encode(random));
        let shadow = Shadow { path: std::env::temp_dir().join(name) };
        let store = fs::canonicalize(store).map_err(disk(store))?;
        let engine = shadow.path.join("engine");
        super::create::make_folder(&engine)?;
        let chunks = shadow.path.join("chunks");
        if store.join("chunks").exists() {
            symlink(store.join("chunks"), &chunks).map_err(disk(&chunks))?;
        }
        let of = store.join("engine");
        walk(&of, &of, &mut |name, file| {
            let to = engine.join(name);
            if let Some(folder) = to.parent() {
                super::create::make_folder(folder)?;
            }
            if name.contains("/tables/") {
                symlink(file, &to).map_err(disk(&to))
            } else {
                fs::copy(file, &to).map(drop).map_err(disk(&to))
            }
        })?;
        // A tree without tables has the folder for them all the same.
        for tree in apograph_store::engine::LSM_TREES {
            super::create::make_folder(&engine.join(tree).join("tables"))?;
        }
        Ok(shadow)
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        // Links are removed, not what they point to.
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a temporary folder stays");
        }
    }
}
