//! Where a server has its data.

use std::path::{Path, PathBuf};
use std::time::Duration;

use apograph_bench::small_disk::SmallDisk;

use crate::disk::survival::Survival;
use crate::disk::{Disk, Mounted};

/// A folder with nothing special, a small disk, or one that lies.
#[derive(Debug)]
pub(super) enum Place {
    Folder,
    Small(SmallDisk),
    Lying(Lying),
}

/// A disk that lies, mounted on a folder.
#[derive(Debug)]
pub(super) struct Lying {
    folder: PathBuf,
    disk: Disk,
    mounted: Option<Mounted>,
    /// Of disks before.
    failed_syncs: u64,
}

impl Lying {
    /// Mounts an empty one on a folder that it makes.
    pub(super) fn mount(folder: &Path) -> std::io::Result<Lying> {
        std::fs::create_dir_all(folder)?;
        let disk = Disk::lying();
        let mounted = disk.mount(folder)?;
        Ok(Lying { folder: folder.to_owned(), disk, mounted: Some(mounted), failed_syncs: 0 })
    }

    pub(super) fn settle(&self) {
        self.disk.settle();
    }

    /// Nothing reaches it any more. Whoever runs on it has to be ended before it is [back](Lying::survive).
    pub(super) fn cut(&self) {
        self.disk.cut();
    }

    /// The power is back, and this is what is left.
    pub(super) fn survive(&mut self, survival: Survival, seed: u64) {
        self.failed_syncs += self.disk.failed_syncs();
        self.mounted = None;
        self.disk = Disk::surviving(&self.disk.survivor(survival, seed));
        self.mounted = Some(self.disk.mount(&self.folder).expect("it could be mounted before"));
    }

    pub(super) fn fail_syncs(&self, count: u64) {
        self.disk.fail_syncs(count);
    }

    pub(super) fn slow_syncs(&self, milliseconds: u64) {
        self.disk.slow_syncs(Duration::from_millis(milliseconds));
    }

    pub(super) fn full(&self, is_full: bool) {
        self.disk.full(is_full);
    }

    pub(super) fn failed_syncs(&self) -> u64 {
        self.failed_syncs + self.disk.failed_syncs()
    }
}
