//! What every copy must equal at a place in the journal, signed by the primary. Statement: `docs/formats/checkpoint.md`.

use bytes::Bytes;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::facts::{FactsError, Published, hash, refused, source_from_proto, source_to_proto};
use crate::version::hash_bytes;
use crate::{DatabaseId, Digest, Epoch, PartitionId, Position, ServerKey, SourcePosition, View, proto};

/// Facts of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Wall clock of the primary, microseconds since 1970.
    pub clock: i64,
    /// The primary.
    pub signer: ServerKey,
    /// The position before the checkpoint in the primary's journal, which the signatures cover.
    pub at: Position,
    /// One for every view the reader may see.
    pub digests: Vec<SignedDigest>,
    /// In a derived journal: the source entry this one stands for.
    pub source: Option<SourcePosition>,
    /// How it stands in the published view.
    pub published: Option<Published>,
}

/// The digest of one view, and the primary's word for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDigest {
    /// Which view.
    pub view: View,
    /// Hash of its whole state.
    pub digest: Digest,
    /// How many documents are in it.
    pub documents: u64,
    /// Ed25519 over the statement.
    pub signature: [u8; 64],
}

/// A signature is not the primary's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {what} at {at} was not signed by {signer}")]
pub struct SignatureError {
    /// `checkpoint` or `heartbeat`.
    pub what: &'static str,
    /// Where.
    pub at: Position,
    /// Who should have signed.
    pub signer: ServerKey,
}

/// What a digest is about: everything its signature covers besides the digest itself.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Which database.
    pub database: DatabaseId,
    /// Which partition.
    pub partition: PartitionId,
    /// Position before the checkpoint in the primary's journal.
    pub at: Position,
}

impl SignedDigest {
    /// Signs a digest as the primary.
    pub fn sign(key: &SigningKey, scope: &Scope, view: View, digest: Digest, documents: u64) -> SignedDigest {
        let statement = statement(scope, view, &digest, documents);
        SignedDigest { view, digest, documents, signature: key.sign(&statement).to_bytes() }
    }

    /// Is it the word of `signer`?
    pub fn verify(&self, signer: &ServerKey, scope: &Scope) -> Result<(), SignatureError> {
        let statement = statement(scope, self.view, &self.digest, self.documents);
        verify(signer, &statement, &self.signature).ok_or(SignatureError {
            what: "checkpoint",
            at: scope.at,
            signer: *signer,
        })
    }
}

fn statement(scope: &Scope, view: View, digest: &Digest, documents: u64) -> Vec<u8> {
    let mut bytes = b"apograph checkpoint 1\0".to_vec();
    bytes.extend(scope.database.0);
    bytes.extend(scope.partition.0.to_le_bytes());
    bytes.push(view.tag());
    bytes.extend(scope.at.epoch.bits().to_le_bytes());
    bytes.extend(scope.at.sequence.to_le_bytes());
    bytes.extend(scope.at.hash.0);
    bytes.extend(digest.0);
    bytes.extend(documents.to_le_bytes());
    bytes
}

/// Strict verification: small-order keys and non-canonical signatures are refused.
pub(crate) fn verify(signer: &ServerKey, statement: &[u8], signature: &[u8; 64]) -> Option<()> {
    let key = VerifyingKey::from_bytes(signer.as_bytes()).ok()?;
    key.verify_strict(statement, &Signature::from_bytes(signature)).ok()
}

impl Checkpoint {
    /// The digest of `view`, if the checkpoint speaks of it.
    pub fn digest(&self, view: View) -> Option<&SignedDigest> {
        self.digests.iter().find(|digest| digest.view == view)
    }

    pub(crate) fn to_proto(&self) -> proto::Checkpoint {
        proto::Checkpoint {
            clock: self.clock,
            signer: Bytes::copy_from_slice(self.signer.as_bytes()),
            digests: self
                .digests
                .iter()
                .map(|digest| proto::ViewDigest {
                    view: u32::from(digest.view.tag()),
                    digest: hash_bytes(&digest.digest),
                    documents: digest.documents,
                    signature: Bytes::copy_from_slice(&digest.signature),
                })
                .collect(),
            source: self.source.as_ref().map(source_to_proto),
            sequence: self.at.sequence,
            hash: hash_bytes(&self.at.hash),
            epoch: self.at.epoch.bits(),
            published: self.published.map(Published::to_proto),
        }
    }

    pub(crate) fn from_proto(checkpoint: proto::Checkpoint) -> Result<Checkpoint, FactsError> {
        let digest = |digest: &proto::ViewDigest| {
            let view = u8::try_from(digest.view).ok().and_then(View::from_tag);
            Ok(SignedDigest {
                view: view.ok_or_else(|| refused(format!("unknown view {}", digest.view)))?,
                digest: hash(&digest.digest)?,
                documents: digest.documents,
                signature: signature(&digest.signature)?,
            })
        };
        Ok(Checkpoint {
            clock: checkpoint.clock,
            signer: ServerKey::from_slice(&checkpoint.signer).ok_or_else(|| refused("a key has 32 bytes"))?,
            at: Position {
                epoch: Epoch::from_bits(checkpoint.epoch),
                sequence: checkpoint.sequence,
                hash: hash(&checkpoint.hash)?,
            },
            digests: checkpoint.digests.iter().map(digest).collect::<Result<_, _>>()?,
            source: checkpoint.source.map(source_from_proto).transpose()?,
            published: checkpoint.published.map(Published::from_proto),
        })
    }
}

pub(crate) fn signature(bytes: &Bytes) -> Result<[u8; 64], FactsError> {
    bytes.as_ref().try_into().map_err(|_| refused("a signature has 64 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Facts, Hash};

    #[test]
    fn signatures_cover_everything() {
        let key = SigningKey::from_bytes(&[9; 32]);
        let signer = ServerKey(key.verifying_key().to_bytes());
        let at = Position { epoch: Epoch::FIRST, sequence: 2, hash: Hash::of(b"h") };
        let scope = Scope { database: DatabaseId([1; 16]), partition: PartitionId(3), at };
        let signed = SignedDigest::sign(&key, &scope, View::Full, Hash::of(b"state"), 7);
        assert_eq!(signed.verify(&signer, &scope), Ok(()));
        let elsewhere = [
            Scope { database: DatabaseId([2; 16]), ..scope },
            Scope { partition: PartitionId(4), ..scope },
            Scope { at: Position { epoch: Epoch::plain(2), ..at }, ..scope },
            Scope { at: Position { sequence: 3, ..at }, ..scope },
            Scope { at: Position { hash: Hash::of(b"x"), ..at }, ..scope },
        ];
        for scope in elsewhere {
            assert!(signed.verify(&signer, &scope).is_err());
        }
        for altered in [
            SignedDigest { view: View::Published, ..signed.clone() },
            SignedDigest { digest: Hash::of(b"other"), ..signed.clone() },
            SignedDigest { documents: 8, ..signed },
        ] {
            assert!(altered.verify(&signer, &scope).is_err());
        }
        assert!(signed.verify(&ServerKey([0; 32]), &scope).is_err(), "a small-order key signs nothing");

        let facts = Facts::Checkpoint(Checkpoint {
            clock: 5,
            signer,
            at,
            digests: vec![signed],
            source: None,
            published: None,
        });
        assert_eq!(Facts::decode(facts.kind(), facts.encode().into()), Ok(facts));
    }
}
