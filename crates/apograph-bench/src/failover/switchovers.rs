//! The role goes to and fro while clients write.

use std::path::Path;
use std::time::Instant;

use apograph_client::types::SwitchoverRequest;

use super::FailoverScale;
use super::checker::Promise;
use super::history::{Event, Outcome};
use super::pair::{Pair, longest_gap_us, longest_wait_us, percentiles};
use crate::figures::{Report, Unit};
use crate::process::block_on;

/// What a client may be told by a switchover.
const SHORT_WAIT: [&str; 2] = ["read-only", "handing-over"];
/// Aim of the issue: the 99th percentile of the longest pause.
const PAUSE_MS_MAX: f64 = 1_000.0;

pub(super) fn run(root: &Path, scale: FailoverScale) -> Report {
    let mut report = Report::new("switchovers", 0);
    let pair = Pair::set_up(root, scale);
    let clients = pair.clients();
    let began = Instant::now();
    let (mut gaps, mut waits, mut held, mut unequal) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..scale.rounds as usize {
        let (from, to) = (round % 2, 1 - round % 2);
        pair.until_ready(from);
        pair.let_write();
        let (first, asked_us) = (pair.recorder.len(), pair.recorder.now_us());
        let request = SwitchoverRequest { to: pair.servers[to].name.to_owned(), timeout_s: Some(30) };
        let answer = block_on(pair.servers[from].client("admin").switchover("main", &request)).unwrap();
        assert!(answer.confirmed, "{answer:?}");
        pair.let_write();
        let (events, now_us) = (pair.recorder.since(first), pair.recorder.now_us());
        gaps.push(longest_gap_us(&events, asked_us, now_us));
        waits.push(longest_wait_us(&events, asked_us, now_us));
        held.push(answer.paused_ms * 1_000);
        clients.pause();
        unequal.extend(pair.equal(to).err().map(|found| format!("switchover {}: {found}", round + 1)));
        clients.resume();
    }
    clients.stop();
    let primary = pair.settled();
    report.figure("switchovers", f64::from(scale.rounds), Unit::Count);
    report.figure("clients", f64::from(scale.clients), Unit::Count);
    let seconds = began.elapsed().as_secs_f64();
    report.figure("time", seconds, Unit::Seconds);
    let bound = scale.is_measured.then_some(PAUSE_MS_MAX);
    percentiles(&mut report, "longest time without a write, per switchover", &mut gaps, bound);
    percentiles(&mut report, "longest wait of a client, per switchover", &mut waits, bound);
    percentiles(&mut report, "writes held by the primary", &mut held, None);
    report.check("an exact copy after each", unequal.is_empty(), unequal.join("\n"));
    report.outcome("equal exports in the end", pair.equal_exports());
    report.outcome("clients are told nothing but to wait", only_waits(&pair.recorder.since(0)));
    pair.judge(root, Promise::Lossless, primary, &mut report);
    report
}

fn only_waits(events: &[Event]) -> Result<(), String> {
    let other = events.iter().find(|event| match event {
        Event::Attempt { outcome: Outcome::Refused { code }, .. } => !SHORT_WAIT.contains(&code.as_str()),
        Event::Attempt { outcome: Outcome::Unknown { .. }, .. } => true,
        _ => false,
    });
    other.map_or(Ok(()), |other| Err(format!("{other:?}")))
}
