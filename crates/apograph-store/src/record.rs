//! What the store remembers of a version besides its body, so that it can still be named when the body was purged.

use apograph_format::{Hash, Payload, Version, VersionRef};

use crate::error::StoreError;

/// A version without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// Its id.
    pub id: Hash,
    /// Length of its body.
    pub body_bytes: u32,
    /// Its content.
    pub content: Option<Hash>,
    /// Its type.
    pub r#type: String,
}

impl VersionRecord {
    /// Was the body there when the version came? One that had been purged by then says nothing of itself.
    pub fn is_told(&self) -> bool {
        self.content.is_some() || !self.r#type.is_empty()
    }

    /// Of a version that was brought in an entry. A body that was purged before it came leaves only its length.
    pub(crate) fn of(version: &VersionRef, body: Option<&Payload>) -> Result<VersionRecord, StoreError> {
        let id = version.id;
        let body_bytes = body.map_or(0, |body| body.bytes.len());
        let body_bytes =
            u32::try_from(body_bytes).map_err(|_| StoreError::damaged(format!("version {id}")))?;
        let (content, r#type) = match body.filter(|body| !body.erased) {
            None => (None, String::new()),
            Some(body) => Version::content_and_type(&body.bytes)
                .map_err(|error| StoreError::damaged(format!("version {id}: {error}")))?,
        };
        Ok(VersionRecord { id, body_bytes, content, r#type })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.id.0.to_vec();
        bytes.extend(self.body_bytes.to_le_bytes());
        bytes.push(u8::from(self.content.is_some()));
        bytes.extend(self.content.iter().flat_map(|content| content.0));
        bytes.extend(self.r#type.as_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<VersionRecord> {
        let (id, rest) = bytes.split_first_chunk::<32>()?;
        let (body_bytes, rest) = rest.split_first_chunk::<4>()?;
        let (has_content, rest) = rest.split_first()?;
        let (content, rest) = match has_content {
            0 => (None, rest),
            _ => rest.split_first_chunk::<32>().map(|(content, rest)| (Some(Hash(*content)), rest))?,
        };
        Some(VersionRecord {
            id: Hash(*id),
            body_bytes: u32::from_le_bytes(*body_bytes),
            content,
            r#type: std::str::from_utf8(rest).ok()?.to_owned(),
        })
    }
}
