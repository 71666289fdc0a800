//! The command behind `cargo xtask documents`, `sync-runs`, `failover-runs` and `speed`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for the terminal")]

mod commands;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;

/// Documents of real text in any number, runs with real processes, and measurements.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Documents(arguments) => ended("documents", arguments.run()),
        Command::SyncRuns(arguments) => judged(move || arguments.run()),
        Command::FailoverRuns(arguments) => judged(move || arguments.run()),
        Command::Speed(arguments) => ended("speed", arguments.run()),
        Command::Floor(arguments) => ended("floor", arguments.run()),
    }
}

/// A run that meets something impossible panics, and has said so.
fn judged(run: impl FnOnce() -> ExitCode + Send + 'static) -> ExitCode {
    std::thread::spawn(run).join().unwrap_or(ExitCode::FAILURE)
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
