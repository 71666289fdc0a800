//! `cargo xtask failover-runs`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use apograph_client::format::Durability;

use apograph_bench::failover::{FailoverRun, FailoverScale};
use clap::{Args, ValueEnum};

use super::Output;

/// Run what changes of roles must show; exit status 1 when something is not as it should be
#[derive(Debug, Args)]
pub(crate) struct FailoverRuns {
    /// Which runs; without any, all
    #[arg(value_enum)]
    runs: Vec<FailoverRun>,
    /// Role changes of each run
    #[arg(long, value_name = "N", default_value_t = 50)]
    rounds: u32,
    /// Clients that write
    #[arg(long, value_name = "N", default_value_t = 64)]
    clients: u32,
    /// Partitions of the database
    #[arg(long, value_name = "N", default_value_t = 3)]
    partitions: u16,
    /// Between two writes of one client, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5)]
    pace: u64,
    /// How durable every write must be before it is acknowledged: local, or replicas=N
    #[arg(long, value_name = "DURABILITY", default_value_t = Durability::Local)]
    durability: Durability,
    /// How long an answer may wait for that, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    within: u64,
    /// Of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Keep the servers' folders and the recorded histories here, a folder for each run
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// text, or json with one report per line
    #[arg(long, value_enum, hide_possible_values = true, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

impl FailoverRuns {
    pub(crate) fn run(&self) -> ExitCode {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let root = self.dir.as_deref().unwrap_or(temporary.path());
        let scale = FailoverScale {
            clients: self.clients,
            rounds: self.rounds,
            partitions: self.partitions,
            seed: self.seed,
            pace: Duration::from_millis(self.pace),
            durability: self.durability,
            within: Duration::from_millis(self.within),
            ..FailoverScale::large()
        };
        let runs = if self.runs.is_empty() { FailoverRun::value_variants() } else { &self.runs };
        let mut missed = 0;
        for run in runs {
            let folder = root.join(format!("{run:?}").to_lowercase());
            std::fs::create_dir_all(&folder).expect("the folder for the servers");
            // Servers are told of each other's files, and take relative names for their own.
            let folder = folder.canonicalize().expect("the folder for the servers");
            let report = run.run(&folder, scale);
            match self.output {
                Output::Text => println!("{report}"),
                Output::Json => {
                    println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
                }
            }
            missed += report.misses().len();
        }
        if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
