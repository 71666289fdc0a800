//! What a copy and its source say to each other while the copy synchronizes. Byte table: `docs/formats/synchronize.md`.
//!
//! A question is one protobuf message. An answer is a sequence of frames, each with a checksum of its own, and ends with
//! [`SyncFrame::End`]: an answer that stops before it was cut off. Nothing here is stored but in the log of a
//! synchronization that is not finished.

use bytes::{Bytes, BytesMut};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::facts::{FactsError, hash, hashes, optional_uri, refused, version_from_proto, version_to_proto};
use crate::header::Fields;
use crate::version::hash_bytes;
use crate::{
    ContentFact, Digest, Hash, Head, Leaf, PartitionId, Payload, Position, Timestamp, Uri, VersionNames,
    VersionRef, View, proto,
};

/// First bytes of a frame.
pub const SYNC_MAGIC: [u8; 4] = *b"ApoY";
/// Magic, length of the body, CRC32C of the body.
const FRAME_HEADER_BYTES: usize = 12;
/// Longest body of a frame: the list of versions of a document of more than a million of them.
pub const SYNC_FRAME_BYTES_MAX: usize = 64 << 20;
/// Longest question.
pub const SYNC_QUESTION_BYTES_MAX: usize = 4 << 20;

/// A state of a source, to be copied: a commit timestamp, and what every partition is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The commit timestamp that the copy stands at afterwards: that of the last entry which the view shows.
    pub at: Timestamp,
    /// The timestamp that questions name: everything up to it shows nothing else. A source may have forgotten `at`.
    pub reads_at: Timestamp,
    /// Of which view.
    pub view: View,
    /// The partitions, in order.
    pub partitions: Vec<SnapshotPartition>,
}

/// What a partition is in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPartition {
    /// Which.
    pub partition: PartitionId,
    /// The last entry of the copy's journal there.
    pub position: Position,
    /// In a derived view: the entry of the source's journal that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Position>,
    /// Commit timestamp of the last entry that shows in the published view.
    pub last_published: Timestamp,
    /// Bytes of journal up to there.
    pub journal_bytes: u64,
    /// Digest of the view.
    pub digest: Digest,
    /// Its documents.
    pub documents: u64,
}

/// What a copy asks for, of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncQuestion {
    /// Of which view.
    pub view: View,
    /// The snapshot: a commit timestamp of the source.
    pub at: Timestamp,
    /// What the operator leaves out.
    pub scope: SyncScope,
    /// Only tell how much would come.
    pub measure: bool,
    /// What.
    pub ask: Ask,
}

/// What an operator leaves out of a synchronization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncScope {
    /// Documents not changed at or after this commit timestamp; zero leaves out none.
    pub since: Timestamp,
    /// Bodies of all but so many newest versions of a document; zero leaves out none.
    pub max_versions: u64,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The children of nodes of the hash tree: [`SyncFrame::Hashes`].
    Nodes {
        /// Level of the nodes; 0 lies just above the buckets.
        level: u32,
        /// Their numbers.
        nodes: Vec<u32>,
    },
    /// The leaves of buckets: a [`SyncFrame::Leaves`] for each.
    Leaves {
        /// Numbers of the buckets.
        buckets: Vec<u32>,
    },
    /// Documents: a [`SyncFrame::Document`] for each, with the bodies of its versions behind it.
    Documents {
        /// Which.
        wanted: Vec<WantedDocument>,
    },
    /// All documents in the order of their URIs, with all payloads.
    All {
        /// Those behind this one.
        after: Option<Uri>,
    },
    /// Payloads that documents name: a [`SyncFrame::Payload`] or [`SyncFrame::Lost`] for each, in order.
    Payloads {
        /// Which, document by document: a name alone is no permission.
        wanted: Vec<WantedPayloads>,
    },
    /// Published view: a [`SyncFrame::Purged`] for each document that was live once and was purged since.
    Purged {
        /// Since when.
        after: Timestamp,
    },
    /// Cursors of importers: a [`SyncFrame::Cursor`] for each. Nothing in the published view.
    Cursors,
}

/// A document that differs, and what the copy has of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedDocument {
    /// Its place in the hash tree.
    pub place: [u8; 16],
    /// The newest version that the copy has; it has all before it that the source has.
    pub have: Option<VersionRef>,
    /// What the copy has in this place.
    pub uri: Option<Uri>,
}

