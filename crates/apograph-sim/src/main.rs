//! `apograph-sim run`: simulates servers, one run for each seed; `apograph-sim soak`: for as long as you like.
//! `apograph-sim crash-points`: cuts the power at every operation. `apograph-sim damage`: alters files, and asks what a
//! server then says. `apograph-sim processes`: servers as they are shipped, while everything around them fails.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

mod commands;

use std::process::ExitCode;

use apograph_sim::damage;
use apograph_sim::run::{self, Showing, Summary};
use clap::{Parser, Subcommand};

/// Looks for faults in Apograph by enumerating what can go wrong
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Simulate servers, lines and disks, one run for each seed, with everything going wrong that the seed draws; exit
    /// status 1 if a promise was broken
    Run(Run),
    /// Simulate one seed after the other, for as long as you say, and go on where the last time ended; exit status 1 if a
    /// promise was broken
    Soak(commands::Soak),
    /// Put one deliberate fault after the other into the servers, and look how many runs it takes to find it; exit status
    /// 1 if one is not found. Needs the feature `seeded-bugs`
    Bugs(Bugs),
    /// Cut the power at every operation of a server's disk, in several ways, and check what comes up; exit status 1 if
    /// a promise was broken
    CrashPoints(commands::CrashPoints),
    /// Start servers as processes, with clients that write, while networks, disks and processes fail as a seed draws, and
    /// judge what clients saw; exit status 1 if a promise was broken. Needs the server: cargo build -p apograph-cli
    Processes(commands::Processes),
    /// Alter, cut off, remove and confuse files of stopped servers, one at a time, start the server, and ask it for everything;
    /// exit status 1 if it shows something else than before and nobody notices
    Damage(DamageSweep),
}

#[derive(clap::Args)]
struct Run {
    /// One run, with all that happens in it
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// With --seed: where the servers' disks stay, as the run left them
    #[arg(long, value_name = "FOLDER", requires = "seed")]
    keep: Option<std::path::PathBuf>,
    /// Many runs: from the first number up to the second, that one not included
    #[arg(long, value_name = "A..B", value_parser = range, default_value = "0..500")]
    seeds: std::ops::Range<u64>,
    /// Ends with the first fault
    #[arg(long)]
    first: bool,
}

#[derive(clap::Args)]
struct Bugs {
    /// Runs at most, for each of them
    #[arg(long, value_name = "N", default_value_t = 1000)]
    seeds: u64,
}

