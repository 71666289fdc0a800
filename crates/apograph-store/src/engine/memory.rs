//! The engine in memory: the model that other engines are tested against, and the store of simulations.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;

use super::{Batch, Engine, EngineError, Entries, Erased, KeyRange, Pinned, Pressure, Space, VERSION_MAX};

/// Keeps everything in ordered maps. "Durable" means: survives [`Memory::crash`]. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    state: Arc<RwLock<State>>,
}

#[derive(Debug, Default)]
struct State {
    documents: BTreeMap<Bytes, Versions>,
    bodies: BTreeMap<Bytes, Versions>,
    last: Option<u64>,
    persisted: Option<u64>,
    /// `persisted` when the engine was "opened": writes up to there are replays.
    opened_at: Option<u64>,
    horizon: u64,
}

/// Values of one key by version; `None` is a deletion.
type Versions = BTreeMap<u64, Option<Bytes>>;

impl Memory {
    /// An empty engine.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything after the last flush, as a crash and a new start would.
    pub fn crash(&self) {
        let mut state = self.state_mut();
        let persisted = state.persisted;
        for space in [Space::Documents, Space::Bodies] {
            state.space_mut(space).retain(|_, versions| {
                versions.retain(|version, _| Some(*version) <= persisted);
                !versions.is_empty()
            });
        }
        state.last = persisted;
        state.opened_at = persisted;
    }

    // A panic while the lock is held leaves maps that are whole, so poisoning says nothing here.
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Memory {
    fn write(&self, batch: &Batch, at: u64) -> Result<(), EngineError> {
        batch.check_keys()?;
        if at > VERSION_MAX {
            return Err(EngineError::VersionRange { at });
        }
        let mut state = self.state_mut();
        if Some(at) <= state.opened_at {
            return Ok(());
        }
        if let Some(last) = state.last.filter(|last| at < *last) {
            return Err(EngineError::VersionOrder { at, last });
        }
        for write in batch.writes() {
            let versions = state.space_mut(write.space).entry(write.key.clone()).or_default();
            versions.insert(at, write.value.clone());
        }
        state.last = Some(at);
        Ok(())
    }

    fn get(&self, space: Space, key: &[u8], at: u64) -> Result<Option<Bytes>, EngineError> {
        Ok(self.state().space(space).get(key).and_then(|versions| newest(versions, space, at)))
    }

    fn range(&self, space: Space, keys: &KeyRange, at: u64) -> Entries {
        if keys.is_empty() {
            return Box::new(std::iter::empty());
        }
        let memory = self.clone();
        let upper = keys.upper.clone();
        let mut lower = Bound::Included(keys.lower.clone());
        Box::new(std::iter::from_fn(move || {
            let state = memory.state();
            let end = upper.clone().map_or(Bound::Unbounded, Bound::Excluded);
            let (key, value) = state
                .space(space)
                .range((lower.clone(), end))
                .find_map(|(key, versions)| Some((key.clone(), newest(versions, space, at)?)))?;
            lower = Bound::Excluded(key.clone());
            Some(Ok((key, value)))
        }))
    }

    fn persisted(&self) -> Option<u64> {
        self.state().persisted
    }

    fn flush(&self) -> Result<(), EngineError> {
        let mut state = self.state_mut();
        state.persisted = state.last;
        Ok(())
    }

    fn horizon(&self) -> u64 {
        self.state().horizon
    }

    fn raise_horizon(&self, to: u64) -> Result<(), EngineError> {
        let mut state = self.state_mut();
        state.horizon = state.horizon.max(to);
        Ok(())
    }

    fn maintain(&self) -> Result<bool, EngineError> {
        let mut state = self.state_mut();
        // Never beyond what survives a crash: the version that shadows an older one could go, and the older not return.
        let horizon = state.persisted.map_or(0, |persisted| persisted.min(state.horizon));
        state.documents.retain(|_, versions| {
            prune(versions, horizon);
            !versions.is_empty()
        });
        Ok(false)
    }

    fn pressure(&self) -> Pressure {
        Pressure::None
    }

    fn erase(&self, keys: &[(Space, &[u8])]) -> Result<Erased, EngineError> {
        let mut state = self.state_mut();
        for (space, key) in keys {
            state.space_mut(*space).remove(*key);
        }
        state.persisted = state.last;
        Ok(Erased::Done)
    }

    fn pin(&self) -> Result<Option<Pinned>, EngineError> {
        Ok(None)
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}

impl State {
    fn space(&self, space: Space) -> &BTreeMap<Bytes, Versions> {
        match space {
            Space::Documents => &self.documents,
            Space::Bodies => &self.bodies,
        }
    }

    fn space_mut(&mut self, space: Space) -> &mut BTreeMap<Bytes, Versions> {
        match space {
            Space::Documents => &mut self.documents,
            Space::Bodies => &mut self.bodies,
        }
    }
}

fn newest(versions: &Versions, space: Space, at: u64) -> Option<Bytes> {
    let at = match space {
        Space::Documents => at,
        Space::Bodies => u64::MAX,
    };
    versions.range(..=at).next_back().and_then(|(_, value)| value.clone())
}

/// Drops what nobody can see at or above the horizon.
fn prune(versions: &mut Versions, horizon: u64) {
    let Some((visible, deleted)) =
        versions.range(..=horizon).next_back().map(|(version, value)| (*version, value.is_none()))
    else {
        return;
    };
    versions.retain(|version, _| *version > visible || (*version == visible && !deleted));
}
