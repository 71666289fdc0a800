//! Writes at a fixed rate, whatever the server does, and measures how long each commit took from the moment it was due:
//! a server that stalls makes many commits late, not one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use apograph_client::types::transaction::{Operation, Put, Target};
use apograph_client::types::{BulkAnswer, TransactionRequest};
use apograph_client::{Client, ClientError};
use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::process::Server;

/// Requests that carry the writes.
const STREAMS: u64 = 8;
/// Documents that each request writes, in turn.
const STREAM_DOCUMENTS: u64 = 500;
/// Bytes of a document, about.
const TEXT_BYTES: usize = 800;
/// Longest latency that is told from longer ones.
const LATENCY_MICROSECONDS_MAX: u64 = 600_000_000;

/// What goes on while commits are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Something begins or ends: not counted.
    Between,
    /// Nobody else wants anything of the server.
    Undisturbed,
    /// What is measured.
    Disturbed,
}

/// Writes until it is stopped.
#[derive(Debug)]
pub struct Writer {
    phase: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Written, ClientError>>,
}

/// What a writer saw.
#[derive(Debug)]
pub struct Written {
    latencies: [Histogram<u64>; 3],
}

impl Writer {
    /// Starts writing this many transactions a second, each of one document below `/live`.
    pub fn start(server: &Server, per_second: u64) -> Writer {
        let (phase, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let clients: Vec<Client> = (0..STREAMS).map(|_| server.client("editor")).collect();
        let (in_phase, until) = (phase.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(write_all(clients, per_second, &in_phase, &until))
        });
        Writer { phase, over, thread }
    }

    /// What commits that become due from now on belong to.
    pub fn phase(&self, phase: Phase) {
        self.phase.store(phase as usize, Ordering::Release);
    }

    /// Ends it.
    pub fn stop(self) -> Result<Written, ClientError> {
        self.over.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

impl Written {
    /// Commits of a phase.
    pub fn commits(&self, phase: Phase) -> u64 {
        self.latencies[phase as usize].len()
    }

    /// The latency that so many percent of a phase's commits did not exceed, in milliseconds.
    pub fn percentile_ms(&self, phase: Phase, percent: f64) -> f64 {
        self.latencies[phase as usize].value_at_percentile(percent) as f64 / 1000.0
    }
}

async fn write_all(
    clients: Vec<Client>,
    per_second: u64,
    phase: &AtomicUsize,
    over: &AtomicBool,
) -> Result<Written, ClientError> {
    let histogram = || Histogram::new_with_bounds(1, LATENCY_MICROSECONDS_MAX, 3).unwrap();
    let mut all = Written { latencies: [histogram(), histogram(), histogram()] };
    let period = Duration::from_micros(1_000_000 * STREAMS / per_second);
    let start = Instant::now();
    let streams = clients.into_iter().enumerate().map(|(stream, client)| {
        // Evenly spread, not all at once.
        let first = start + period * stream as u32 / STREAMS as u32;
        let latencies = [histogram(), histogram(), histogram()];
        write(client, stream, (first, period), (phase, over), latencies)
    });
    for written in futures_util::future::join_all(streams).await {
        for (all, one) in all.latencies.iter_mut().zip(written?) {
            all.add(one).unwrap();
        }
    }
    Ok(all)
}

/// One request: sends when it is time, takes answers meanwhile.
async fn write(
    client: Client,
    stream: usize,
    (first, period): (Instant, Duration),
    (phase, over): (&AtomicUsize, &AtomicBool),
    mut latencies: [Histogram<u64>; 3],
) -> Result<[Histogram<u64>; 3], ClientError> {
    let (sender, mut answers) = client.bulk("main");
    let (due, mut told) = mpsc::unbounded_channel();
    let sending = async move {
        let mut at = first;
        let mut number = 0;
        while !over.load(Ordering::Acquire) {
            tokio::time::sleep_until(at).await;
            let _ = due.send((at, phase.load(Ordering::Acquire)));
            if sender.send(&transaction(stream, number)).await.is_err() {
                break;
            }
            number += 1;
            at += period;
        }
    };
    let taking = async {
        while let Some(answer) = answers.next().await? {
            if let BulkAnswer::Refused(problem) = answer {
                return Err(ClientError::Problem(problem));
            }
            let Some((at, phase)) = told.recv().await else { break };
            let took = Instant::now().duration_since(at).as_micros() as u64;
            latencies[phase].saturating_record(took.max(1));
        }
        Ok(())
    };
    let ((), taken) = tokio::join!(sending, taking);
    taken.map(|()| latencies)
}

fn transaction(stream: usize, number: u64) -> TransactionRequest {
    let document = number % STREAM_DOCUMENTS;
    let sentence = format!("What editor {stream} wrote as text {number} of document {document}. ");
    let put = Put {
        target: Target::of(format!("/live/{stream}/{document}")),
        body: Some(sentence.repeat(TEXT_BYTES / sentence.len())),
        ..Put::default()
    };
    TransactionRequest { operations: vec![Operation::Put(put)], ..TransactionRequest::default() }
}
