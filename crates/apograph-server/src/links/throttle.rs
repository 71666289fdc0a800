//! The bound on what a link brings in, shared by its streams and its synchronization.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use apograph_replication::throttle::Bucket;

/// A bound on bytes per second. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Throttle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bucket: Mutex<Bucket>,
    begun: Instant,
    changed: Notify,
}

impl Throttle {
    /// A bound, or none.
    pub(super) fn new(bytes_per_second: Option<u64>) -> Throttle {
        let bucket = Mutex::new(Bucket::new(bytes_per_second));
        Throttle(Arc::new(Shared { bucket, begun: Instant::now(), changed: Notify::new() }))
    }

    /// From now on this bound holds, also for those who wait already.
    pub(super) fn set(&self, bytes_per_second: Option<u64>) {
        let mut bucket = self.bucket();
        if bucket.bytes_per_second() != bytes_per_second {
            bucket.set(bytes_per_second);
            self.0.changed.notify_waiters();
        }
    }

    /// These bytes came.
    pub(super) fn came(&self, bytes: usize) {
        self.bucket().take(bytes, self.0.begun.elapsed());
    }

    /// Waits until the next bytes may come. Not asking for them slows the source down.
    pub(super) async fn pause(&self) {
        loop {
            let changed = self.0.changed.notified();
            let wait = self.bucket().wait(self.0.begun.elapsed());
            if wait.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    use tokio::time::timeout;

    /// Far from what a test takes.
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_new_bound_holds_for_those_who_wait_already() {
        let throttle = Throttle::new(Some(1));
        throttle.came(1_000_000);
        assert!(timeout(Duration::from_millis(20), throttle.pause()).await.is_err(), "eleven days");
        let waits = tokio::spawn({
            let throttle = throttle.clone();
            async move { throttle.pause().await }
        });
        throttle.set(None);
        timeout(LONG, waits).await.unwrap().unwrap();
        timeout(LONG, throttle.pause()).await.unwrap();
    }
}
