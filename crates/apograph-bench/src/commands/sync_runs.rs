//! `cargo xtask sync-runs`.

use std::path::PathBuf;
use std::process::ExitCode;

use apograph_bench::figures::Report;
use apograph_bench::runs::{Run, Scale, Stage};
use clap::{Args, ValueEnum};

use super::Output;

/// Run what synchronization must show; exit status 1 when something is not as it should be
#[derive(Debug, Args)]
pub(crate) struct SyncRuns {
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

impl SyncRuns {
    pub(crate) fn run(&self) -> ExitCode {
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