/// Payloads of a document that the copy lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPayloads {
    /// The document.
    pub uri: Uri,
    /// Their names.
    pub hashes: Vec<Hash>,
}

/// One thing of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncFrame {
    /// Children of nodes, in the order asked for: sixteen for each.
    Hashes(Vec<Hash>),
    /// The leaves of one bucket.
    Leaves {
        /// Its number.
        bucket: u32,
        /// What is in it, in the order of places.
        leaves: Vec<Leaf>,
    },
    /// A document.
    Document(Box<SyncDocument>),
    /// A payload.
    Payload(Payload),
    /// The body of a version, which a purge took at the source.
    Erased(ErasedBody),
    /// A payload that the source cannot read itself.
    Lost {
        /// Its name.
        hash: Hash,
        /// Why.
        reason: String,
    },
    /// A cursor of an importer.
    Cursor {
        /// Its name.
        name: String,
        /// Where it stands.
        position: String,
        /// Since which commit.
        since: Timestamp,
    },
    /// A purged document.
    Purged(Uri),
    /// How much would come.
    Measured(Measured),
    /// Everything was sent.
    End,
}

/// A document at the snapshot, and what the copy lacks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncDocument {
    /// Which.
    pub uri: Uri,
    /// Its head; none when the source has no such document.
    pub head: Option<Head>,
    /// The versions follow those that the copy has; otherwise they are all there are.
    pub extends: bool,
    /// Number and id, oldest first.
    pub versions: Vec<VersionRef>,
    /// Bodies of versions below this number are not sent.
    pub kept_from: u64,
    /// The contents that versions with bodies name.
    pub contents: Vec<ContentFact>,
    /// It was not changed since the time asked for: nothing of it is sent.
    pub left_out: bool,
    /// Bodies of these versions that a purge took at the source. Frames behind the document say so; here it is put by the
    /// copy, in its log.
    pub erased: Vec<ErasedBody>,
}

/// What is left of the body of a version that a purge took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasedBody {
    /// The version, and what it named: its content may be named by others, and has to stay then.
    pub names: VersionNames,
    /// Length of the body.
    pub bytes: u32,
}

/// How much would come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    /// Documents.
    pub documents: u64,
    /// Bytes of bodies and contents; those that the copy has already are counted as well.
    pub bytes: u64,
    /// Documents that the scope leaves out.
    pub left_out: u64,
}

/// An answer carries something else than frames, or damaged ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncFrameError {
    /// No frame begins here.
    #[error("the answer carries something else than frames: {found:02x?}")]
    Magic {
        /// What is there.
        found: [u8; 4],
    },
    /// Longer than any frame may be.
    #[error("a frame of {bytes} bytes is too long")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Damaged.
    #[error("a frame is damaged: its bytes do not match their checksum")]
    Checksum,
    /// A document that this software does not understand, because its source's is newer, say. The frames behind it can be
    /// taken.
    #[error("{uri}: {reason}")]
    Document {
        /// Which.
        uri: Uri,
        /// What is not understood.
        reason: String,
    },
    /// It cannot be read.
    #[error(transparent)]
    Facts(#[from] FactsError),
}

impl SyncQuestion {
    /// The bytes of a question.
    pub fn encode(&self) -> Vec<u8> {
        use proto::synchronize_question::Ask as P;
        let ask = match &self.ask {
            Ask::Nodes { level, nodes } => P::Nodes(proto::AskNodes { level: *level, nodes: nodes.clone() }),
            Ask::Leaves { buckets } => P::Leaves(proto::AskLeaves { buckets: buckets.clone() }),
            Ask::Documents { wanted } => {
                P::Documents(proto::AskDocuments { wanted: wanted.iter().map(wanted_to_proto).collect() })
            }
            Ask::All { after } => {
                P::All(proto::AskAll { after: after.as_ref().map(Uri::to_string).unwrap_or_default() })
            }
            Ask::Payloads { wanted } => {
                let of = |wanted: &WantedPayloads| proto::WantedPayloads {
                    uri: wanted.uri.to_string(),
                    hashes: wanted.hashes.iter().map(hash_bytes).collect(),
                };
                P::Payloads(proto::AskPayloads { wanted: wanted.iter().map(of).collect() })
            }
            Ask::Purged { after } => P::Purged(proto::AskPurged { after: after.0 }),
            Ask::Cursors => P::Cursors(proto::AskCursors {}),
        };
        proto::SynchronizeQuestion {
            view: u32::from(self.view.tag()),
            at: self.at.0,
            since: self.scope.since.0,
            max_versions: self.scope.max_versions,
            measure: self.measure,
            ask: Some(ask),
        }
        .encode_to_vec()
    }

