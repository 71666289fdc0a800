//! `apograph-sim crash-points`: cuts the power at every operation.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::process::ExitCode;

use apograph_sim::crash::{self, Figures, Plan, Victim};
use clap::{Parser, Subcommand, ValueEnum};

/// Looks for faults in Apograph by enumerating what can go wrong
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Cut the power at every operation of a server's disk, in several ways, and check what comes up; exit status 1 if
    /// a promise was broken
    CrashPoints(CrashPoints),
}

#[derive(clap::Args)]
struct CrashPoints {
    /// Whose disk; without any, everybody's
    #[arg(value_enum)]
    victims: Vec<Who>,
    /// Of the database; without any, one and three
    #[arg(long, value_name = "N")]
    partitions: Vec<u16>,
    /// How long the script is: four have everything, two come without purges of large contents and without restores
    #[arg(long, value_name = "N", default_value_t = 4)]
    rounds: usize,
    /// Chooses what survives, where there is a choice
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only the crash after so many operations, to repeat a fault: the disk it left is kept. The operations of two runs
    /// are about the same, not exactly
    #[arg(long, value_name = "N")]
    only: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Who {
    /// A primary that takes edits
    Primary,
    /// A replica that follows
    Replica,
    /// A staging server that follows
    Staging,
    /// A replica that synchronizes
    Synchronizing,
}

fn main() -> ExitCode {
    let Command::CrashPoints(arguments) = Arguments::parse().command;
    let victims = if arguments.victims.is_empty() {
        Victim::ALL.to_vec()
    } else {
        arguments.victims.iter().copied().map(victim).collect()
    };
    let partitions = if arguments.partitions.is_empty() { vec![1, 3] } else { arguments.partitions };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut is_well = true;
    for victim in victims {
        for &partitions in &partitions {
            let (rounds, seed, only) = (arguments.rounds, arguments.seed, arguments.only);
            let plan = Plan { victim, partitions, rounds, seed, only, threads };
            match crash::run(plan) {
                Ok(figures) => {
                    show(plan, &figures);
                    is_well &= figures.faults.is_empty();
                }
                Err(error) => {
                    println!("crash points, {victim}: skipped: no disk can be mounted here: {error}")
                }
            }
        }
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn victim(who: Who) -> Victim {
    match who {
        Who::Primary => Victim::Primary,
        Who::Replica => Victim::Replica,
        Who::Staging => Victim::Staging,
        Who::Synchronizing => Victim::Synchronizing,
    }
}

fn show(plan: Plan, figures: &Figures) {
    println!(
        "crash points, {}, {} partition{}: {} operations ({} syncs), {} power cuts, {} different disks, {} faults, {:.0} s",
        plan.victim,
        plan.partitions,
        if plan.partitions == 1 { "" } else { "s" },
        figures.operations,
        figures.syncs,
        figures.cuts,
        figures.images,
        figures.faults.len(),
        figures.took.as_secs_f64()
    );
    for fault in figures.faults.iter().take(50) {
        println!(
            "  after {} operations, {:?} survived, {}:\n    {}",
            fault.operations, fault.survival, fault.place, fault.what
        );
    }
}
