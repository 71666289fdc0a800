//! `apograph-sim soak`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use apograph_sim::run::Summary;
use apograph_sim::soak::{self, Plan, Row, State};

/// Between two lines of progress, where nobody looks on.
const QUIET: Duration = Duration::from_secs(60);

/// What to soak, and for how long
#[derive(clap::Args)]
pub(crate) struct Soak {
    /// For so long
    #[arg(long, value_name = "N")]
    minutes: f64,
    /// The first seed; without it, the one where the last time ended
    #[arg(long, value_name = "SEED")]
    from: Option<u64>,
    /// Where it is kept which seed comes next
    #[arg(long, value_name = "FOLDER", default_value = "target/soak")]
    state: PathBuf,
    /// End with the first broken promise
    #[arg(long)]
    stop: bool,
    /// Append a line with the results to docs/reliability.md
    #[arg(long)]
    record: bool,
}

impl Soak {
    /// True if no promise was broken.
    pub(crate) fn run(&self) -> bool {
        match self.soak() {
            Ok(is_well) => is_well,
            Err(error) => {
                eprintln!("soak: {error}");
                false
            }
        }
    }

    fn soak(&self) -> Result<bool, soak::SoakError> {
        let state = State::open(&self.state)?;
        let from = self.from.unwrap_or(state.next);
        let duration =
            Duration::try_from_secs_f64(self.minutes * 60.0).map_err(|_| soak::SoakError::Minutes)?;
        // Before: what is built meanwhile is not what runs.
        let commit = commit();
        println!("soak: from seed {from} on, {:.0} s, {} at once", duration.as_secs_f64(), crate::threads());
        let plan = Plan { from, duration, threads: crate::threads(), stops: self.stop, folder: &self.state };
        let mut told: Option<Instant> = None;
        let summary = soak::run(&plan, |summary, elapsed| {
            let pause = if std::io::stderr().is_terminal() { Duration::from_secs(1) } else { QUIET };
            if told.is_none_or(|told| told.elapsed() >= pause) {
                told = Some(Instant::now());
                progress(summary, elapsed, duration);
            }
        })?;
        if std::io::stderr().is_terminal() {
            eprintln!();
        }
        for (seed, outcome) in &summary.faults {
            println!("seed {seed}: FAULT: {}", outcome.fault.as_deref().unwrap_or_default());
            println!("  repeat with: cargo run -p apograph-sim -- run --seed {seed}");
        }
        println!("{summary}");
        println!("soak: goes on with seed {}", summary.next);
        if self.record {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reliability.md");
            soak::record(&path, &Row::of(&summary, from, &commit))?;
        }
        Ok(summary.faults.is_empty())
    }
}

/// One line that is written over on a terminal.
fn progress(summary: &Summary, elapsed: Duration, duration: Duration) {
    let broken: Vec<String> = summary.faults.keys().map(u64::to_string).collect();
    let line = format!(
        "soak: {:.0} of {:.0} s, {} seeds, next {}, {:.1} virtual hours, {} faults drawn, broken promises: {}{}",
        elapsed.as_secs_f64(),
        duration.as_secs_f64(),
        summary.seeds,
        summary.next,
        Duration::from_micros(summary.figures.virtual_us).as_secs_f64() / 3_600.0,
        summary.figures.faults,
        broken.len(),
        if broken.is_empty() { String::new() } else { format!(" (seeds {})", broken.join(", ")) },
    );
    if std::io::stderr().is_terminal() { eprint!("\r\x1b[K{line}") } else { eprintln!("{line}") }
}

/// What is built here, as git names it.
fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]);
    match git.output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}
