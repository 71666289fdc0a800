//! `apograph-sim processes`.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use apograph_sim::processes::{self, Figures, Outcome, Plan};

/// What to run, and for how long
#[derive(clap::Args)]
pub(crate) struct Processes {
    /// One run
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Many runs: from the first number up to the second, that one not included
    #[arg(long, value_name = "A..B", value_parser = crate::range, default_value = "0..20")]
    seeds: Range<u64>,
    /// No run begins after this time
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Runs at the same time
    #[arg(long, value_name = "N", default_value_t = 2)]
    at_once: usize,
    /// Keep the servers' folders, their logs and the recorded histories here, a folder for each run that found something
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

impl Processes {
    /// True if no promise was broken.
    pub(crate) fn run(&self) -> bool {
        let began = Instant::now();
        let seeds = self.seed.map_or(self.seeds.clone(), |seed| seed..seed + 1);
        let left = Mutex::new(seeds);
        let is_over = || self.seconds.is_some_and(|seconds| began.elapsed() >= Duration::from_secs(seconds));
        let all = Mutex::new((Figures::default(), Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..self.at_once.max(1) {
                scope.spawn(|| {
                    while !is_over() {
                        let Some(seed) = left.lock().expect("nobody panics here").next() else { return };
                        let outcome = one(seed, self.keep.as_deref());
                        let (figures, broken) = &mut *all.lock().expect("nobody panics here");
                        tell(seed, &outcome);
                        if !outcome.faults.is_empty() {
                            broken.push(seed);
                        }
                        *figures += outcome.figures;
                    }
                });
            }
        });
        let (mut figures, mut broken) = all.into_inner().expect("nobody panics here");
        figures.took = began.elapsed();
        broken.sort_unstable();
        for skipped in figures.skipped() {
            println!("skipped: {skipped}");
        }
        println!("{figures}, {} runs with a broken promise {broken:?}", broken.len());
        broken.is_empty() && figures.runs > 0
    }
}

fn one(seed: u64, keep: Option<&Path>) -> Outcome {
    let folder = tempfile::Builder::new().prefix("apograph-processes-").tempdir();
    let folder = folder.expect("there is a folder for the servers");
    let outcome = processes::run(&Plan::draw(seed), folder.path());
    if let (Some(keep), false) = (keep, outcome.faults.is_empty()) {
        // What was mounted is gone; its logs are beside.
        let kept = keep.join(format!("seed-{seed}"));
        let copied = std::fs::create_dir_all(&kept).and_then(|()| {
            std::process::Command::new("cp").arg("-a").arg(folder.path().join(".")).arg(&kept).status()
        });
        match copied {
            Ok(status) if status.success() => println!("seed {seed}: kept in {}", kept.display()),
            Ok(status) => eprintln!("{}: cp: {status}", kept.display()),
            Err(error) => eprintln!("{}: {error}", kept.display()),
        }
    }
    outcome
}

fn tell(seed: u64, outcome: &Outcome) {
    let faults = outcome.figures.drawn.values().sum::<u64>();
    println!(
        "seed {seed}: {faults} faults, {} acknowledged, {:.0} s, {}",
        outcome.figures.acknowledged,
        outcome.figures.took.as_secs_f64(),
        if outcome.faults.is_empty() { "well" } else { "A BROKEN PROMISE" },
    );
    for fault in &outcome.faults {
        println!("  FAULT: {}", fault.replace('\n', "\n    "));
    }
    if !outcome.faults.is_empty() {
        println!(
            "  the same faults again: cargo run -p apograph-sim -- processes --seed {seed} --keep FOLDER"
        );
    }
}