#[derive(clap::Args)]
struct DamageSweep {
    /// Only these kinds of files; without any, all: see the table that is printed
    #[arg(value_name = "KIND", value_parser = kind)]
    kinds: Vec<damage::Kind>,
    /// So much is done to the files of each kind in each of the data folders; the first small file of a kind has each of its
    /// bytes altered beside
    #[arg(long, value_name = "N", default_value_t = 8)]
    each: usize,
    /// Chooses places, bits and other files
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only damage whose description contains this, to repeat a fault: the folder is kept, as it was before the start
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

fn main() -> ExitCode {
    let is_well = match Arguments::parse().command {
        Command::Run(arguments) => run_seeds(&arguments),
        Command::Soak(arguments) => arguments.run(),
        Command::Bugs(arguments) => bugs(&arguments),
        Command::CrashPoints(arguments) => arguments.run(),
        Command::Processes(arguments) => arguments.run(),
        Command::Damage(arguments) => sweep(arguments),
    };
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("two numbers with two dots between them")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    Ok(number(from)?..number(to)?)
}

fn run_seeds(arguments: &Run) -> bool {
    if let Some(seed) = arguments.seed {
        let showing = Showing { keeps: false, prints: true };
        let outcome = match &arguments.keep {
            None => run::one(seed, showing),
            Some(folder) => match run::one_kept(seed, showing, folder) {
                Ok(outcome) => outcome,
                Err(error) => {
                    eprintln!("{}: {error}", folder.display());
                    return false;
                }
            },
        };
        println!("seed {seed}: {} {:?}", outcome.fingerprint, outcome.figures);
        if let Some(fault) = &outcome.fault {
            println!("seed {seed}: FAULT: {fault}");
        }
        return outcome.fault.is_none();
    }
    let stops = |summary: &Summary| arguments.first && !summary.faults.is_empty();
    let summary = run::many(arguments.seeds.clone(), threads(), stops, || ());
    for (seed, outcome) in &summary.faults {
        println!("seed {seed}: FAULT: {}", outcome.fault.as_deref().unwrap_or_default());
        println!("  repeat with: cargo run -p apograph-sim -- run --seed {seed}");
    }
    println!("{summary}");
    summary.faults.is_empty()
}

#[cfg(feature = "seeded-bugs")]
fn bugs(arguments: &Bugs) -> bool {
    use apograph_format::seeded::{self, Seeded};
    use apograph_sim::world::Outcome;

    let mut missed = 0;
    for bug in Seeded::ALL {
        let (mut next, mut seeds, mut found) = (0, 0, None);
        while found.is_none() && next < arguments.seeds {
            let is_enough = |summary: &Summary| !summary.faults.is_empty();
            let summary = run::many(next..arguments.seeds, threads(), is_enough, || seeded::put(Some(bug)));
            seeds += summary.seeds;
            next = summary
                .faults
                .last_key_value()
                .map_or(arguments.seeds, |(seed, _)| summary.next.max(seed + 1));
            // What a seed finds without the deliberate fault, too, is something else.
            found = summary.faults.into_values().find(|outcome| {
                let without = run::one(outcome.seed, Showing::default());
                without.fault.is_none()
            });
        }
        match found {
            Some(Outcome { seed, fault, .. }) => {
                let fault = fault.unwrap_or_default();
                println!("{bug:?}: found within {seeds} seeds, by seed {seed}: {fault}");
            }
            None => {
                missed += 1;
                println!("{bug:?}: NOT FOUND in {seeds} seeds");
            }
        }
    }
    println!("seeded bugs: {} of {} found", Seeded::ALL.len() - missed, Seeded::ALL.len());
    missed == 0
}

#[cfg(not(feature = "seeded-bugs"))]
fn bugs(arguments: &Bugs) -> bool {
    eprintln!("no faults to put in, for {} runs each: build with --features seeded-bugs", arguments.seeds);
    false
}

fn kind(text: &str) -> Result<damage::Kind, String> {
    let found = damage::Kind::ALL.into_iter().find(|(_, name)| *name == text).map(|(kind, _)| kind);
    found.ok_or_else(|| {
        let names: Vec<&str> = damage::Kind::ALL.into_iter().map(|(_, name)| name).collect();
        format!("one of {}", names.join(", "))
    })
}

fn sweep(arguments: DamageSweep) -> bool {
    let DamageSweep { kinds, each, seed, only } = arguments;
    let plan = damage::Plan { kinds, each, seed, only, threads: threads() };
    let figures = match damage::run(&plan) {
        Ok(figures) => figures,
        Err(error) => {
            eprintln!("damage: {error}");
            return false;
        }
    };
    println!(
        "{:<17} {:>6} {:>9} {:>6} {:>5} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "kind",
        "files",
        "bytes",
        "flips",
        "cuts",
        "others",
        "refused",
        "noticed",
        "harmless",
        "cut",
        "SILENT"
    );
    for (kind, of) in &figures.kinds {
        println!("{kind:<17} {of}");
    }
    let total = figures.total();
    println!("{:<17} {total}", "all");
    for (what, faults) in [("SILENT", &figures.faults), ("misnamed", &figures.misnamed)] {
        for fault in faults.iter().take(50) {
            println!("  {what}: {}:\n    {}", fault.case, fault.what);
        }
    }
    let healed = figures.healed;
    let damaged = total.flips + total.cuts + total.others;
    println!(
        "damage: {} files, {} bytes, {damaged} times damaged ({} bytes flipped, {} truncations, {} others), {:.1} % noticed, \
         {} harmless, {} cut behind what was acknowledged, {} silent, {} called something else; \
         {} copies healed ({} by themselves, {} from the journal, {} anew); {:.0} s",
        total.files,
        total.bytes,
        total.flips,
        total.cuts,
        total.others,
        100.0 * (total.times(damage::Outcome::Refused) + total.times(damage::Outcome::Noticed)) as f64
            / damaged.max(1) as f64,
        total.times(damage::Outcome::Harmless),
        total.times(damage::Outcome::Cut),
        figures.faults.len(),
        figures.misnamed.len(),
        healed.by_themselves + healed.by_replay + healed.anew,
        healed.by_themselves,
        healed.by_replay,
        healed.anew,
        figures.took.as_secs_f64()
    );
    figures.faults.is_empty()
}
