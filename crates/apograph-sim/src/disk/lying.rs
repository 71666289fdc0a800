//! What a disk does to a server that runs on it: it loses its power, fails to sync, is slow or full.

use std::time::Duration;

use super::survival::{Image, Replay, Survival};
use super::{Disk, Held, Node, Operation, State};

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The disk does not answer, or not well.
    Io,
    /// There is no space left.
    Full,
}

/// A disk that keeps no log, knows what of it is safe, and may not keep its word.
#[derive(Debug)]
pub(super) struct Lies {
    replay: Replay,
    /// The power is gone: nothing is done any more.
    is_cut: bool,
    /// Nothing that takes space is done.
    is_full: bool,
    /// So many syncs of files fail from now on.
    failing_syncs: u64,
    failed_syncs: u64,
    /// Each sync takes so much longer.
    sync_delay: Duration,
}

impl Lies {
    fn new(replay: Replay) -> Box<Lies> {
        Box::new(Lies {
            replay,
            is_cut: false,
            is_full: false,
            failing_syncs: 0,
            failed_syncs: 0,
            sync_delay: Duration::ZERO,
        })
    }

    pub(super) fn apply(&mut self, operation: &Operation) {
        self.replay.apply(operation);
    }
}

impl Disk {
    /// An empty disk that may lie. It has no [log](Disk::log): what it keeps is bounded by what is on it.
    pub fn lying() -> Disk {
        let disk = Disk::new();
        disk.state().lies = Some(Lies::new(Replay::new()));
        disk
    }

    /// The same with what a power cut left; all of it is safe.
    pub fn surviving(image: &Image) -> Disk {
        let (replay, last) = Replay::of(image);
        let disk = Disk::new();
        let mut state = disk.state();
        state.nodes = replay.shown().clone();
        state.next = last + 1;
        state.lies = Some(Lies::new(replay));
        drop(state);
        disk
    }

    /// Everything that was done so far is safe.
    pub fn settle(&self) {
        let mut state = self.state();
        let nodes: Vec<Node> = state.nodes.all().collect();
        nodes.into_iter().for_each(|node| state.done(Operation::Sync { node }));
    }

    /// From now on nothing is done any more. Who is told of success was told before.
    pub fn cut(&self) {
        self.lie(|lies| lies.is_cut = true);
    }

    /// What is left of it. `seed` chooses where there is a choice.
    ///
    /// # Panics
    /// If the disk never lies.
    pub fn survivor(&self, survival: Survival, seed: u64) -> Image {
        self.state().lies.as_ref().expect("it lies").replay.image(survival, seed)
    }

    /// The next syncs of files fail, so many; what they were to make durable never will be, although the disk shows it.
    pub fn fail_syncs(&self, count: u64) {
        self.lie(|lies| lies.failing_syncs = count);
    }

    /// How many syncs failed.
    pub fn failed_syncs(&self) -> u64 {
        self.state().lies.as_ref().map_or(0, |lies| lies.failed_syncs)
    }

    /// Each sync takes so much longer from now on.
    pub fn slow_syncs(&self, delay: Duration) {
        self.lie(|lies| lies.sync_delay = delay);
    }

    /// There is no space left from now on, or there is again.
    pub fn full(&self, is_full: bool) {
        self.lie(|lies| lies.is_full = is_full);
    }

    fn lie(&self, change: impl FnOnce(&mut Lies)) {
        if let Some(lies) = &mut self.state().lies {
            change(lies);
        }
    }
}

impl State {
    /// May something be done that takes space, or does not?
    pub(super) fn admit(&self, grows: bool) -> Result<(), Refusal> {
        match &self.lies {
            Some(lies) if lies.is_cut => Err(Refusal::Io),
            Some(lies) if lies.is_full && grows => Err(Refusal::Full),
            _ => Ok(()),
        }
    }

