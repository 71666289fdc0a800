//! Faults of the disk, for tests.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

/// What the disk still does. Without a plan everything works.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    /// Changes that still succeed; the next one fails, a write after half of its bytes, and so does all that follows.
    changes_left: Option<u64>,
    sync_fails: bool,
    write_fails: bool,
    /// Where bytes were written, and how many.
    written: Vec<(u64, usize)>,
}

impl Faults {
    pub(crate) fn stop_after(&self, changes: u64) {
        self.0.lock().unwrap().changes_left = Some(changes);
    }

    pub(crate) fn resume(&self) {
        self.0.lock().unwrap().changes_left = None;
    }

    pub(crate) fn fail_syncs(&self, fails: bool) {
        self.0.lock().unwrap().sync_fails = fails;
    }

    pub(crate) fn fail_writes(&self, fails: bool) {
        self.0.lock().unwrap().write_fails = fails;
    }

    /// Where bytes were written since this was asked the last time, and how many.
    pub(crate) fn take_written(&self) -> Vec<(u64, usize)> {
        std::mem::take(&mut self.0.lock().unwrap().written)
    }

    pub(crate) fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.0.lock().unwrap().write_fails {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.0.lock().unwrap().written.push((offset, bytes.len()));
        self.step(true).inspect_err(|_| {
            file.write_all_at(&bytes[..bytes.len() / 2], offset).unwrap();
        })
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        if self.0.lock().unwrap().sync_fails {
            Err(io::Error::other("the disk is gone"))
        } else {
            self.step(false)
        }
    }

    /// One step that does or does not change something.
    pub(crate) fn step(&self, changes: bool) -> io::Result<()> {
        let mut plan = self.0.lock().unwrap();
        match &mut plan.changes_left {
            Some(0) => Err(io::Error::other("the machine has stopped")),
            Some(left) => {
                *left -= u64::from(changes);
                Ok(())
            }
            None => Ok(()),
        }
    }
}
