//! What all runs share: a primary that holds the documents, and whose journal no longer reaches back to its beginning.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use apograph_client::types::Status;
use serde_json::Value;

use super::{Copy, Transfer};
use crate::documents::{Corpus, Documents};
use crate::figures::Report;
use crate::load::{Loaded, load};
use crate::process::{Server, done, eventually};

/// What is kept of a journal that shall not reach back to a copy.
const TIGHT_BYTES: u64 = 16 << 10;

/// How large a run is, and what it may use.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Documents of the primary.
    pub documents: u64,
    /// Partitions of the primary.
    pub partitions: u16,
    /// Of everything random.
    pub seed: u64,
    /// A segment of the primary's journal.
    pub segment_bytes: u64,
    /// What is kept of it.
    pub retention_bytes: u64,
    /// The primary keeps its whole journal: copies follow it from its beginning, and need not synchronize.
    pub whole_journal: bool,
    /// SIGKILLs during a transfer.
    pub kills: u64,
    /// About the time between two of them.
    pub kill_pause_ms: u64,
    /// How much more a killed transfer may send than an undisturbed one.
    pub killed_ratio_max: f64,
    /// Writes beside a transfer.
    pub writes_per_second: u64,
    /// What is kept of the journal meanwhile: less than is written, so that further rounds are needed.
    pub writes_retention_bytes: u64,
    /// How many times slower than it could be that transfer is made by a throttle.
    pub writes_throttle: u64,
    /// Undisturbed times are this long, disturbed ones twice.
    pub phase: Duration,
    /// Whether bounds of time and memory count: they do on a machine that does nothing else, and not in a test.
    pub is_measured: bool,
}

/// A primary with documents, in a folder where copies find place beside it.
#[derive(Debug)]
pub struct Stage {
    /// The folder.
    pub root: PathBuf,
    /// The primary. It runs.
    pub primary: Server,
    /// What it holds, besides what runs add.
    pub documents: Documents,
    /// How large.
    pub scale: Scale,
    /// How the documents came, if they came now.
    pub loaded: Option<Loaded>,
    /// A copy that came from empty, and what that took.
    pub(super) full: Option<(Copy, Transfer)>,
}

impl Scale {
    /// For measurements.
    pub fn large(documents: u64) -> Scale {
        Scale {
            documents,
            partitions: 1,
            seed: 1,
            segment_bytes: 4 << 20,
            retention_bytes: 16 << 20,
            whole_journal: false,
            kills: 50,
            kill_pause_ms: 1000,
            killed_ratio_max: 1.1,
            writes_per_second: 1000,
            writes_retention_bytes: 128 << 20,
            writes_throttle: 3,
            phase: Duration::from_secs(10),
            is_measured: true,
        }
    }

    /// For tests: the same in a few seconds, without bounds of time and memory.
    pub fn small(documents: u64) -> Scale {
        Scale {
            segment_bytes: 64 << 10,
            retention_bytes: 128 << 10,
            kills: 8,
            kill_pause_ms: 200,
            // A batch is a larger part of a few thousand documents.
            killed_ratio_max: 2.0,
            writes_per_second: 100,
            writes_retention_bytes: 256 << 10,
            phase: Duration::from_secs(1),
            is_measured: false,
            ..Scale::large(documents)
        }
    }
}

impl Scale {
    fn retention(&self, bytes: u64) -> Option<u64> {
        (!self.whole_journal).then_some(bytes)
    }
}

impl Stage {
    /// Sets it up in this folder, or goes on with what is there.
    pub fn set_up(root: &Path, scale: Scale) -> Stage {
        let primary = if root.join("primary").exists() {
            Server::at(root, "primary")
        } else {
            Server::init(root, "primary", "primary", None, scale.partitions)
        };
        configure(&primary, scale.segment_bytes, scale.retention(scale.retention_bytes));
        primary.start();
        primary.wait();
        let documents = Documents::new(Corpus::load(), scale.seed, scale.documents);
        let mut stage = Stage { root: root.to_owned(), primary, documents, scale, loaded: None, full: None };
        let loaded = stage.load();
        stage.loaded = (loaded.transactions > 0).then_some(loaded);
        stage
    }

