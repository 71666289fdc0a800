//! What is measured, in the order it happens. Each phase is a process.

use std::{path::Path, time::Instant};

use crate::{
    candidate::{self, Candidate},
    workload::{self, Random, Workload},
};

const POINT_READS: u64 = 100_000;
const SCANS: u64 = 1_000;
const SCAN_ENTRIES: usize = 100;

pub fn run(engine: &str, phase: &str, folder: &Path, documents: u64) {
    let workload = Workload::new(documents);
    match phase {
        "apply" => apply(engine, folder, &workload, documents),
        "recover" => recover(engine, folder, &workload, documents),
        "read" => read(engine, folder, &workload, documents),
        _ => panic!("{phase}: no such phase"),
    }
}

/// Applies nine tenths, makes them durable, applies a little more and crashes.
fn apply(engine: &str, folder: &Path, workload: &Workload, documents: u64) {
    let durable = documents / 10 * 9;
    let mut store = candidate::open(engine, folder);
    let start = Instant::now();
    (0..durable).for_each(|index| store.apply(&workload.transaction(index)));
    store.persist();
    figure("01 apply and persist 90 %, documents/s", durable as f64 / seconds(start));
    store.settle();
    figure("02 the same until merged, documents/s", durable as f64 / seconds(start));
    figure("03 processor time of that, s", processor_seconds());
    (durable..durable + documents / 100).for_each(|index| store.apply(&workload.transaction(index)));
    figure("04 peak memory while applying, MiB", peak_mib());
    std::process::abort();
}

/// Opens after the crash and applies everything that may be missing.
fn recover(engine: &str, folder: &Path, workload: &Workload, documents: u64) {
    let start = Instant::now();
    let mut store = candidate::open(engine, folder);
    figure("05 reopen after the crash, ms", seconds(start) * 1e3);
    let persisted = store.persisted().expect("nine tenths are durable");
    assert!(persisted >= workload::timestamp(documents / 10 * 9 - 1), "durable transactions are lost");
    let start = Instant::now();
    (documents / 10 * 9..documents).for_each(|index| store.apply(&workload.transaction(index)));
    store.persist();
    figure("06 replay and persist 10 %, s", seconds(start));
    store.settle();
    figure("07 on disk, MiB", mib(folder_bytes(folder)));
    figure("08 peak memory while replaying, MiB", peak_mib());
}

/// Reads at random, warm: once unmeasured, once measured.
fn read(engine: &str, folder: &Path, workload: &Workload, documents: u64) {
    let mut store = candidate::open(engine, folder);
    let now = workload::timestamp(documents);
    let micros = |reads: &dyn Fn(&dyn Candidate, &mut Random)| {
        (0..POINT_READS / 10).for_each(|seed| reads(&*store, &mut Random(seed << 32)));
        let start = Instant::now();
        (0..POINT_READS).for_each(|seed| reads(&*store, &mut Random(seed)));
        seconds(start) * 1e6 / POINT_READS as f64
    };
    figure(
        "09 head now, µs",
        micros(&|store, random| {
            let document = workload.document_of(random.below(documents));
            assert!(store.head(&workload::uri(document), now).is_some(), "head of {document}");
        }),
    );
    figure(
        "10 head as of a past moment, µs",
        micros(&|store, random| {
            let (index, at) = workload.past(random);
            let uri = workload::uri(workload.document_of(index));
            assert!(store.head(&uri, at).is_some(), "head of transaction {index} as of {at}");
        }),
    );
    figure(
        "11 content by hash, µs",
        micros(&|store, random| {
            let hash = workload::hash(random.below(documents), 2);
            assert_eq!(store.content(&hash), Some(2_048));
        }),
    );
    let start = Instant::now();
    let found: usize = (0..SCANS).map(|n| store.scan(&workload::section(n), SCAN_ENTRIES, now)).sum();
    figure("12 scan of 100 heads, µs", seconds(start) * 1e6 / SCANS as f64);
    assert!(found > SCANS as usize);
    figure("13 peak memory while reading, MiB", peak_mib());
    let start = Instant::now();
    let erases = store.erase(&workload::hash(documents / 2, 2));
    figure("14 erase one content from disk, s", if erases { seconds(start) } else { f64::NAN });
}

fn figure(name: &str, value: f64) {
    println!("{name}={value}");
}

fn seconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Of all threads, user and system; says more than the clock where others use the machine.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // utime and stime, in ticks of 10 ms.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Blocks in use, so that preallocated and sparse files count as what they take.
fn folder_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::symlink_metadata(path).unwrap();
    if !metadata.is_dir() {
        return metadata.blocks() * 512;
    }
    std::fs::read_dir(path).unwrap().map(|entry| folder_bytes(&entry.unwrap().path())).sum()
}