    /// Reads a question.
    pub fn decode(bytes: Bytes) -> Result<SyncQuestion, FactsError> {
        use proto::synchronize_question::Ask as P;
        let question = proto::SynchronizeQuestion::decode(bytes).map_err(refused)?;
        let ask = match question.ask.ok_or_else(|| refused("nothing is asked for"))? {
            P::Nodes(ask) => Ask::Nodes { level: ask.level, nodes: ask.nodes },
            P::Leaves(ask) => Ask::Leaves { buckets: ask.buckets },
            P::Documents(ask) => Ask::Documents {
                wanted: ask.wanted.into_iter().map(wanted_from_proto).collect::<Result<_, _>>()?,
            },
            P::All(ask) => Ask::All { after: optional_uri(&ask.after)? },
            P::Payloads(ask) => Ask::Payloads {
                wanted: ask.wanted.into_iter().map(wanted_payloads).collect::<Result<_, _>>()?,
            },
            P::Purged(ask) => Ask::Purged { after: Timestamp(ask.after) },
            P::Cursors(_) => Ask::Cursors,
        };
        let view = u8::try_from(question.view).ok().and_then(View::from_tag);
        Ok(SyncQuestion {
            view: view.ok_or_else(|| refused(format!("unknown view {}", question.view)))?,
            at: Timestamp(question.at),
            scope: SyncScope { since: Timestamp(question.since), max_versions: question.max_versions },
            measure: question.measure,
            ask,
        })
    }
}

impl SyncFrame {
    /// The bytes of a frame, with its header.
    pub fn encode(&self) -> Vec<u8> {
        use proto::synchronize_frame::Frame as P;
        let frame = match self {
            SyncFrame::Hashes(hashes) => {
                P::Hashes(hashes.iter().flat_map(|hash| hash.0).collect::<Vec<_>>().into())
            }
            SyncFrame::Leaves { bucket, leaves } => {
                let bytes: Vec<u8> =
                    leaves.iter().flat_map(|leaf| leaf.place.into_iter().chain(leaf.hash.0)).collect();
                P::Leaves(proto::BucketLeaves { bucket: *bucket, leaves: bytes.into() })
            }
            SyncFrame::Document(document) => P::Document(document.to_proto()),
            SyncFrame::Payload(payload) => P::Payload(payload_to_proto(payload)),
            SyncFrame::Erased(body) => P::Payload(body.to_proto()),
            SyncFrame::Lost { hash, reason } => P::Payload(proto::SynchronizedPayload {
                hash: hash_bytes(hash),
                lost: reason.clone(),
                ..proto::SynchronizedPayload::default()
            }),
            SyncFrame::Cursor { name, position, since } => P::Cursor(proto::SynchronizedCursor {
                name: name.clone(),
                position: position.clone(),
                since: since.0,
            }),
            SyncFrame::Purged(uri) => P::Purged(uri.to_string()),
            SyncFrame::Measured(measured) => P::Measured(proto::Measured {
                documents: measured.documents,
                bytes: measured.bytes,
                left_out: measured.left_out,
            }),
            SyncFrame::End => P::End(proto::End {}),
        };
        framed(&proto::SynchronizeFrame { frame: Some(frame) })
    }

