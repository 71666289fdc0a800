//! The command behind `cargo xtask documents` and `cargo xtask sync-runs`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for the terminal")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use apograph_bench::documents::{Corpus, Documents};
use apograph_bench::figures::Report;
use apograph_bench::load::load;
use apograph_bench::runs::{Run, Scale, Stage};
use apograph_client::client::ClientSettings;
use apograph_client::{Client, Secret};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Documents of real text in any number, and runs of synchronization with real processes.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Documents(Load),
    SyncRuns(SyncRuns),
}

/// Bring documents of real text to a primary; run again, it goes on where it stopped
#[derive(Debug, Args)]
struct Load {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    count: u64,
    /// The same seed makes the same documents
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The primary
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7700")]
    server: String,
    /// File with a token of the role admin
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// The database
    #[arg(long, value_name = "NAME", default_value = "main")]
    database: String,
}

/// Run what synchronization must show; exit status 1 when something is not as it should be
#[derive(Debug, Args)]
struct SyncRuns {
    /// Which runs; without any, all
    #[arg(value_enum)]
    runs: Vec<Run>,
    /// Documents of the primary
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    documents: u64,
    /// Partitions of the primary
    #[arg(long, value_name = "N", default_value_t = 1)]
    partitions: u16,
    /// Of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// For comparison: the primary keeps its whole journal, and copies follow it from its beginning
    #[arg(long)]
    whole_journal: bool,
    /// Keep the servers' folders here, and use a primary that is here already
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// text, or json with one report per line
    #[arg(long, value_enum, hide_possible_values = true, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Documents(arguments) => match arguments.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("documents: {error}");
                ExitCode::FAILURE
            }
        },
        // A run that meets something impossible panics, and has said so.
        Command::SyncRuns(arguments) => {
            std::thread::spawn(move || arguments.run()).join().unwrap_or(ExitCode::FAILURE)
        }
    }
}

impl Load {
    fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        let secret = Secret::from_file(&self.token_file)?;
        let client = Client::new(ClientSettings::new(self.server.clone()).with_secret(secret))?;
        let documents = Documents::new(Corpus::load(), self.seed, self.count);
        let (started, total) = (Instant::now(), documents.transactions());
        let mut told = Instant::now();
        let loaded = load(&client, &self.database, &documents, |done| {
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                let rate = done as f64 / started.elapsed().as_secs_f64();
                eprintln!("{done} of {total} transactions in this run, {rate:.1}/s");
            }
        })?;
        let seconds = loaded.duration.as_secs_f64();
        println!(
            "{} documents are there: {} transactions in {seconds:.1} s",
            self.count, loaded.transactions
        );
        Ok(())
    }
}

impl SyncRuns {
    fn run(&self) -> ExitCode {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let root = self.dir.as_deref().unwrap_or(temporary.path());
        let scale = Scale {
            partitions: self.partitions,
            seed: self.seed,
            whole_journal: self.whole_journal,
            ..Scale::large(self.documents)
        };
        std::fs::create_dir_all(root).expect("the folder for the servers");
        let mut stage = Stage::set_up(root, scale);
        let runs = if self.runs.is_empty() { Run::value_variants() } else { &self.runs };
        let mut missed = 0;
        for run in runs {
            let report = run.run(&mut stage);
            self.print(&report);
            missed += report.misses().len();
        }
        if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn print(&self, report: &Report) {
        match self.output {
            Output::Text => println!("{report}"),
            Output::Json => println!("{}", serde_json::to_string(report).expect("a report is plain data")),
        }
    }
}
