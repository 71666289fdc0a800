//! What the store remembers of a version besides its body, so that it can still be named when the body was purged.

use apograph_format::{Hash, Payload, Version, VersionNames, VersionRef};

use crate::error::StoreError;

/// What a record knows, and from where: the byte before its content. Version 1 of it knew the first two only, and wrote
/// zero also for a version that names nothing.
const NOTHING_KNOWN: u8 = 0;
const CAME_WITH_CONTENT: u8 = 1;
const CAME_WITHOUT: u8 = 2;
const TOLD_WITH_CONTENT: u8 = 3;
const TOLD_WITHOUT: u8 = 4;

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
    /// Where content and type are from.
    pub known: Known,
}

/// Where what a record says of its version is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The body was there when the version came.
    Body,
    /// The body had been purged by then; the facts say what it named.
    Facts,
    /// The body had been purged, or was left out, and the facts say nothing: content and type are not known.
    Nothing,
}

impl VersionRecord {
    /// Was the body there when the version came?
    pub fn came(&self) -> bool {
        self.known == Known::Body
    }

    /// Of a version that was brought. A body that was purged before it came leaves its length, and what the facts say of
    /// it.
    pub(crate) fn of(
        version: &VersionRef,
        body: Option<&Payload>,
        named: Option<&VersionNames>,
    ) -> Result<VersionRecord, StoreError> {
        let id = version.id;
        let body_bytes = body.map_or(0, |body| body.bytes.len());
        let body_bytes =
            u32::try_from(body_bytes).map_err(|_| StoreError::damaged(format!("version {id}")))?;
        let (known, (content, r#type)) = match (body.filter(|body| !body.erased), named) {
            (Some(body), _) => {
                let names = Version::content_and_type(&body.bytes)
                    .map_err(|error| StoreError::damaged(format!("version {id}: {error}")))?;
                (Known::Body, names)
            }
            (None, Some(named)) => (Known::Facts, (named.content, named.r#type.clone())),
            (None, None) => (Known::Nothing, (None, String::new())),
        };
        Ok(VersionRecord { id, body_bytes, content, r#type, known })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.id.0.to_vec();
        bytes.extend(self.body_bytes.to_le_bytes());
        bytes.push(match (self.known, self.content) {
            (Known::Body, Some(_)) => CAME_WITH_CONTENT,
            (Known::Body, None) => CAME_WITHOUT,
            (Known::Facts, Some(_)) => TOLD_WITH_CONTENT,
            (Known::Facts, None) => TOLD_WITHOUT,
            (Known::Nothing, _) => NOTHING_KNOWN,
        });
        bytes.extend(self.content.iter().flat_map(|content| content.0));
        bytes.extend(self.r#type.as_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<VersionRecord> {
        let (id, rest) = bytes.split_first_chunk::<32>()?;
        let (body_bytes, rest) = rest.split_first_chunk::<4>()?;
        let (known, rest) = rest.split_first()?;
        let (content, rest) = match *known {
            CAME_WITH_CONTENT | TOLD_WITH_CONTENT => {
                rest.split_first_chunk::<32>().map(|(content, rest)| (Some(Hash(*content)), rest))?
            }
            NOTHING_KNOWN | CAME_WITHOUT | TOLD_WITHOUT => (None, rest),
            _ => return None,
        };
        let r#type = std::str::from_utf8(rest).ok()?.to_owned();
        let known = match *known {
            TOLD_WITH_CONTENT | TOLD_WITHOUT => Known::Facts,
            // As version 1 wrote one that came.
            NOTHING_KNOWN if r#type.is_empty() => Known::Nothing,
            _ => Known::Body,
        };
        Some(VersionRecord {
            id: Hash(*id),
            body_bytes: u32::from_le_bytes(*body_bytes),
            content,
            r#type,
            known,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: Option<Hash>, r#type: &str, known: Known) -> VersionRecord {
        VersionRecord { id: Hash([7; 32]), body_bytes: 300, content, r#type: r#type.into(), known }
    }

    #[test]
    fn a_version_that_names_nothing_is_not_one_of_which_nothing_is_known() {
        let content = Some(Hash([9; 32]));
        let mut all = vec![record(None, "", Known::Nothing)];
        for known in [Known::Body, Known::Facts] {
            for (content, r#type) in [(None, ""), (None, "news"), (content, ""), (content, "news")] {
                all.push(record(content, r#type, known));
            }
        }
        for record in all {
            assert_eq!(VersionRecord::decode(&record.encode()), Some(record));
        }
    }

    #[test]
    fn records_of_before_there_was_a_difference_are_read() {
        for (r#type, known) in [("", Known::Nothing), ("news", Known::Body)] {
            let mut before = record(None, r#type, Known::Body).encode();
            before[36] = NOTHING_KNOWN;
            assert_eq!(VersionRecord::decode(&before), Some(record(None, r#type, known)));
        }
    }
}