    /// Takes the next whole frame from the front of `buffer`, and answers its bytes as well; `None` while it is not
    /// complete. A frame that is refused for what is in it has been taken, too.
    pub fn take(buffer: &mut BytesMut) -> Result<Option<(SyncFrame, Bytes)>, SyncFrameError> {
        let Some(header) = buffer.first_chunk::<FRAME_HEADER_BYTES>().copied() else {
            return Ok(None);
        };
        let (magic, rest) = header.split_at(4);
        if magic != SYNC_MAGIC {
            return Err(SyncFrameError::Magic { found: *header.first_chunk().unwrap_or(&[0; 4]) });
        }
        let mut fields = Fields(rest);
        let (length, checksum) = (fields.u32() as usize, fields.u32());
        if length > SYNC_FRAME_BYTES_MAX {
            return Err(SyncFrameError::TooLong { bytes: length });
        }
        if buffer.len() < FRAME_HEADER_BYTES + length {
            buffer.reserve(FRAME_HEADER_BYTES + length - buffer.len());
            return Ok(None);
        }
        let whole = buffer.split_to(FRAME_HEADER_BYTES + length).freeze();
        let body = whole.slice(FRAME_HEADER_BYTES..);
        if crc32c::crc32c(&body) != checksum {
            return Err(SyncFrameError::Checksum);
        }
        Ok(Some((SyncFrame::decode(body)?, whole)))
    }

    fn decode(body: Bytes) -> Result<SyncFrame, SyncFrameError> {
        use proto::synchronize_frame::Frame as P;
        let frame = proto::SynchronizeFrame::decode(body).map_err(refused)?;
        Ok(match frame.frame.ok_or_else(|| refused("an empty frame"))? {
            P::Hashes(bytes) => {
                let (hashes, rest) = bytes.as_chunks::<32>();
                if !rest.is_empty() {
                    return Err(refused("a hash has 32 bytes").into());
                }
                SyncFrame::Hashes(hashes.iter().map(|hash| Hash(*hash)).collect())
            }
            P::Leaves(leaves) => {
                let (pairs, rest) = leaves.leaves.as_chunks::<48>();
                if !rest.is_empty() {
                    return Err(refused("a leaf has 48 bytes").into());
                }
                SyncFrame::Leaves { bucket: leaves.bucket, leaves: pairs.iter().map(leaf).collect() }
            }
            P::Document(document) => {
                let uri = Uri::parse(&document.uri).map_err(refused)?;
                let document = SyncDocument::from_proto(uri.clone(), document);
                let document =
                    document.map_err(|error| SyncFrameError::Document { uri, reason: error.reason })?;
                SyncFrame::Document(Box::new(document))
            }
            P::Payload(payload) if !payload.lost.is_empty() => {
                SyncFrame::Lost { hash: hash(&payload.hash)?, reason: payload.lost }
            }
            P::Payload(payload) if payload.named.is_some() => {
                SyncFrame::Erased(ErasedBody::from_proto(payload)?)
            }
            P::Payload(payload) => SyncFrame::Payload(payload_from_proto(payload)?),
            P::Cursor(cursor) => SyncFrame::Cursor {
                name: cursor.name,
                position: cursor.position,
                since: Timestamp(cursor.since),
            },
            P::Purged(uri) => SyncFrame::Purged(Uri::parse(&uri).map_err(refused)?),
            P::Measured(measured) => SyncFrame::Measured(Measured {
                documents: measured.documents,
                bytes: measured.bytes,
                left_out: measured.left_out,
            }),
            P::End(_) => SyncFrame::End,
        })
    }
}

fn framed(frame: &proto::SynchronizeFrame) -> Vec<u8> {
    let length = frame.encoded_len();
    let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES + length);
    bytes.extend(SYNC_MAGIC);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend([0; 4]);
    frame.encode(&mut bytes).expect("a vector grows");
    let (header, body) = bytes.split_at_mut(FRAME_HEADER_BYTES);
    let checksum = crc32c::crc32c(body).to_le_bytes();
    header.last_chunk_mut::<4>().expect("a header has twelve bytes").copy_from_slice(&checksum);
    bytes
}

impl SyncDocument {
    fn to_proto(&self) -> proto::SynchronizedDocument {
        proto::SynchronizedDocument {
            uri: self.uri.to_string(),
            head: self.head.as_ref().map(Head::to_proto),
            extends: self.extends,
            versions: self.versions.iter().map(version_to_proto).collect(),
            kept_from: self.kept_from,
            contents: self.contents.iter().map(ContentFact::to_proto).collect(),
            left_out: self.left_out,
            erased: self.erased.iter().map(ErasedBody::to_proto).collect(),
        }
    }

