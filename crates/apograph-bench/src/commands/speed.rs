//! `cargo xtask speed`, and the floor that it starts.

use std::path::PathBuf;
use std::time::Duration;

use apograph_bench::documents::Corpus;
use apograph_bench::speed::{self, Peer, Settings, Texts, Workload};
use clap::{Args, ValueEnum};

use super::Output;

/// Measure Apograph beside the least that does the work, and beside PostgreSQL if asked
#[derive(Debug, Args)]
pub(crate) struct Speed {
    /// Which workloads; without any, all
    #[arg(value_enum)]
    workloads: Vec<Workload>,
    /// Who takes part beside Apograph and the floor
    #[arg(long, value_enum, value_name = "PEER")]
    peer: Vec<Peer>,
    /// These only
    #[arg(long, value_enum, value_name = "PEER", conflicts_with = "peer")]
    only: Vec<Peer>,
    /// Turns of each
    #[arg(long, value_name = "N", default_value_t = 5)]
    repetitions: u32,
    /// Length of a turn
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    seconds: f64,
    /// Clients that commit at once
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,64,256")]
    clients: Vec<u32>,
    /// Commits per second where lag is measured
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "500,2000")]
    rates: Vec<u32>,
    /// Documents that a replica misses or copies, or that are read
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    documents: u64,
    /// Replicas of the workload `copies`
    #[arg(long, value_name = "N", default_value_t = 8)]
    copies: usize,
    /// Put the servers' folders here, below a folder that nobody else uses
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// text with a table at the end, or json with one sample per line
    #[arg(long, value_enum, hide_possible_values = true, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

/// The least server, started by `speed`
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Floor {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    port: u16,
    #[arg(long)]
    source: Option<u16>,
}

impl Speed {
    pub(crate) fn run(&self) -> Result<(), speed::SpeedError> {
        let temporary = tempfile::tempdir()?;
        let mut peers = vec![Peer::Apograph, Peer::Floor];
        peers.extend(self.peer.iter().filter(|peer| !matches!(peer, Peer::Apograph | Peer::Floor)));
        let settings = Settings {
            root: self.dir.as_deref().unwrap_or(temporary.path()).to_owned(),
            program: std::env::current_exe()?,
            peers: if self.only.is_empty() { peers } else { self.only.clone() },
            repetitions: self.repetitions,
            duration: Duration::from_secs_f64(self.seconds),
            clients: self.clients.clone(),
            rates: self.rates.clone(),
            documents: self.documents,
            copies: self.copies,
        };
        let texts = Texts::make(&Corpus::load());
        let workloads = if self.workloads.is_empty() { Workload::value_variants() } else { &self.workloads };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut outcomes = Vec::new();
        for workload in workloads {
            let told = |sample: &speed::Sample| self.tell(sample);
            outcomes.extend(runtime.block_on(speed::measure(*workload, &settings, &texts, told))?);
        }
        if self.output == Output::Text {
            println!("\n{}", speed::table(&outcomes, &settings.peers));
        }
        Ok(())
    }

    fn tell(&self, sample: &speed::Sample) {
        let more = &sample.more;
        match self.output {
            Output::Json => println!("{}", serde_json::to_string(sample).expect("a sample is plain data")),
            Output::Text => println!(
                "{:<44} {:<9} {:>9.2} {:<9} p50 {:>6.2} ms  p99 {:>7.2} ms  cpu % client {:>3.0} primary {:>3.0} replicas {:>3.0}  MiB {:.0} {:.0}",
                sample.what,
                sample.peer,
                sample.value,
                sample.unit,
                more.p50_ms,
                more.p99_ms,
                more.client_percent,
                more.primary_percent,
                more.replicas_percent,
                more.primary_mib,
                more.replicas_mib,
            ),
        }
    }
}

impl Floor {
    pub(crate) fn run(&self) -> std::io::Result<()> {
        speed::serve_floor(&self.dir, self.port, self.source)
    }
}