    /// Brings the documents, telling about it as it goes.
    fn load(&self) -> Loaded {
        let (total, started) = (self.documents.transactions(), Instant::now());
        let mut told = Instant::now();
        let tell = |done: u64| {
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                let rate = done as f64 / started.elapsed().as_secs_f64();
                let (resident, peak) = (self.primary.resident_mib(), self.primary.resident_peak_mib());
                eprintln!(
                    "loading: {done} of {total} transactions, {rate:.1}/s, resident {resident} MiB, peak {peak} MiB"
                );
            }
        };
        load(&self.primary.client("admin"), "main", &self.documents, tell).unwrap()
    }

    /// A copy that asks at this port.
    pub(super) fn replica(&self, name: &'static str, port: u16) -> Server {
        let folder = self.root.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        let replica = Server::init(&self.root, name, "replica", Some((&self.primary, "link-replica")), 0);
        replica.point(port, &self.primary);
        replica
    }

    /// Takes the copy that came from empty, with what that took; lets one come if there was none.
    pub(super) fn full_copy(&mut self, report: &mut Report) -> Option<(Copy, Transfer)> {
        if self.full.is_none() {
            for miss in super::full::run(self).misses() {
                report.check("a full transfer before", false, miss);
            }
        }
        self.full.take()
    }

    /// The next series of changes. It is remembered in the folder, so that another run makes others.
    pub(super) fn next_series(&self) -> u64 {
        let path = self.root.join("series");
        let last = fs::read_to_string(&path).map_or(0, |text| text.trim().parse::<u64>().unwrap());
        fs::write(&path, (last + 1).to_string()).unwrap();
        last + 1
    }

    /// From now on the primary keeps so much of its journal. It is started anew.
    pub(super) fn keep_journal(&self, bytes: u64) {
        let segment_bytes = self.scale.segment_bytes.min(bytes / 2);
        self.primary.stop();
        configure(&self.primary, segment_bytes, self.scale.retention(bytes));
        self.primary.start();
        self.primary.wait();
    }

    /// Makes the primary's journal begin behind these sequences, however little was written since.
    pub(super) fn prune_tightly(&self, behind: &[u64]) {
        if self.scale.whole_journal {
            return;
        }
        self.keep_journal(TIGHT_BYTES);
        // A segment is closed when the next entry does not fit.
        for number in 0..3 {
            let text = number.to_string().repeat(TIGHT_BYTES as usize);
            let properties = format!("--properties={{\"text\":\"{text}\"}}");
            done(&mut self.primary.command("editor", &["put", "/tight", &properties]));
        }
        self.prune(behind);
        self.keep_journal(self.scale.retention_bytes);
    }

    /// Waits until the primary's journal begins behind these sequences; starts it anew when it would keep more for its
    /// store's sake.
    pub(super) fn prune(&self, behind: &[u64]) {
        if self.scale.whole_journal {
            return;
        }
        let is_pruned = || {
            let status = self.primary.status();
            let starts = status.as_ref().map(journal_starts).unwrap_or_default();
            !starts.is_empty() && starts.iter().zip(behind).all(|(start, behind)| start > behind)
        };
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(3) {
            if is_pruned() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.primary.stop();
        self.primary.start();
        self.primary.wait();
        eventually("the primary's journal is pruned", is_pruned);
    }
}

fn configure(primary: &Server, segment_bytes: u64, retention_bytes: Option<u64>) {
    primary.configure(|database| {
        database["segment_bytes_max"] = segment_bytes.into();
        database["retention_bytes_max"] = retention_bytes.into();
    });
}

/// Copies a folder with everything in it.
pub(super) fn copy_folder(from: &Path, to: &Path) {
    done(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to));
}

/// Where the journals of a server begin, partition by partition.
pub(super) fn journal_starts(status: &Status) -> Vec<u64> {
    let partitions =
        status.database("main").map(|database| database.partitions.as_slice()).unwrap_or_default();
    partitions.iter().map(|partition| partition.journal_start.sequence).collect()
}

/// Where they end.
pub(super) fn journal_ends(status: &Status) -> Vec<u64> {
    let partitions =
        status.database("main").map(|database| database.partitions.as_slice()).unwrap_or_default();
    partitions.iter().map(|partition| partition.journal_end.sequence).collect()
}

/// `verify` of the command line: equal, or what it says.
pub(crate) fn verify(primary: &Server, copy: &Server) -> Result<(), String> {
    let (url, token) = (copy.url(), copy.token("reader"));
    let arguments =
        ["verify", "--output", "json", "--against", &url, "--against-token-file", &token.to_string_lossy()];
    let output = primary.command("reader", &arguments).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    let verdict: Value = serde_json::from_str(told.lines().next().unwrap_or_default()).unwrap_or_default();
    let is_equal = output.status.success() && verdict["equal"] == true && verdict["behind"] == false;
    if is_equal { Ok(()) } else { Err(told) }
}
