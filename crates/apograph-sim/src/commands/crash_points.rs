//! `apograph-sim crash-points`.

use std::str::FromStr;
use std::sync::Mutex;
use std::time::Instant;

use apograph_sim::crash::{self, Figures, Plan, RunError, Victim};

/// Servers that are looked at side by side: one may do its script, and wait, while the other one's disks are tried.
const LANES: usize = 2;

#[derive(clap::Args)]
pub(crate) struct CrashPoints {
    /// Whose disk: primary, replica (that follows), staging (server that follows), synchronizing (replica); with `:N` behind it, in
    /// a database of so many partitions. Without any, everybody's
    #[arg(value_name = "WHO[:N]")]
    victims: Vec<Who>,
    /// Of the databases of those without a number; without any, one and three
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

/// A server, and how many partitions its database has.
#[derive(Debug, Clone, Copy)]
struct Who {
    victim: Victim,
    partitions: Option<u16>,
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Who, String> {
        let (name, partitions) = match text.split_once(':') {
            None => (text, None),
            Some((name, count)) => {
                (name, Some(count.parse().map_err(|error| format!("{count:?} partitions: {error}"))?))
            }
        };
        let victim = Victim::ALL.into_iter().find(|victim| victim.to_string() == name);
        let names = || Victim::ALL.map(|victim| victim.to_string()).join(", ");
        Ok(Who { victim: victim.ok_or_else(|| format!("one of {}", names()))?, partitions })
    }
}

impl CrashPoints {
    pub(crate) fn run(&self) -> bool {
        let everybody = || Victim::ALL.map(|victim| Who { victim, partitions: None }).to_vec();
        let victims = if self.victims.is_empty() { everybody() } else { self.victims.clone() };
        let sizes = if self.partitions.is_empty() { vec![1, 3] } else { self.partitions.clone() };
        let (rounds, seed, only, threads) = (self.rounds, self.seed, self.only, crate::threads());
        let plan = |victim, partitions| Plan { victim, partitions, rounds, seed, only, threads };
        let plans = victims.iter().flat_map(|who| {
            let sizes = who.partitions.map_or_else(|| sizes.clone(), |count| vec![count]);
            sizes.into_iter().map(|partitions| plan(who.victim, partitions))
        });
        let plans: Vec<Plan> = plans.collect();
        let begun = Instant::now();
        let total = Mutex::new((Figures::default(), true));
        crash::run_all(&plans, LANES, |plan, ran| {
            let (sum, is_well) = &mut *total.lock().expect("nobody panics here");
            *is_well &= show(plan, &ran);
            if let Ok(figures) = ran {
                sum.operations += figures.operations;
                sum.syncs += figures.syncs;
                sum.cuts += figures.cuts;
                sum.images += figures.images;
                sum.faults.extend(figures.faults);
            }
        });
        let (mut sum, is_well) = total.into_inner().expect("nobody panics here");
        sum.took = begun.elapsed();
        println!("crash points, {} servers: {}", plans.len(), line(&sum));
        is_well
    }
}

fn line(figures: &Figures) -> String {
    format!(
        "{} operations ({} syncs), {} power cuts, {} different disks, {} faults, {:.0} s",
        figures.operations,
        figures.syncs,
        figures.cuts,
        figures.images,
        figures.faults.len(),
        figures.took.as_secs_f64()
    )
}

/// Says what came of one of them; answers whether all is well.
fn show(plan: Plan, ran: &Result<Figures, RunError>) -> bool {
    let figures = match ran {
        Ok(figures) => figures,
        Err(error @ RunError::Mount(_)) => {
            println!("crash points, {}: skipped: {error}", plan.victim);
            return true;
        }
        Err(error @ RunError::Script(_)) => {
            println!("crash points, {}: {error}", plan.victim);
            return false;
        }
    };
    let plural = if plan.partitions == 1 { "" } else { "s" };
    println!("crash points, {}, {} partition{plural}: {}", plan.victim, plan.partitions, line(figures));
    for fault in figures.faults.iter().take(50) {
        println!(
            "  after {} operations, {:?} survived, {}:\n    {}",
            fault.operations, fault.survival, fault.place, fault.what
        );
    }
    figures.faults.is_empty()
}