    /// May bytes be written there?
    pub(super) fn admit_write(&self, node: Node, end: u64) -> Result<(), Refusal> {
        let grows = !matches!(self.nodes.get(node), Some(Held::Bytes(bytes)) if end <= bytes.len() as u64);
        self.admit(grows)
    }

    /// Is it synced? If not, what was not safe is lost.
    pub(super) fn admit_sync(&mut self, node: Node) -> Result<(), Refusal> {
        self.admit(false)?;
        let is_file = matches!(self.nodes.get(node), Some(Held::Bytes(_)));
        match &mut self.lies {
            Some(lies) if is_file && lies.failing_syncs > 0 => {
                lies.failing_syncs -= 1;
                lies.failed_syncs += 1;
                lies.replay.lose(node);
                Err(Refusal::Io)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn sync_delay(&self) -> Duration {
        self.lies.as_ref().map_or(Duration::ZERO, |lies| lies.sync_delay)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;

    use super::*;

    /// A disk that is mounted, or nothing where that is not possible.
    fn mounted(disk: &Disk) -> Option<(tempfile::TempDir, super::super::Mounted)> {
        let folder = tempfile::tempdir().unwrap();
        match disk.mount(folder.path()) {
            Ok(mounted) => Some((folder, mounted)),
            Err(error) => {
                println!("skipped: no disk can be mounted here: {error}");
                None
            }
        }
    }

    fn files(image: &Image) -> Vec<(String, Vec<u8>)> {
        let folder = tempfile::tempdir().unwrap();
        image.write(folder.path()).unwrap();
        let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_cut_leaves_what_was_synced_and_the_next_disk_holds_it() {
        let disk = Disk::lying();
        let Some((folder, mounted)) = mounted(&disk) else { return };
        fs::write(folder.path().join("kept"), "kept").unwrap();
        disk.settle();
        fs::write(folder.path().join("lost"), "lost").unwrap();
        disk.cut();
        assert!(fs::write(folder.path().join("late"), "late").is_err());
        drop(mounted);
        let image = disk.survivor(Survival::Nothing, 1);
        assert_eq!(files(&image), [("kept".to_owned(), b"kept".to_vec())]);

        let next = Disk::surviving(&image);
        let _mounted = next.mount(folder.path()).unwrap();
        assert_eq!(fs::read(folder.path().join("kept")).unwrap(), b"kept");
        fs::write(folder.path().join("lost"), "again").unwrap();
        assert_eq!(files(&next.survivor(Survival::Nothing, 1)), files(&image), "what was there is safe");
    }

    /// The disk shows what it lost: only a power cut tells.
    #[test]
    fn what_a_failed_sync_was_to_make_durable_is_lost() {
        let disk = Disk::lying();
        let Some((folder, _mounted)) = mounted(&disk) else { return };
        let path = folder.path().join("file");
        let mut file = File::create(&path).unwrap();
        disk.settle();
        disk.fail_syncs(1);
        file.write_all(b"lost").unwrap();
        assert!(file.sync_all().is_err());
        file.sync_all().unwrap();
        assert_eq!(disk.failed_syncs(), 1);
        assert_eq!(fs::read(&path).unwrap(), b"lost");
        assert_eq!(files(&disk.survivor(Survival::Torn, 1)), [("file".to_owned(), Vec::new())]);
    }

    #[test]
    fn a_full_disk_takes_nothing_that_grows() {
        let disk = Disk::lying();
        let Some((folder, _mounted)) = mounted(&disk) else { return };
        let path = folder.path().join("file");
        fs::write(&path, "1234").unwrap();
        disk.full(true);
        let mut file = File::options().write(true).open(&path).unwrap();
        file.write_all(b"5678").unwrap();
        let full = |error: std::io::Error| error.kind() == std::io::ErrorKind::StorageFull;
        assert!(full(file.write_all(b"9").unwrap_err()));
        assert!(full(File::create(folder.path().join("other")).unwrap_err()));
        disk.full(false);
        file.write_all(b"9").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"56789");
    }
}
