//! The measurements of `cargo xtask speed`, short and small: they run, every peer does its work, and the table is whole.
//! What they measure here means nothing.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use apograph_bench::documents::Corpus;
use apograph_bench::speed::{Peer, Settings, Texts, Workload, measure, table};
use clap::ValueEnum;

#[test]
fn every_workload_runs_beside_the_floor() {
    let root = tempfile::tempdir().unwrap();
    let peers = vec![Peer::Apograph, Peer::Floor];
    let settings = Settings {
        root: root.path().to_owned(),
        program: PathBuf::from(env!("CARGO_BIN_EXE_apograph-bench")),
        peers: peers.clone(),
        repetitions: 1,
        duration: Duration::from_millis(200),
        clients: vec![3],
        rates: vec![1000],
        documents: 700,
        copies: 2,
    };
    let texts = Texts::make(&Corpus::load());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut outcomes = Vec::new();
    for workload in Workload::value_variants() {
        let measured = runtime.block_on(measure(*workload, &settings, &texts, |_| {})).unwrap();
        outcomes.extend(measured);
    }
    for outcome in &outcomes {
        for peer in &peers {
            let median = outcome.median(*peer, |sample| sample.value).unwrap();
            assert!(median > 0.0, "{}: {} did nothing", outcome.what, peer.name());
        }
    }
    let table = table(&outcomes, &peers);
    assert_eq!(table.lines().count(), 2 + outcomes.len());
    assert!(!table.contains("\u{2013} |"), "a cell is empty:\n{table}");
}
