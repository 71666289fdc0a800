//! Threads for bulk work: exports, comparisons, what synchronizations send and take.
//!
//! They get the processor after the threads that serve edits and reads, and there are as few of them as make sense: memory
//! that moves from thread to thread is not given back by the allocator.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinError;

use crate::limits::BACKSTAGE_THREADS;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Backstage(Option<Runtime>);

impl Backstage {
    pub(crate) fn new() -> io::Result<Backstage> {
        let mut builder = Builder::new_current_thread();
        builder.thread_name("backstage").max_blocking_threads(BACKSTAGE_THREADS);
        builder.on_thread_start(apograph::stand_back).build().map(|runtime| Backstage(Some(runtime)))
    }

    /// Runs work that blocks when its turn comes. It ends also when nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match &self.0 {
            Some(runtime) => runtime.spawn_blocking(work).await,
            None => tokio::task::spawn_blocking(work).await,
        }
    }
}

/// Whoever stops the server is a task of another runtime, and must not wait here.
impl Drop for Backstage {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_takes_turns_on_a_few_threads_and_a_panic_ends_none_of_them() {
        let backstage = Arc::new(Backstage::new().unwrap());
        assert!(backstage.run(|| panic!("as tested")).await.unwrap_err().is_panic());
        let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let works = (0..20).map(|number| {
            let (backstage, at_once, most) =
                (Arc::clone(&backstage), Arc::clone(&at_once), Arc::clone(&most));
            tokio::spawn(async move {
                let work = move || {
                    most.fetch_max(at_once.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
                    std::thread::sleep(Duration::from_millis(2));
                    at_once.fetch_sub(1, Ordering::AcqRel);
                    number
                };
                backstage.run(work).await.unwrap()
            })
        });
        let works: Vec<_> = works.collect();
        for (number, work) in works.into_iter().enumerate() {
            assert_eq!(work.await.unwrap(), number);
        }
        assert!((1..=BACKSTAGE_THREADS).contains(&most.load(Ordering::Acquire)));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn its_threads_stand_back() {
        let niceness = || -> i64 {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let fields = stat.rsplit(')').next().unwrap();
            fields.split_whitespace().nth(16).unwrap().parse().unwrap()
        };
        let ours = niceness();
        assert_eq!(Backstage::new().unwrap().run(niceness).await.unwrap(), (ours + 5).min(19));
    }
}
