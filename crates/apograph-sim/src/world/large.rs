//! Texts that are larger than what goes with their document: contents in files of their own, in several chunks, in entries
//! ahead of their transaction; chunks, and whole contents, that documents share. What of it is drawn, a write and a URI
//! decide: nothing else is drawn otherwise because of it.

use std::collections::{BTreeMap, BTreeSet};

use apograph::Database;
use apograph::error::ReadError;
use apograph::format::limits::CHUNK_BYTES_MAX;
use apograph::format::{Hash, Uri};
use apograph::read::Which;
use apograph::transaction::{Action, ContentBytes, ContentChange, Transaction};
use bytes::Bytes;

use super::client::secret;
use super::{Checked, Plan, SERVERS, World};
use crate::os;
use crate::random::Random;

/// Chunks that documents have in common.
const SHARED: u64 = 2;

/// A part of a large text. All but the last are chunks of their own.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// What only this write says of this document, so many bytes of it.
    Own(usize),
    /// What others say, too.
    Shared(u64),
}

impl Part {
    /// What it begins with: whoever has it has this.
    fn mark(self, write: &str, uri: &Uri) -> String {
        match self {
            Part::Own(_) => secret(write, uri),
            Part::Shared(number) => format!("[{number} of what documents share]"),
        }
    }

    fn bytes(self, number: usize, write: &str, uri: &Uri) -> Vec<u8> {
        let mark = self.mark(write, uri);
        let (length, seed) = match self {
            Part::Own(length) => (length, hash_of(&mark) ^ number as u64),
            Part::Shared(_) => (CHUNK_BYTES_MAX, hash_of(&mark)),
        };
        let mut random = Random::new(seed);
        let mut bytes = Vec::with_capacity(length + 8);
        bytes.extend(mark.into_bytes());
        while bytes.len() < length {
            bytes.extend_from_slice(&random.next().to_le_bytes().map(|byte| b'a' | (byte & 15)));
        }
        bytes.truncate(length);
        bytes
    }
}

fn hash_of(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What is large of what a write says of a document; nothing, if its text is as the client drew it.
fn parts(plan: &Plan, write: &str, uri: &Uri) -> Vec<Part> {
    const CHUNK: Part = Part::Own(CHUNK_BYTES_MAX);
    let mut random = Random::new(plan.seed).fork(hash_of(&secret(write, uri)));
    if !random.chance(plan.large) {
        return Vec::new();
    }
    let shared = Part::Shared(random.below(SHARED));
    match random.below(24) {
        // In a file of its own; sent with its document, or asked for apart.
        0..=6 => vec![Part::Own(80 << 10)],
        7..=11 => vec![Part::Own(400 << 10)],
        12..=14 => vec![CHUNK, Part::Own(5_000)],
        15..=18 => vec![shared, Part::Own(3_000)],
        19 | 20 => vec![Part::Shared(0), Part::Shared(1)],
        21 | 22 => vec![CHUNK, shared, Part::Own(200 << 10)],
        // More than goes into one entry.
        _ => vec![CHUNK, CHUNK, shared, CHUNK, CHUNK, CHUNK, CHUNK, CHUNK, Part::Own(100_000)],
    }
}

/// What whoever holds this text of a document has on its disk.
pub(super) fn marks(plan: &Plan, write: &str, uri: &Uri) -> BTreeSet<String> {
    let parts = parts(plan, write, uri);
    if parts.is_empty() {
        return [secret(write, uri)].into();
    }
    parts.into_iter().map(|part| part.mark(write, uri)).collect()
}

/// Texts that clients sent, by their hashes.
#[derive(Debug, Default)]
pub(super) struct Sent(BTreeMap<Hash, Text>);

#[derive(Debug)]
enum Text {
    Small(Bytes),
    Large { write: String, uri: Uri },
}

impl World {
    /// What a client is about to ask a server for. Large texts come before, as uploads do; a disk may have no room for them.
    pub(super) fn upload(
        &mut self,
        host: usize,
        database: &Database,
        transaction: &mut Transaction,
    ) -> Result<(), String> {
        let write = transaction.comment.clone();
        for operation in &mut transaction.operations {
            let Action::Put(put) = &mut operation.action else { continue };
            let ContentChange::Set { bytes, .. } = &mut put.content else { continue };
            let parts = parts(&self.plan, &write, &operation.uri);
            if parts.is_empty() {
                if let ContentBytes::Inline(bytes) = bytes {
                    self.sent.0.insert(Hash::of(bytes), Text::Small(bytes.clone()));
                }
                continue;
            }
            let uri = &operation.uri;
            self.trace.note(&write, &format!("{uri} is large: {parts:?}"));
            let mut whole = blake3::Hasher::new();
            let spooled = os::as_host(host, || {
                let mut spool = database.spool();
                for (number, part) in parts.into_iter().enumerate() {
                    let part = part.bytes(number, &write, &operation.uri);
                    whole.update(&part);
                    spool.write(&part)?;
                }
                spool.finish()
            });
            *bytes = spooled.map_err(|error| error.to_string())?;
            let text = Text::Large { write: write.clone(), uri: operation.uri.clone() };
            self.sent.0.insert(Hash(*whole.finalize().as_bytes()), text);
            self.figures.large += 1;
        }
        Ok(())
    }

    /// Every text that is shown is one that a client sent, byte for byte.
    pub(super) fn look_at_texts(&mut self, host: usize, database: &Database) -> Checked {
        let name = SERVERS[host].0;
        for uri in self.truth.uris() {
            for which in [Which::Working, Which::Live] {
                let document = match os::as_host(host, || database.document(&uri, which, None)) {
                    Ok(document) => document,
                    Err(ReadError::Refused { .. }) => continue,
                    Err(error) => return Err(format!("{name} cannot read {uri}: {error}")),
                };
                let Some(content) = &document.version.content else { continue };
                let read = os::as_host(host, || -> Result<Vec<Bytes>, ReadError> {
                    database.content(&uri, content, 0..content.bytes)?.collect()
                });
                let read = read.map_err(|error| format!("{name} cannot read the text of {uri}: {error}"))?;
                let found = read.concat();
                let is_sent = match self.sent.0.get(&content.hash) {
                    None => false,
                    Some(Text::Small(bytes)) => found == bytes.as_ref(),
                    Some(Text::Large { write, uri }) => {
                        let parts = parts(&self.plan, write, uri).into_iter().enumerate();
                        found
                            == parts
                                .flat_map(|(number, part)| part.bytes(number, write, uri))
                                .collect::<Vec<u8>>()
                    }
                };
                if !is_sent {
                    return Err(format!(
                        "{name} shows a text of {uri} that nobody sent: {} bytes",
                        found.len()
                    ));
                }
            }
        }
        Ok(())
    }
}
