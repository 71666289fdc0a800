//! Work that nobody waits for: flushing and merging the stores, and taking purged bytes out of all files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use apograph_journal::Journal;
use apograph_store::Store;

use super::worker::chain;

/// How often an idle store is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Two threads that maintain the stores of a database: one flushes while the other merges.
pub(super) struct Upkeep {
    stop: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl Upkeep {
    pub(super) fn start(name: &str, stores: &[Arc<Store>]) -> Upkeep {
        let stop = Arc::new(AtomicBool::new(false));
        let handle = |number| {
            let (stores, stop) = (stores.to_vec(), Arc::clone(&stop));
            let thread = std::thread::Builder::new().name(format!("{name} upkeep {number}"));
            thread.spawn(move || maintain(&stores, &stop)).expect("the operating system gives a thread at start")
        };
        let handles = [1, 2].map(handle).into();
        Upkeep { stop, handles }
    }

    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for handle in self.handles {
            let _ = handle.join();
        }
    }
}

fn maintain(stores: &[Arc<Store>], stop: &AtomicBool) {
    let mut failing = false;
    while !stop.load(Ordering::Acquire) {
        let mut is_more_due = false;
        for store in stores {
            match store.maintain() {
                Ok(due) => is_more_due |= due,
                Err(error) if !failing => {
                    // Writers feel it as pressure; the store says so again when it is read.
                    tracing::error!(error = %chain(&error), "a store cannot be maintained");
                    failing = true;
                }
                Err(_) => {}
            }
        }
        if !is_more_due || failing {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Takes purged bytes out of store and journal; forgets the purges that are finished. Idempotent.
pub(super) fn erase(store: &Store, journal: &mut Journal) -> Result<(), String> {
    let pending = store.pending_erasures().map_err(|error| chain(&error))?;
    let mut finished = Vec::new();
    for erasure in pending {
        let names = erasure.payloads.iter().copied().collect();
        journal.erase(&names, erasure.sequence).map_err(|error| chain(&error))?;
        let is_gone = store.erase(&erasure).map_err(|error| chain(&error))?;
        // What is written at the purge's own timestamp stays: the next entry makes room for the deletion.
        if is_gone && erasure.sequence < store.progress().position.sequence {
            finished.push(erasure.sequence);
        }
    }
    if finished.is_empty() {
        return Ok(());
    }
    store.finish_erasures(&finished).map_err(|error| chain(&error))
}