    fn from_proto(uri: Uri, document: proto::SynchronizedDocument) -> Result<SyncDocument, FactsError> {
        Ok(SyncDocument {
            uri,
            head: document.head.map(Head::from_proto).transpose()?,
            extends: document.extends,
            versions: document.versions.iter().map(version_from_proto).collect::<Result<_, _>>()?,
            kept_from: document.kept_from,
            contents: document.contents.into_iter().map(ContentFact::from_proto).collect::<Result<_, _>>()?,
            left_out: document.left_out,
            erased: document.erased.into_iter().map(ErasedBody::from_proto).collect::<Result<_, _>>()?,
        })
    }
}

impl ErasedBody {
    fn to_proto(&self) -> proto::SynchronizedPayload {
        proto::SynchronizedPayload {
            hash: hash_bytes(&self.names.id),
            erased: true,
            length: self.bytes.into(),
            named: Some(self.names.to_proto()),
            ..proto::SynchronizedPayload::default()
        }
    }

    fn from_proto(payload: proto::SynchronizedPayload) -> Result<ErasedBody, FactsError> {
        let named = payload.named.ok_or_else(|| refused("an erased version that names nothing"))?;
        let names = VersionNames::from_proto(named)?;
        let is_allowed = payload.length <= SYNC_FRAME_BYTES_MAX as u64;
        let bytes = u32::try_from(payload.length).ok().filter(|_| is_allowed);
        let bytes =
            bytes.ok_or_else(|| refused(format!("payload {} of {} bytes", names.id, payload.length)))?;
        Ok(ErasedBody { names, bytes })
    }
}

fn wanted_to_proto(wanted: &WantedDocument) -> proto::WantedDocument {
    proto::WantedDocument {
        place: Bytes::copy_from_slice(&wanted.place),
        have: wanted.have.as_ref().map(version_to_proto),
        uri: wanted.uri.as_ref().map(Uri::to_string).unwrap_or_default(),
    }
}

fn wanted_from_proto(wanted: proto::WantedDocument) -> Result<WantedDocument, FactsError> {
    Ok(WantedDocument {
        place: wanted.place.as_ref().try_into().map_err(|_| refused("a place has 16 bytes"))?,
        have: wanted.have.as_ref().map(version_from_proto).transpose()?,
        uri: optional_uri(&wanted.uri)?,
    })
}

fn payload_to_proto(payload: &Payload) -> proto::SynchronizedPayload {
    proto::SynchronizedPayload {
        hash: hash_bytes(&payload.hash),
        bytes: if payload.erased { Bytes::new() } else { payload.bytes.clone() },
        erased: payload.erased,
        length: payload.bytes.len() as u64,
        ..proto::SynchronizedPayload::default()
    }
}

fn wanted_payloads(wanted: proto::WantedPayloads) -> Result<WantedPayloads, FactsError> {
    let uri = Uri::parse(&wanted.uri).map_err(refused)?;
    Ok(WantedPayloads { uri, hashes: hashes(&wanted.hashes)? })
}

/// The bytes must be those that the name promises.
fn payload_from_proto(payload: proto::SynchronizedPayload) -> Result<Payload, FactsError> {
    let name = hash(&payload.hash)?;
    if payload.erased {
        let length = usize::try_from(payload.length).unwrap_or(usize::MAX);
        if length > SYNC_FRAME_BYTES_MAX {
            return Err(refused(format!("payload {name} of {length} bytes")));
        }
        return Ok(Payload::erased(name, length));
    }
    let found = Hash::of(&payload.bytes);
    if found != name {
        return Err(refused(format!("payload {name} holds other bytes: they hash to {found}")));
    }
    Ok(Payload { hash: name, erased: false, bytes: payload.bytes })
}

