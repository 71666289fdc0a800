//! Bytes of purged payloads go beside the writer: whole tables are written anew for that, gigabytes in a large store.
//!
//! From the moment that an erasure looks whether anything names a payload until its bytes are gone, it is as if they were gone
//! already: nobody reads them, and whoever brings them again waits for the end.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use apograph_format::Hash;

use crate::error::StoreError;
use crate::purge::PendingErasure;

/// Erasures of a store.
#[derive(Default)]
pub(crate) struct Erasing {
    /// One after the other.
    turn: Mutex<()>,
    /// Somebody waits for his turn, or for the end of one.
    pub(crate) hurry: Arc<AtomicBool>,
    /// Going now.
    going: Mutex<HashSet<Hash>>,
    /// Something goes now: looked at before `going`.
    is_going: AtomicBool,
    gone: Condvar,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// For whoever maintains the store.
    pending: Option<Vec<PendingErasure>>,
    is_under_way: bool,
    /// The last one left something in a file, and why if it failed.
    left: Option<Unerased>,
}

/// An erasure left bytes in files.
#[derive(Debug)]
pub struct Unerased {
    /// Why, if it failed. Otherwise a reader holds a file open, or a payload came again ahead of the transaction that names it.
    pub failure: Option<StoreError>,
}

/// While it lives, payloads are going.
pub(crate) struct Going<'a> {
    erasing: &'a Erasing,
    _turn: MutexGuard<'a, ()>,
}

impl Erasing {
    /// Waits for its turn. With `hurries` the one before takes its time no more.
    pub(crate) fn begin(&self, hurries: bool) -> Going<'_> {
        if hurries {
            self.hurry.store(true, Ordering::Relaxed);
        }
        let turn = lock(&self.turn);
        self.hurry.store(false, Ordering::Relaxed);
        Going { erasing: self, _turn: turn }
    }

    /// Is it as if this payload were gone?
    pub(crate) fn is_going(&self, hash: &Hash) -> bool {
        self.is_going.load(Ordering::Acquire) && lock(&self.going).contains(hash)
    }

    /// Waits until this payload is gone, if it is going.
    pub(crate) fn wait_for(&self, hash: &Hash) {
        if !self.is_going(hash) {
            return;
        }
        let mut going = lock(&self.going);
        while going.contains(hash) {
            self.hurry.store(true, Ordering::Relaxed);
            going = self.gone.wait(going).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whoever maintains the store is to do this, if nothing is under way.
    pub(crate) fn ask(&self, pending: Vec<PendingErasure>) {
        let mut asked = lock(&self.asked);
        if !asked.is_under_way {
            asked.is_under_way = true;
            asked.pending = Some(pending);
        }
    }

    pub(crate) fn take_asked(&self) -> Option<Vec<PendingErasure>> {
        lock(&self.asked).pending.take()
    }

    pub(crate) fn is_under_way(&self) -> bool {
        lock(&self.asked).is_under_way
    }

    pub(crate) fn ended(&self, left: Option<Unerased>) {
        let mut asked = lock(&self.asked);
        asked.is_under_way = false;
        asked.left = left;
    }

    /// Did the last one leave something? Says so once.
    pub(crate) fn take_left(&self) -> Option<Unerased> {
        lock(&self.asked).left.take()
    }
}

impl Going<'_> {
    /// From here on this one is going.
    pub(crate) fn add(&self, hash: Hash) {
        lock(&self.erasing.going).insert(hash);
        self.erasing.is_going.store(true, Ordering::Release);
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        lock(&self.erasing.going).clear();
        self.erasing.is_going.store(false, Ordering::Release);
        self.erasing.gone.notify_all();
    }
}

// No invariant of these could be half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
