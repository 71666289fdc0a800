//! Journals within one process: the model of a carrier, for simulation and for the conformance suite.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use apograph_format::{Entry, Position};
use apograph_replication::carrier::{Carrier, Chunks, Cut, JournalRequest, Refusal, RefusalKind};

use crate::conformance::Source;

/// Pieces are of this size, so that entries are cut anywhere.
const PIECE_BYTES: usize = 1_000;

/// A source in memory, and the way to it. Clones are the same source.
#[derive(Debug, Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    refusal: Option<RefusalKind>,
    cut_after: Option<usize>,
    babble: Option<Bytes>,
    gone: bool,
    sent: usize,
}

/// One reader.
#[derive(Debug)]
pub struct MemoryChunks {
    state: Arc<Mutex<State>>,
    changed: watch::Receiver<()>,
    /// Entries that were put into `rest`.
    taken: usize,
    rest: BytesMut,
    sent: usize,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { state: Arc::default(), changed: watch::Sender::new(()) }
    }
}

impl Memory {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut locked(&self.state));
        self.changed.send_replace(());
    }
}

impl Source for Memory {
    type Carrier = Memory;

    fn carrier(&self) -> Memory {
        self.clone()
    }

    fn append(&self, entry: Entry) {
        self.change(|state| state.entries.push(entry));
    }

    fn refuse(&self, kind: RefusalKind) {
        self.change(|state| state.refusal = Some(kind));
    }

    fn cut_after(&self, bytes: usize) {
        self.change(|state| state.cut_after = Some(bytes));
    }

    fn babble(&self, bytes: &'static [u8]) {
        self.change(|state| state.babble = Some(Bytes::from_static(bytes)));
    }

    fn go_away(&self) {
        self.change(|state| state.gone = true);
    }

    fn sent(&self) -> usize {
        locked(&self.state).sent
    }
}

impl Carrier for Memory {
    type Chunks = MemoryChunks;

    async fn open(&self, request: &JournalRequest) -> Result<MemoryChunks, Refusal> {
        let state = locked(&self.state);
        if state.gone {
            return Err(Refusal::new(RefusalKind::Unavailable, "the source went away"));
        }
        if let Some(kind) = state.refusal {
            return Err(Refusal::new(kind, "the source refuses"));
        }
        if let Some(babble) = &state.babble {
            return Err(Refusal::new(RefusalKind::NotApograph, format!("it says {babble:?}")));
        }
        let taken = behind(&state.entries, &request.from);
        let unknown = || Refusal::new(RefusalKind::UnknownPosition, request.from.to_string());
        let (state, changed) = (Arc::clone(&self.state), self.changed.subscribe());
        Ok(MemoryChunks { state, changed, taken: taken.ok_or_else(unknown)?, rest: BytesMut::new(), sent: 0 })
    }
}

impl Chunks for MemoryChunks {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        loop {
            self.changed.borrow_and_update();
            if let Some(outcome) = self.now() {
                return outcome;
            }
            if self.changed.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

impl MemoryChunks {
    /// What is there without waiting.
    fn now(&mut self) -> Option<Result<Option<Bytes>, Cut>> {
        let mut state = locked(&self.state);
        if state.gone {
            return Some(Ok(None));
        }
        while self.rest.len() < PIECE_BYTES {
            let Some(entry) = state.entries.get(self.taken) else { break };
            self.rest.extend_from_slice(entry.bytes());
            self.taken += 1;
        }
        let allowed = state.cut_after.map_or(usize::MAX, |cut| cut.saturating_sub(self.sent));
        if allowed == 0 {
            return Some(Err(Cut { reason: "the connection broke".into() }));
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES).min(allowed)).freeze();
        self.sent += piece.len();
        state.sent += piece.len();
        (!piece.is_empty()).then_some(Ok(Some(piece)))
    }
}

/// How many entries lie before the one behind `position`.
fn behind(entries: &[Entry], position: &Position) -> Option<usize> {
    let first = entries.first().map(|entry| entry.header().previous_hash);
    if position.sequence == 0 && first.is_none_or(|hash| hash == position.hash) {
        return Some(0);
    }
    entries.iter().position(|entry| entry.position() == *position).map(|index| index + 1)
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
