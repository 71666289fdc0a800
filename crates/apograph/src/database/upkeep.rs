//! Work that nobody waits for: flushing and merging the stores, and taking purged bytes out of all files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use apograph_format::seeded::{self, Seeded};
use apograph_journal::Journal;
use apograph_store::{PendingErasure, Store, StoreError};

use super::worker::chain;
use crate::stand_back;

/// How often an idle store is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Threads that maintain the stores of a database.
pub(super) struct Upkeep {
    stop: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl Upkeep {
    pub(super) fn start(name: &str, stores: &[Arc<Store>]) -> Upkeep {
        let stop = Arc::new(AtomicBool::new(false));
        let handle = |(work, duty): (&str, Duty)| {
            let (stores, stop) = (stores.to_vec(), Arc::clone(&stop));
            let thread = std::thread::Builder::new().name(format!("{name} {work}"));
            thread
                .spawn(move || {
                    stand_back();
                    maintain(&stores, duty, &stop);
                })
                .expect("the operating system gives a thread at start")
        };
        let handles = [("flush", Duty::Flush), ("upkeep 1", Duty::All), ("upkeep 2", Duty::All)].map(handle);
        Upkeep { stop, handles: handles.into() }
    }
}

/// Dropping it stops the threads and waits for them, so that nobody holds the stores any more.
impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for handle in self.handles.drain(..) {
            let _ = handle.join();
        }
    }
}

/// What a thread does.
#[derive(Debug, Clone, Copy)]
enum Duty {
    /// Writes out what is in memory. It never merges: writers would wait for a flush behind two merges that take their time.
    Flush,
    /// That as well, if it comes first, and merges.
    All,
}

fn maintain(stores: &[Arc<Store>], duty: Duty, stop: &Arc<AtomicBool>) {
    let mut failing = vec![false; stores.len()];
    let step = |store: &Store| match duty {
        Duty::Flush => store.flush_gently(stop),
        Duty::All => store.maintain_gently(stop),
    };
    while !stop.load(Ordering::Acquire) {
        if !maintain_each(stores, &mut failing, step) {
            std::thread::sleep(PAUSE);
        }
    }
}

/// One step for every store; answers whether there is more to do. A failure is said once: writers meet the same error when
/// they lend a hand under pressure.
pub(super) fn maintain_once(stores: &[Arc<Store>], failing: &mut [bool]) -> bool {
    maintain_each(stores, failing, Store::maintain)
}

fn maintain_each(
    stores: &[Arc<Store>],
    failing: &mut [bool],
    step: impl Fn(&Store) -> Result<bool, StoreError>,
) -> bool {
    let mut is_more_due = false;
    for (store, failing) in stores.iter().zip(failing) {
        match step(store) {
            Ok(due) => {
                is_more_due |= due;
                *failing = false;
            }
            Err(error) => {
                if !std::mem::replace(failing, true) {
                    tracing::error!(error = %chain(&error), "a store cannot be maintained");
                }
            }
        }
    }
    is_more_due
}

/// Takes purged bytes out of store and journal; forgets the purges that are finished. Idempotent. Answers whether
/// something is left to do: a reader holds a file open.
pub(super) fn erase(store: &Store, journal: &mut Journal) -> Result<bool, String> {
    let pending = erase_from_journal(store, journal)?;
    if pending.is_empty() {
        return Ok(false);
    }
    let is_erased = store.erase(&pending).map_err(|error| chain(&error))?;
    if is_erased {
        store.finish_erasures(&pending).map_err(|error| chain(&error))?;
    }
    Ok(!is_erased)
}

/// The same, but that whoever maintains the store takes them out of it: that writes gigabytes in a large one.
pub(super) fn begin_erasing(store: &Store, journal: &mut Journal) -> Result<(), String> {
    if store.is_erasing() {
        return Ok(());
    }
    let pending = erase_from_journal(store, journal)?;
    if !pending.is_empty() {
        store.ask_erase(pending);
    }
    Ok(())
}

/// What is purged and still in files; out of the journal on return.
fn erase_from_journal(store: &Store, journal: &mut Journal) -> Result<Vec<PendingErasure>, String> {
    let pending = store.pending_erasures().map_err(|error| chain(&error))?;
    let last = pending.iter().map(|erasure| erasure.sequence).max();
    let persisted = store.persisted().map_err(|error| chain(&error))?;
    if last > persisted.map(|progress| progress.position.sequence) {
        // A store that begins behind the purge knows what is to be erased. One that a crash sets back before it would be
        // made again from a journal where bodies are erased that said what they name, and leave that where it is.
        store.flush().map_err(|error| chain(&error))?;
    }
    for erasure in &pending {
        let names = erasure.payloads.iter().copied().collect();
        if !seeded::is(Seeded::PurgeForgotten) {
            // What a purge erases lies before it; what came for nobody may be in that entry itself.
            journal.erase(&names, erasure.sequence + 1).map_err(|error| chain(&error))?;
        }
    }
    Ok(pending)
}
