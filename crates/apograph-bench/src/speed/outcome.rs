//! Samples, their medians, and how they compare.

use std::fmt::Write;

use serde::Serialize;

use super::peer::Peer;

/// What one turn of one peer came to.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// What was measured, with its size: `W1 commits, 64 clients`.
    pub what: String,
    /// Who.
    pub peer: &'static str,
    /// The number by which peers are compared.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Everything else.
    #[serde(flatten)]
    pub more: More,
}

/// What stands beside the number.
#[derive(Debug, Clone, Default, Serialize)]
pub struct More {
    /// Of the latency of a request, in milliseconds.
    pub p50_ms: f64,
    /// The same.
    pub p99_ms: f64,
    /// Processor time of the client, in percent of a core.
    pub client_percent: f64,
    /// The same, of the primary.
    pub primary_percent: f64,
    /// The same, of all replicas.
    pub replicas_percent: f64,
    /// Memory of the primary at the end, shared pages counted once.
    pub primary_mib: f64,
    /// The same, of all replicas.
    pub replicas_mib: f64,
}

/// All samples of one point.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What was measured.
    pub what: String,
    /// In the order of their making.
    pub samples: Vec<Sample>,
}

impl Outcome {
    fn of(&self, peer: Peer) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.peer == peer.name())
    }

    /// The median of a peer's samples.
    pub fn median(&self, peer: Peer, number: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.of(peer).map(number).collect())
    }

    /// Ours by theirs, turn by turn; the median of that.
    pub fn ratio(&self, to: Peer) -> Option<f64> {
        let pairs = self.of(Peer::Apograph).zip(self.of(to));
        median(pairs.map(|(ours, theirs)| ours.value / theirs.value).collect())
    }
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let upper = numbers.get(numbers.len() / 2)?;
    let lower = numbers.get((numbers.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

/// The outcomes as a table in Markdown: medians, the least and the most in brackets, and ratios.
pub fn table(outcomes: &[Outcome], peers: &[Peer]) -> String {
    let mut table = String::from("| |");
    let others: Vec<Peer> = peers.iter().copied().filter(|peer| *peer != Peer::Apograph).collect();
    for peer in peers {
        let _ = write!(table, " {} |", peer.name());
    }
    for other in &others {
        let _ = write!(table, " ratio to {} |", other.name());
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(peers.len() + others.len()));
    for outcome in outcomes {
        let unit = outcome.samples.first().map_or("", |sample| sample.unit);
        let _ = write!(table, "\n| {}, {unit} |", outcome.what);
        for peer in peers {
            let _ = match outcome.median(*peer, |sample| sample.value) {
                Some(median) => {
                    let values = || outcome.of(*peer).map(|sample| sample.value);
                    let least = values().fold(f64::INFINITY, f64::min);
                    let most = values().fold(0.0, f64::max);
                    write!(table, " {} ({}–{}) |", shown(median), shown(least), shown(most))
                }
                None => write!(table, " – |"),
            };
        }
        for other in &others {
            let _ = match outcome.ratio(*other) {
                Some(ratio) => write!(table, " {ratio:.2} |"),
                None => write!(table, " – |"),
            };
        }
    }
    table.push('\n');
    table
}

fn shown(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(peer: Peer, value: f64) -> Sample {
        Sample { what: "x".into(), peer: peer.name(), value, unit: "1/s", more: More::default() }
    }

    #[test]
    fn the_ratio_is_of_turns_that_stood_beside_each_other() {
        let (ours, theirs) = (Peer::Apograph, Peer::Floor);
        // The machine halved its speed for the last two turns: each pair has the same ratio.
        let values =
            [(ours, 50.0), (theirs, 100.0), (ours, 25.0), (theirs, 50.0), (ours, 24.0), (theirs, 48.0)];
        let samples = values.map(|(peer, value)| sample(peer, value)).to_vec();
        let outcome = Outcome { what: "x".into(), samples };
        assert_eq!(outcome.ratio(theirs), Some(0.5));
        assert_eq!(outcome.median(ours, |sample| sample.value), Some(25.0));
        let table = table(&[outcome], &[ours, theirs]);
        assert!(table.ends_with("| x, 1/s | 25.00 (24.00–50.00) | 50.00 (48.00–100) | 0.50 |\n"), "{table}");
    }
}
