//! Whose epochs a copy believes that does not hold the documents that name servers: those its source names.
//!
//! A full copy reads them in its own store. A copy of some partitions is told in the handshake, by a list that a server
//! signs which it knows already; the first contact is believed, as it pins the primary's key, and its source's word about
//! others from then on, which is no reason to take that source itself for a primary.

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use serde::{Deserialize, Serialize};

use apograph_format::{DatabaseId, ServerKey};

use crate::database::{Database, Handshake};
use crate::error::TakeError;
use crate::folder::FolderError;
use crate::status::ServerIdentity;

/// Servers of one database; more are not remembered.
const SERVERS_MAX: usize = 1_024;
const SCOPE: &[u8] = b"apograph 2026 known servers";

/// The servers that documents of a database name, and a signature of who read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedServers {
    /// JSON: a list of name, key and URL.
    pub servers: String,
    /// Of the database's identity and this text, in hex.
    pub signature: String,
}

impl SignedServers {
    /// The list, if `signer` signed it for this database.
    pub fn verify(&self, signer: &ServerKey, database: DatabaseId) -> Result<Vec<ServerIdentity>, TakeError> {
        let wrong = |reason: &str| TakeError::Signature { reason: format!("the list of servers: {reason}") };
        let mut bytes = [0; 64];
        hex::decode_to_slice(&self.signature, &mut bytes).map_err(|_| wrong("its signature is no hex"))?;
        let key = VerifyingKey::from_bytes(&signer.0).map_err(|_| wrong("its signer has no key"))?;
        key.verify_strict(&message(database, &self.servers), &Signature::from_bytes(&bytes))
            .map_err(|_| wrong("its signature is not its signer's"))?;
        let mut servers: Vec<ServerIdentity> =
            serde_json::from_str(&self.servers).map_err(|error| wrong(&error.to_string()))?;
        servers.truncate(SERVERS_MAX);
        Ok(servers)
    }
}

fn message(database: DatabaseId, servers: &str) -> Vec<u8> {
    [SCOPE, database.as_bytes(), servers.as_bytes()].concat()
}

/// What a new copy is told at the first contact.
pub(in crate::database) fn told(handshake: &Handshake) -> Vec<ServerIdentity> {
    let signed = handshake.servers.as_ref();
    let told = signed.and_then(|signed| signed.verify(&handshake.server.key, handshake.database).ok());
    told.unwrap_or_default()
}

impl Database {
    /// The servers that documents name, signed by this one.
    pub(in crate::database) fn signed_servers(&self) -> Option<SignedServers> {
        let servers = serde_json::to_string(&self.known_servers()).ok()?;
        let signature = self.shared.key.sign(&message(self.id(), &servers));
        Some(SignedServers { servers, signature: hex::encode(signature.to_bytes()) })
    }

    /// What the source says of servers, if this copy may not hold the documents that name them. A list of a server that is
    /// not known here is not believed. Blocks; durable on return.
    pub fn learn_servers(&self, source: &ServerKey, signed: &SignedServers) -> Result<(), TakeError> {
        let shared = &self.shared;
        let is_believed = shared.file().introduced_by == Some(*source) || shared.knows(source);
        if !shared.is_part() || !is_believed {
            return Ok(());
        }
        let told = signed.verify(source, self.id())?;
        if shared.file().servers == told {
            return Ok(());
        }
        let failed = |reason: String| TakeError::Stopped { reason };
        let noted = self.on_worker(move |worker| -> Result<(), FolderError> {
            worker.shared.change_file(|file| file.servers = told)
        });
        noted.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }
}
