//! Tables go to the disk while they are written.
//!
//! The library syncs a table when it is whole. Tens of megabytes then go to the disk at once, and the sync of a journal that
//! comes after them waits: 10 to 30 ms, for every commit of that time. So a thread beside the writer asks the system to write
//! what is there, every few milliseconds, and little is left for the sync. Nothing depends on it: what is durable, and when,
//! is the library's business as before.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{Builder, JoinHandle},
    time::Duration,
};

/// Between two looks: at 200 MB a second about 1 MiB is written meanwhile.
const PAUSE: Duration = Duration::from_millis(5);
/// Less than this is left for the next look.
const PIECE_BYTES: u64 = 256 << 10;
/// Tables of one tree that are written at the same time, by a flush and a merge, with some to spare.
const TABLES_MAX: u64 = 4;

/// As long as it lives, new tables of a folder are written out as they grow.
pub(super) struct Smoothing {
    /// Dropped before the thread is waited for: that wakes it.
    ends: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Smoothing {
    pub(super) fn of(tables: &Path) -> Smoothing {
        let mut growing = Growing { tables: tables.to_owned(), next: 0, files: BTreeMap::new() };
        let (ends, end) = channel();
        let work = move || growing.watch(&end);
        // Without a thread tables are written as ever.
        Smoothing { ends: Some(ends), thread: Builder::new().name("write-out".into()).spawn(work).ok() }
    }
}

impl Drop for Smoothing {
    fn drop(&mut self) {
        self.ends = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The newest tables of a folder: their files are named by numbers that only rise.
struct Growing {
    tables: PathBuf,
    next: u64,
    /// By number: the file, and how much of it the system was asked to write.
    files: BTreeMap<u64, (File, u64)>,
}

impl Growing {
    fn watch(&mut self, end: &Receiver<()>) {
        let names = fs::read_dir(&self.tables).into_iter().flatten().flatten();
        let numbers = names.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
        // The newest one was begun before this thread was, perhaps.
        self.next = numbers.max().unwrap_or_default();
        while end.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
            self.look();
        }
    }

    fn look(&mut self) {
        for number in self.next..self.next + TABLES_MAX {
            if let Ok(file) = File::open(self.tables.join(number.to_string())) {
                self.files.insert(number, (file, 0));
                self.next = number + 1;
            }
        }
        while self.files.len() as u64 > TABLES_MAX {
            self.files.pop_first();
        }
        for (file, asked) in self.files.values_mut() {
            let bytes = file.metadata().map(|found| found.len()).unwrap_or_default();
            if bytes >= *asked + PIECE_BYTES {
                // Whole pages: the last one may be written to again.
                let to = bytes - bytes % 4096;
                write_out(file, *asked, to);
                *asked = to;
            }
        }
    }
}

/// Asks the system to begin writing these bytes. On Linux that is what not needing them any more does first; they stay in
/// its memory, because it only lets go of what was on the disk before.
#[cfg(target_os = "linux")]
fn write_out(file: &File, from: u64, to: u64) {
    let bytes = NonZeroU64::new(to - from);
    let _ = rustix::fs::fadvise(file, from, bytes, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn write_out(_: &File, _: u64, _: u64) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_appear_are_followed_as_they_grow_and_old_ones_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let table = |number: u64| dir.path().join(number.to_string());
        for number in [3, 7] {
            fs::write(table(number), []).unwrap();
        }
        let mut growing = Growing { tables: dir.path().to_owned(), next: 7, files: BTreeMap::new() };
        growing.look();
        assert_eq!(growing.files.keys().copied().collect::<Vec<_>>(), [7]);
        fs::write(table(7), vec![1; (256 << 10) + 5]).unwrap();
        fs::write(table(9), vec![1; 100]).unwrap();
        growing.look();
        let asked = |growing: &Growing, number| growing.files[&number].1;
        assert_eq!((asked(&growing, 7), asked(&growing, 9)), (PIECE_BYTES, 0));
        for number in 10..14 {
            fs::write(table(number), []).unwrap();
            growing.look();
        }
        assert_eq!(growing.files.keys().copied().collect::<Vec<_>>(), [10, 11, 12, 13]);
    }

    #[test]
    fn it_ends_with_its_owner_and_needs_no_folder() {
        drop(Smoothing::of(Path::new("/nowhere")));
    }
}
