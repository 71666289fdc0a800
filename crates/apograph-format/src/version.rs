//! A version: immutable, named by the hash of its stored bytes.

use bytes::Bytes;
use prost::Message;

use crate::{Hash, Properties, Uri, proto};

/// One saved state of a document. Its id is the BLAKE3 of [`Version::encode`]; those bytes are stored and sent as
/// they are and never encoded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Counted from one per URI.
    pub number: u64,
    /// Ids of the versions it was made from.
    pub parents: Vec<Hash>,
    /// What the application calls this sort of document.
    pub r#type: String,
    /// What the application knows of it.
    pub properties: Properties,
    /// The content, if it has one.
    pub content: Option<Content>,
    /// Who wrote it.
    pub author: String,
    /// When, microseconds since 1970.
    pub time: i64,
    /// Why.
    pub comment: String,
    /// Where it came from, if not written here.
    pub origin: Option<Origin>,
}

/// A content, as a version names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// BLAKE3 of all its bytes.
    pub hash: Hash,
    /// How many.
    pub bytes: u64,
    /// What they are.
    pub media_type: String,
}

/// Where a version came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The document it was moved or copied from, and that document's version.
    pub document: Option<(Uri, Option<Hash>)>,
    /// Peers: the server it was written on.
    pub server: String,
    /// Importers: its name in the system it came from.
    pub external: String,
}

/// Stored bytes are no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("version body cannot be read: {reason}")]
pub struct VersionError {
    /// What is wrong.
    pub reason: String,
}

impl Version {
    /// Stored form.
    pub fn encode(&self) -> Bytes {
        proto::Version {
            number: self.number,
            parents: self.parents.iter().map(hash_bytes).collect(),
            r#type: self.r#type.clone(),
            properties: Bytes::copy_from_slice(self.properties.as_str().as_bytes()),
            content: self.content.as_ref().map(|content| proto::Content {
                hash: hash_bytes(&content.hash),
                bytes: content.bytes,
                media_type: content.media_type.clone(),
            }),
            author: self.author.clone(),
            time: self.time,
            comment: self.comment.clone(),
            origin: self.origin.as_ref().map(|origin| proto::Origin {
                uri: origin.document.as_ref().map(|(uri, _)| uri.to_string()).unwrap_or_default(),
                version: origin
                    .document
                    .as_ref()
                    .and_then(|(_, id)| id.as_ref())
                    .map(hash_bytes)
                    .unwrap_or_default(),
                server: origin.server.clone(),
                external: origin.external.clone(),
            }),
        }
        .encode_to_vec()
        .into()
    }

    /// Only the name of the content and the type, for those who need nothing else.
    pub fn content_and_type(bytes: &[u8]) -> Result<(Option<Hash>, String), VersionError> {
        let version =
            proto::Version::decode(bytes).map_err(|error| VersionError { reason: error.to_string() })?;
        let Some(content) = version.content else {
            return Ok((None, version.r#type));
        };
        match Hash::from_slice(&content.hash) {
            Some(content) => Ok((Some(content), version.r#type)),
            None => Err(VersionError { reason: "a hash has 32 bytes".into() }),
        }
    }

    /// Reads stored bytes. The caller has checked their hash.
    pub fn decode(bytes: &[u8]) -> Result<Version, VersionError> {
        let refused = |reason: String| VersionError { reason };
        let version = proto::Version::decode(bytes).map_err(|error| refused(error.to_string()))?;
        let hash =
            |bytes: &Bytes| Hash::from_slice(bytes).ok_or_else(|| refused("a hash has 32 bytes".into()));
        let content = match &version.content {
            None => None,
            Some(content) => Some(Content {
                hash: hash(&content.hash)?,
                bytes: content.bytes,
                media_type: content.media_type.clone(),
            }),
        };
        Ok(Version {
            number: version.number,
            parents: version.parents.iter().map(hash).collect::<Result<_, _>>()?,
            r#type: version.r#type,
            properties: Properties::from_stored(&version.properties)
                .map_err(|error| refused(error.to_string()))?,
            content,
            author: version.author,
            time: version.time,
            comment: version.comment,
            origin: version.origin.map(read_origin).transpose()?,
        })
    }
}

fn read_origin(origin: proto::Origin) -> Result<Origin, VersionError> {
    let refused = |reason: String| VersionError { reason };
    let document = match origin.uri.as_str() {
        "" => None,
        uri => {
            let uri = Uri::parse(uri).map_err(|error| refused(error.to_string()))?;
            Some((uri, Hash::from_slice(&origin.version)))
        }
    };
    Ok(Origin { document, server: origin.server, external: origin.external })
}

pub(crate) fn hash_bytes(hash: &Hash) -> Bytes {
    Bytes::copy_from_slice(&hash.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let version = Version {
            number: 3,
            parents: vec![Hash::of(b"two")],
            r#type: "article".into(),
            properties: Properties::parse(r#"{"title":"x"}"#).unwrap(),
            content: Some(Content { hash: Hash::of(b"c"), bytes: 1, media_type: "text/plain".into() }),
            author: "ann".into(),
            time: -5,
            comment: "why".into(),
            origin: Some(Origin {
                document: Some((Uri::parse("/old").unwrap(), Some(Hash::of(b"two")))),
                server: String::new(),
                external: "git:abc".into(),
            }),
        };
        assert_eq!(Version::decode(&version.encode()), Ok(version));
        assert!(Version::decode(b"\xff\xff").is_err());
    }
}
