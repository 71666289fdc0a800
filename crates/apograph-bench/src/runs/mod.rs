//! The runs: what synchronization must show, with real processes.

mod altered;
mod difference;
mod full;
mod kills;
mod load;
mod stage;
mod swapped;
mod transfer;
mod writes;

pub(crate) use stage::verify;
pub use stage::{Scale, Stage};
pub use transfer::{Copy, Transfer};

use crate::figures::Report;

/// One of the runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Run {
    /// Bring the documents to a new primary: rate, memory, disk
    Load,
    /// A replica from empty, of a primary whose journal no longer begins at the beginning
    Full,
    /// The copy was away while a thousandth of the documents changed and the journal was pruned
    Difference,
    /// Fifty SIGKILLs of either side during a full transfer
    Kills,
    /// A thousand transactions a second during a throttled full transfer
    Writes,
    /// A text and a head of the copy are altered behind its back
    Altered,
    /// The copy's databases are replaced by older, by foreign, by the primary's
    Swapped,
}

impl Run {
    /// Runs it. All but the first make a full transfer first if there was none.
    pub fn run(self, stage: &mut Stage) -> Report {
        match self {
            Run::Load => load::run(stage),
            Run::Full => full::run(stage),
            Run::Difference => difference::run(stage),
            Run::Kills => kills::run(stage),
            Run::Writes => writes::run(stage),
            Run::Altered => altered::run(stage),
            Run::Swapped => swapped::run(stage),
        }
    }
}
