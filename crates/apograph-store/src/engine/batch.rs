//! What goes into an engine (a batch of writes) and which keys are read (a range).

use bytes::Bytes;

use super::{EngineError, KEY_BYTES_MAX, RESERVED_KEY, Space};

/// All writes of one version, in the order of their adding; the last write of a key wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    writes: Vec<Write>,
}

/// One write of a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub space: Space,
    /// 1 to [`KEY_BYTES_MAX`] bytes.
    pub key: Bytes,
    /// The value, or `None` for a deletion (never in [`Space::Bodies`]).
    pub value: Option<Bytes>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a value that may change later.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.push(Space::Documents, key.into(), Some(value.into()));
    }

    /// Deletes a value, from this version on.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.push(Space::Documents, key.into(), None);
    }

    /// Puts an immutable value under its hash.
    pub fn put_body(&mut self, hash: impl Into<Bytes>, body: impl Into<Bytes>) {
        self.push(Space::Bodies, hash.into(), Some(body.into()));
    }

    /// The writes, in order.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    pub(crate) fn check_keys(&self) -> Result<(), EngineError> {
        self.writes.iter().try_for_each(|write| check_key(write.space, &write.key))
    }

    fn push(&mut self, space: Space, key: Bytes, value: Option<Bytes>) {
        self.writes.push(Write { space, key, value });
    }
}

fn check_key(space: Space, key: &[u8]) -> Result<(), EngineError> {
    let reserved = space == Space::Documents && key == RESERVED_KEY;
    if key.is_empty() || key.len() > KEY_BYTES_MAX || reserved {
        return Err(EngineError::Key { space, bytes: key.len() });
    }
    Ok(())
}

/// Keys from `lower` (included) to `upper` (excluded; `None`: no end).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// First key of the range.
    pub lower: Bytes,
    /// First key after the range.
    pub upper: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self::default()
    }

    /// From `lower` (included) to `upper` (excluded).
    pub fn between(lower: impl Into<Bytes>, upper: impl Into<Bytes>) -> Self {
        Self { lower: lower.into(), upper: Some(upper.into()) }
    }

    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let lower = prefix.into();
        let mut upper = lower.to_vec();
        while upper.last() == Some(&u8::MAX) {
            upper.pop();
        }
        if let Some(last) = upper.last_mut() {
            *last += 1;
        }
        Self { lower, upper: (!upper.is_empty()).then(|| upper.into()) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.upper.as_ref().is_some_and(|upper| *upper <= self.lower)
    }
}
