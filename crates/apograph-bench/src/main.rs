//! The command behind `cargo xtask documents` and `cargo xtask sync-runs`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for the terminal")]

mod failover_runs;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use apograph_bench::documents::{Corpus, Documents};
use apograph_bench::figures::Report;
use apograph_bench::load::load;
use apograph_bench::runs::{Run, Scale, Stage};
use apograph_bench::speed::{self, Peer, Settings, Texts, Workload};
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
    FailoverRuns(failover_runs::FailoverRuns),
    Speed(Speed),
    Floor(Floor),
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

/// Measure Apograph beside the least that does the work, and beside PostgreSQL if asked
#[derive(Debug, Args)]
struct Speed {
    /// Which workloads; without any, all
    #[arg(value_enum)]
    workloads: Vec<Workload>,
    /// Who takes part beside Apograph and the floor
    #[arg(long, value_enum, value_name = "PEER")]
    peer: Vec<Peer>,
    /// These only
    #[arg(long, value_enum, value_name = "PEER", conflicts_with = "peer")]
    only: Vec<Peer>,
    /// Turns of each
    #[arg(long, value_name = "N", default_value_t = 5)]
    repetitions: u32,
    /// Length of a turn
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    seconds: f64,
    /// Clients that commit at once
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,64,256")]
    clients: Vec<u32>,
    /// Commits per second where lag is measured
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "500,2000")]
    rates: Vec<u32>,
    /// Documents that a replica misses or copies, or that are read
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    documents: u64,
    /// Replicas of the workload `copies`
    #[arg(long, value_name = "N", default_value_t = 8)]
    copies: usize,
    /// Put the servers' folders here, below a folder that nobody else uses
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// text with a table at the end, or json with one sample per line
    #[arg(long, value_enum, hide_possible_values = true, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

/// The least server, started by `speed`
#[derive(Debug, Args)]
#[command(hide = true)]
struct Floor {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    port: u16,
    #[arg(long)]
    source: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Documents(arguments) => ended("documents", arguments.run()),
        // A run that meets something impossible panics, and has said so.
        Command::SyncRuns(arguments) => {
            std::thread::spawn(move || arguments.run()).join().unwrap_or(ExitCode::FAILURE)
        }
        Command::FailoverRuns(arguments) => {
            std::thread::spawn(move || arguments.run()).join().unwrap_or(ExitCode::FAILURE)
        }
        Command::Speed(arguments) => ended("speed", arguments.run()),
        Command::Floor(arguments) => {
            ended("floor", speed::serve_floor(&arguments.dir, arguments.port, arguments.source))
        }
    }
}

fn ended(command: &str, outcome: Result<(), impl std::fmt::Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{command}: {error}");
            ExitCode::FAILURE
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

impl Speed {
    fn run(&self) -> Result<(), speed::SpeedError> {
        let temporary = tempfile::tempdir()?;
        let mut peers = vec![Peer::Apograph, Peer::Floor];
        peers.extend(self.peer.iter().filter(|peer| !matches!(peer, Peer::Apograph | Peer::Floor)));
        let settings = Settings {
            root: self.dir.as_deref().unwrap_or(temporary.path()).to_owned(),
            program: std::env::current_exe()?,
            peers: if self.only.is_empty() { peers } else { self.only.clone() },
            repetitions: self.repetitions,
            duration: Duration::from_secs_f64(self.seconds),
            clients: self.clients.clone(),
            rates: self.rates.clone(),
            documents: self.documents,
            copies: self.copies,
        };
        let texts = Texts::make(&Corpus::load());
        let workloads = if self.workloads.is_empty() { Workload::value_variants() } else { &self.workloads };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut outcomes = Vec::new();
        for workload in workloads {
            let told = |sample: &speed::Sample| self.tell(sample);
            outcomes.extend(runtime.block_on(speed::measure(*workload, &settings, &texts, told))?);
        }
        if self.output == Output::Text {
            println!("\n{}", speed::table(&outcomes, &settings.peers));
        }
        Ok(())
    }

    fn tell(&self, sample: &speed::Sample) {
        let more = &sample.more;
        match self.output {
            Output::Json => println!("{}", serde_json::to_string(sample).expect("a sample is plain data")),
            Output::Text => println!(
                "{:<44} {:<9} {:>9.2} {:<9} p50 {:>6.2} ms  p99 {:>7.2} ms  cpu % client {:>3.0} primary {:>3.0} replicas {:>3.0}  MiB {:.0} {:.0}",
                sample.what,
                sample.peer,
                sample.value,
                sample.unit,
                more.p50_ms,
                more.p99_ms,
                more.client_percent,
                more.primary_percent,
                more.replicas_percent,
                more.primary_mib,
                more.replicas_mib,
            ),
        }
    }
}
