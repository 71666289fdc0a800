//! The file that makes a folder a backup. It is written last, and covers, by the list of files, every byte.
//!
//! ```text
//! apograph backup 1
//! { … }                   JSON: Manifest
//! blake3 64 hex digits    of everything before this line
//! signature 128 digits    Ed25519, by the server that made it, over these 32 bytes
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use apograph_format::{DatabaseId, Epoch, Hash, PartitionId, Position, ServerKey, Timestamp, View};

use super::{BackupError, LIST, MANIFEST, damaged, disk};
use crate::Role;
use crate::folder::write_secret;
use crate::status::{ServerIdentity, ViewStatus};

const FORMAT: &str = "apograph backup 1";
/// What goes before the hash that is signed, so that no other signature of a server can stand for this one.
const STATEMENT: &[u8] = b"apograph backup 1\0";

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Identity of the database.
    pub database: DatabaseId,
    /// Its name on the server that made the backup.
    pub name: String,
    /// What that server is for it.
    pub role: Role,
    /// What the backup holds of it.
    pub view: View,
    /// It holds everything of that view; a copy that was told to leave something out does not.
    pub whole: bool,
    /// Epoch of its history.
    pub epoch: Epoch,
    /// The time the backup is of: everything up to here is in it, and nothing later.
    pub at: Timestamp,
    /// The same for people.
    pub time: String,
    /// The backup can be restored as of any time from here on.
    pub horizon: Timestamp,
    /// The server that made the backup, and signed it.
    pub server: ServerIdentity,
    /// Version of the software.
    pub software: String,
    /// Where each partition stands.
    pub partitions: Vec<BackedUpPartition>,
    /// Digests at that time, by view.
    pub digests: Vec<ViewStatus>,
    /// Files in the list.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Of them, bytes that the previous backup had.
    pub bytes_linked: u64,
    /// Hash of the list of files.
    pub list: Hash,
    /// Hash of the manifest of the previous backup, if this one was made against one.
    pub previous: Option<Hash>,
}

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackedUpPartition {
    /// Which.
    pub partition: PartitionId,
    /// The last entry that is applied.
    pub position: Position,
    /// The position before the oldest entry of the journal.
    pub journal_start: Position,
}

impl Manifest {
    /// Reads the manifest of a backup, checks it against its own hash and signature, and answers it with its hash. Says
    /// nothing of the other files.
    pub fn read(dir: &Path) -> Result<(Manifest, Hash), BackupError> {
        let path = dir.join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(without_manifest(dir)),
            Err(error) => return Err(disk(&path)(error)),
        };
        let text = String::from_utf8(text).map_err(|_| damaged(&path, "it is not UTF-8"))?;
        let (format, _) = text.split_once('\n').ok_or_else(|| damaged(&path, "it has no lines"))?;
        if format != FORMAT {
            return match format.strip_prefix("apograph backup ").map(|number| number.parse::<u32>()) {
                Some(Ok(_)) => Err(BackupError::Format { path: dir.to_owned(), found: format.to_owned() }),
                _ => Err(damaged(&path, "it does not begin as a manifest does")),
            };
        }
        let read = || {
            let body = text.get(..text.rfind("blake3 ")?)?;
            let hash = Hash::of(body.as_bytes());
            let signature = text.get(body.len()..)?.strip_prefix(&format!("blake3 {hash}\nsignature "))?;
            let signature: [u8; 64] = hex::decode(signature.strip_suffix('\n')?).ok()?.try_into().ok()?;
            let is_exact = text.ends_with(&format!("\nsignature {}\n", hex::encode(signature)));
            is_exact.then_some((body, hash, signature))
        };
        let (body, hash, signature) = read().ok_or_else(|| damaged(&path, "its hash differs"))?;
        let json = body.strip_prefix(FORMAT).unwrap_or_default();
        let manifest: Manifest =
            serde_json::from_str(json).map_err(|error| damaged(&path, error.to_string()))?;
        if !is_signed(&manifest.server.key, &hash, &signature) {
            return Err(damaged(&path, "its signature is not that of the server it names"));
        }
        Ok((manifest, hash))
    }

    /// Writes it, whole or not at all, durable on return, and answers its hash.
    pub(super) fn write(&self, dir: &Path, key: &SigningKey) -> Result<Hash, BackupError> {
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| damaged(&dir.join(MANIFEST), error.to_string()))?;
        let body = format!("{FORMAT}\n{json}\n");
        let hash = Hash::of(body.as_bytes());
        let signature = hex::encode(key.sign(&statement(&hash)).to_bytes());
        let text = format!("{body}blake3 {hash}\nsignature {signature}\n");
        write_secret(&dir.join(MANIFEST), text.as_bytes())?;
        Ok(hash)
    }

    /// Where a partition stands.
    pub fn partition(&self, partition: PartitionId) -> Option<&BackedUpPartition> {
        self.partitions.get(usize::from(partition.0))
    }
}

fn is_signed(server: &ServerKey, hash: &Hash, signature: &[u8; 64]) -> bool {
    let verify = |key: VerifyingKey| key.verify_strict(&statement(hash), &Signature::from_bytes(signature));
    VerifyingKey::from_bytes(server.as_bytes()).and_then(verify).is_ok()
}

fn statement(hash: &Hash) -> Vec<u8> {
    [STATEMENT, &hash.0].concat()
}

fn without_manifest(dir: &Path) -> BackupError {
    let begun = [LIST.to_owned(), format!("{LIST}.part"), format!("{LIST}.before")];
    if begun.iter().any(|name| dir.join(name).exists()) {
        BackupError::Incomplete { path: dir.to_owned() }
    } else {
        BackupError::NotABackup { path: dir.to_owned() }
    }
}
