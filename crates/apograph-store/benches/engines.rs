//! Which engine should carry the store? Writes documents into each candidate, reads them, crashes, replays.
//!
//! ```text
//! cargo bench -p apograph-store --bench engines -- [--documents N] [--runs N] [--engines a,b] [--folder F]
//! ```
//!
//! Every phase of every candidate is a process of its own (this program starts itself), so that peak memory is the
//! candidate's, and a crash is a real one: the process aborts. Figures are medians over the runs. The page cache of the
//! system is warm throughout. What is measured is described at each phase in `phases.rs`; the results and what follows
//! from them are in `docs/decisions/0002-store-engine.md`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![allow(clippy::print_stdout, clippy::print_stderr, unreachable_pub, missing_docs)]

#[path = "engines/candidate.rs"]
mod candidate;
#[path = "engines/fjall.rs"]
mod fjall;
#[path = "engines/lsm.rs"]
mod lsm;
#[path = "engines/phases.rs"]
mod phases;
#[path = "engines/redb.rs"]
mod redb;
#[path = "engines/workload.rs"]
mod workload;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// Names of the candidates; see `candidate::open`.
const ENGINES: &[&str] = &["lsm", "lsm-lz4", "fjall", "redb"];
const PHASES: &[&str] = &["apply", "recover", "read"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [child, engine, phase, folder, documents] = &arguments[..]
        && child == "--child"
    {
        return phases::run(engine, phase, Path::new(folder), documents.parse().unwrap());
    }
    let options = Options::parse(&arguments);
    println!("{} documents, median of {}\n", options.documents, options.runs);
    let mut columns = Vec::new();
    for engine in &options.engines {
        columns.push(measure(engine, &options));
    }
    print_table(&options.engines, &columns);
}

struct Options {
    documents: u64,
    runs: usize,
    engines: Vec<String>,
    folder: PathBuf,
}

impl Options {
    fn parse(arguments: &[String]) -> Self {
        let mut options = Self {
            documents: 100_000,
            runs: 1,
            engines: ENGINES.iter().map(ToString::to_string).collect(),
            folder: std::env::temp_dir(),
        };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { panic!("{pair:?}: an option and its value") };
            match name.as_str() {
                "--documents" => options.documents = value.parse().unwrap(),
                "--runs" => options.runs = value.parse().unwrap(),
                "--engines" => options.engines = value.split(',').map(str::to_owned).collect(),
                "--folder" => options.folder = value.into(),
                _ => panic!("{name}: not an option"),
            }
        }
        options
    }
}

/// Name of a figure (sorts in table order) to its value in each run.
type Figures = BTreeMap<String, Vec<f64>>;

fn measure(engine: &str, options: &Options) -> Figures {
    let mut figures = Figures::new();
    for run in 0..options.runs {
        let folder = tempfile::tempdir_in(&options.folder).unwrap();
        for phase in PHASES {
            eprintln!("{engine}, run {}: {phase}", run + 1);
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--child", engine, phase])
                .arg(folder.path().join("store"))
                .arg(options.documents.to_string())
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            // The apply phase ends by aborting; what it must have done before is print its last figure.
            assert!(text.contains("peak"), "{engine} {phase}: {}", String::from_utf8_lossy(&output.stderr));
            for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
                figures.entry(name.to_owned()).or_default().push(value.parse().unwrap());
            }
        }
    }
    figures
}

fn print_table(engines: &[String], columns: &[Figures]) {
    println!("| | {} |", engines.join(" | "));
    println!("|---|{}", "---:|".repeat(engines.len()));
    for name in columns[0].keys() {
        let cells: Vec<String> =
            columns.iter().map(|figures| format!("{:.1}", median(&figures[name]))).collect();
        // "12 name" → "name"
        println!("| {} | {} |", &name[3..], cells.join(" | "));
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