fn leaf(bytes: &[u8; 48]) -> Leaf {
    let (place, hash) = bytes.split_at(16);
    Leaf {
        place: place.try_into().expect("sixteen of 48 bytes"),
        hash: Hash(hash.try_into().expect("32 of 48 bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::sample_head;

    fn erased_body() -> ErasedBody {
        let names = VersionNames { id: Hash::of(b"e"), content: Some(Hash::of(b"x")), r#type: "news".into() };
        ErasedBody { names, bytes: 300 }
    }

    fn frames() -> Vec<SyncFrame> {
        let (hash, uri) = (Hash::of(b"x"), Uri::parse("/news/1").unwrap());
        let document = SyncDocument {
            uri: uri.clone(),
            head: Some(sample_head()),
            extends: true,
            versions: vec![VersionRef { number: 3, id: hash }],
            kept_from: 2,
            contents: vec![ContentFact { hash, bytes: 1, chunks: vec![hash] }],
            left_out: false,
            erased: vec![erased_body()],
        };
        vec![
            SyncFrame::Hashes(vec![hash, Hash([0; 32])]),
            SyncFrame::Leaves { bucket: 7, leaves: vec![Leaf { place: [3; 16], hash }] },
            SyncFrame::Document(Box::new(document)),
            SyncFrame::Payload(Payload::of(b"body".as_slice())),
            SyncFrame::Payload(Payload::erased(hash, 12)),
            SyncFrame::Erased(erased_body()),
            SyncFrame::Lost { hash, reason: "damaged".into() },
            SyncFrame::Cursor { name: "git".into(), position: "abc".into(), since: Timestamp(5) },
            SyncFrame::Purged(uri),
            SyncFrame::Measured(Measured { documents: 1, bytes: 2, left_out: 3 }),
            SyncFrame::End,
        ]
    }

    #[test]
    fn frames_come_back_from_pieces_of_any_size() {
        let bytes: Vec<u8> = frames().iter().flat_map(SyncFrame::encode).collect();
        for size in [1, 7, 4096] {
            let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
            for piece in bytes.chunks(size) {
                buffer.extend_from_slice(piece);
                while let Some((frame, raw)) = SyncFrame::take(&mut buffer).unwrap() {
                    assert_eq!(raw, frame.encode());
                    found.push(frame);
                }
            }
            assert_eq!(found, frames());
        }
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        for frame in frames() {
            let bytes = frame.encode();
            for index in 0..bytes.len() {
                let mut damaged = BytesMut::from(bytes.as_slice());
                damaged[index] ^= 0x20;
                let taken = SyncFrame::take(&mut damaged);
                // A longer length waits for bytes that never come: the answer then ends without its end.
                assert!(matches!(taken, Err(_) | Ok(None)), "byte {index} of {frame:?}");
            }
        }
    }

    #[test]
    fn what_stands_behind_a_document_of_an_unknown_kind_can_be_taken() {
        let Some(SyncFrame::Document(document)) = frames().into_iter().nth(2) else { panic!() };
        let mut document = document.to_proto();
        document.head.as_mut().unwrap().kind = 4_711;
        let frame =
            proto::SynchronizeFrame { frame: Some(proto::synchronize_frame::Frame::Document(document)) };
        let mut buffer = BytesMut::from(framed(&frame).as_slice());
        buffer.extend(SyncFrame::End.encode());
        let error = SyncFrame::take(&mut buffer).unwrap_err();
        assert_eq!(error.to_string(), "/news/1: unknown kind 4711");
        assert!(matches!(SyncFrame::take(&mut buffer), Ok(Some((SyncFrame::End, _)))));
    }

    #[test]
    fn a_payload_under_a_false_name_is_refused() {
        let frame = SyncFrame::Payload(Payload { hash: Hash::of(b"a"), erased: false, bytes: "b".into() });
        let mut bytes = BytesMut::from(frame.encode().as_slice());
        let error = SyncFrame::take(&mut bytes).unwrap_err();
        assert!(error.to_string().contains("holds other bytes"), "{error}");
    }

    #[test]
    fn requests_come_back() {
        let asks = [
            Ask::Nodes { level: 2, nodes: vec![0, 5] },
            Ask::Leaves { buckets: vec![65_535] },
            Ask::Documents {
                wanted: vec![WantedDocument {
                    place: [9; 16],
                    have: Some(VersionRef { number: 2, id: Hash([1; 32]) }),
                    uri: Some(Uri::parse("/a").unwrap()),
                }],
            },
            Ask::All { after: None },
            Ask::All { after: Some(Uri::parse("/a/b").unwrap()) },
            Ask::Payloads {
                wanted: vec![WantedPayloads { uri: Uri::parse("/a").unwrap(), hashes: vec![Hash([4; 32])] }],
            },
            Ask::Purged { after: Timestamp(8) },
            Ask::Cursors,
        ];
        for ask in asks {
            let scope = SyncScope { since: Timestamp(1), max_versions: 10_000 };
            let question =
                SyncQuestion { view: View::Published, at: Timestamp(77), scope, measure: true, ask };
            assert_eq!(SyncQuestion::decode(question.encode().into()).unwrap(), question);
        }
    }
}
