//! How fast Apograph is, beside the least that does the work and beside PostgreSQL, on the same machine in the same run.
//!
//! All servers get the same documents from the same client. Their clusters stand side by side for a workload and take
//! turns, so that a machine that changes its mood changes it for all; what counts are ratios within one run. The client
//! is one thread, and shares the two cores with the servers.

mod catch_up;
mod closed;
mod connection;
mod floor;
mod http;
mod lag;
mod outcome;
mod peer;
mod postgres;
mod texts;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

pub use floor::serve as serve_floor;
pub use outcome::{Outcome, Sample, table};
pub use peer::{Cluster, Peer};
pub use texts::Texts;

/// Longest wait for a server or a replica.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at something that takes long.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// W1: every client commits one new document after the other; one replica follows
    Commits,
    /// W1b: transactions of a hundred documents
    Transactions,
    /// W2: from the acknowledgement by the primary until the replica shows the document, at a fixed rate
    Lag,
    /// W3: a replica that was stopped gets the documents it missed
    CatchUp,
    /// W4: an empty replica is attached to a primary full of documents
    InitialCopy,
    /// W5: as W2, with eight replicas
    Copies,
    /// W6: clients read documents at random from the replica
    Reads,
}

/// How much of it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the servers' folders go.
    pub root: PathBuf,
    /// The program `apograph-bench`, which is the floor when it is told to.
    pub program: PathBuf,
    /// Who takes part.
    pub peers: Vec<Peer>,
    /// Turns of each.
    pub repetitions: u32,
    /// Length of a turn; a quarter of it, one second at most, is not counted.
    pub duration: Duration,
    /// Numbers of clients, for workloads without a fixed rate.
    pub clients: Vec<u32>,
    /// Commits per second, for workloads with one.
    pub rates: Vec<u32>,
    /// Documents that a replica misses, or has to copy, or that are read.
    pub documents: u64,
    /// Replicas of W5.
    pub copies: usize,
}

/// Why a measurement ended early.
#[derive(Debug, thiserror::Error)]
pub enum SpeedError {
    /// The line to a server broke, or a file could not be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// PostgreSQL refused.
    #[error("postgres: {0}")]
    Postgres(#[from] tokio_postgres::Error),
    /// A server did not do what it was asked.
    #[error("refused: {0}")]
    Refused(String),
    /// A program is not installed.
    #[error("{0}")]
    Absent(String),
    /// It took too long.
    #[error("not within {PATIENCE:?}: {0}")]
    Late(String),
}

/// Measures a workload; `told` is called with every sample as it comes.
pub async fn measure(
    workload: Workload,
    settings: &Settings,
    texts: &Texts,
    mut told: impl FnMut(&Sample),
) -> Result<Vec<Outcome>, SpeedError> {
    let run = Run { settings, texts };
    match workload {
        Workload::Commits => run.closed("W1 commits", closed::Kind::Put, &mut told).await,
        Workload::Transactions => {
            run.closed("W1b documents in transactions of 100", closed::Kind::PutMany, &mut told).await
        }
        Workload::Reads => run.closed("W6 reads of a replica", closed::Kind::Get, &mut told).await,
        Workload::Lag => run.lag("W2 lag", 1, &mut told).await,
        Workload::Copies => run.lag("W5 lag", settings.copies, &mut told).await,
        Workload::CatchUp => run.catch_up("W3 catch-up", false, &mut told).await,
        Workload::InitialCopy => run.catch_up("W4 initial copy", true, &mut told).await,
    }
}

/// What the measurements of one workload share.
struct Run<'a> {
    settings: &'a Settings,
    texts: &'a Texts,
}

/// Called with every sample as it comes.
type Told<'a> = &'a mut dyn FnMut(&Sample);

impl Run<'_> {
    /// A cluster of every peer, side by side, each with the number of its next document.
    async fn clusters(&self, replicas: usize) -> Result<Vec<(Peer, Cluster, u64)>, SpeedError> {
        let mut clusters = Vec::new();
        for peer in &self.settings.peers {
            let mut next = 0;
            clusters.push((*peer, self.cluster(*peer, replicas, &mut next).await?, next));
        }
        Ok(clusters)
    }

    /// A cluster of a peer with this many replicas, all of which have the document `next`; counts it.
    async fn cluster(&self, peer: Peer, replicas: usize, next: &mut u64) -> Result<Cluster, SpeedError> {
        let folder = self.settings.root.join(peer.name());
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let mut cluster = Cluster::start(peer, &folder, &self.settings.program).await?;
        for _ in 0..replicas {
            cluster.attach().await?;
        }
        let number = *next;
        *next += 1;
        cluster.connect(0).await?.put(self.texts, number).await?;
        for node in 1..=replicas {
            self.until_there(&cluster, node, number).await?;
        }
        Ok(cluster)
    }

    /// Waits until a node has a document. The node may not run yet.
    async fn until_there(&self, cluster: &Cluster, node: usize, number: u64) -> Result<(), SpeedError> {
        let begun = tokio::time::Instant::now();
        let mut connection = None;
        while begun.elapsed() < PATIENCE {
            if connection.is_none() {
                connection = cluster.connect(node).await.ok();
            }
            if let Some(open) = &mut connection {
                match open.get(number).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    // It begins: it says so, or closes.
                    Err(_) => connection = None,
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(SpeedError::Late(format!("document {number} on node {node}")))
    }
}
