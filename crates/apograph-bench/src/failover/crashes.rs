//! The primary is killed under load, the replica promoted at once, and the old one comes back, believing to be primary.

use std::path::Path;
use std::time::{Duration, Instant};

use super::FailoverScale;
use super::checker::Promise;
use super::pair::{Pair, longest_gap_us, percentiles};
use crate::figures::{Report, Unit};
use crate::proxy::Line;
use crate::random::Random;

pub(super) fn run(root: &Path, scale: FailoverScale) -> Report {
    let mut report = Report::new("crashes", 0);
    let mut pair = Pair::set_up(root, scale);
    let clients = pair.clients();
    let (mut gaps, mut lost, mut back, mut failures) = (Vec::new(), Vec::new(), 0, Vec::new());
    let began = Instant::now();
    for round in 0..scale.rounds {
        let (dies, takes) = ((round % 2) as usize, 1 - (round % 2) as usize);
        pair.until_ready(dies);
        pair.let_write();
        let (first, killed_us) = (pair.recorder.len(), pair.recorder.now_us());
        let mut random = Random::new(scale.seed, u64::from(round));
        std::thread::sleep(Duration::from_millis(random.below(50)));
        // Every other time the copy hears nothing for a moment before: more is acknowledged that it does not have.
        if random.once_in(2) {
            pair.lines[dies].switch(Line::Says(b""));
            std::thread::sleep(Duration::from_millis(200));
        }
        pair.servers[dies].kill();
        pair.promote(takes, true);
        pair.let_write();
        gaps.push(longest_gap_us(&pair.recorder.since(first), killed_us, pair.recorder.now_us()));
        pair.lines[dies].switch(Line::To(pair.servers[dies].port));
        pair.servers[dies].start();
        pair.servers[dies].wait();
        pair.until_ready(takes);
        lost.push(pair.list_orphans(dies));
        match pair.restore_orphans(dies) {
            Ok(count) => back += count,
            Err(error) => failures.push(format!("crash {}: {error}", round + 1)),
        }
        pair.record_epochs();
    }
    clients.stop();
    let primary = pair.settled();
    report.figure("crashes", f64::from(scale.rounds), Unit::Count);
    report.figure("clients", f64::from(scale.clients), Unit::Count);
    report.figure("time", began.elapsed().as_secs_f64(), Unit::Seconds);
    report.figure("orphans that are clients' writes", lost.iter().sum::<u64>() as f64, Unit::Count);
    report.figure("of one crash, at most", lost.iter().max().copied().unwrap_or(0) as f64, Unit::Count);
    report.figure(
        "crashes that left some",
        lost.iter().filter(|lost| **lost > 0).count() as f64,
        Unit::Count,
    );
    report.figure("orphans that came back", back as f64, Unit::Count);
    percentiles(&mut report, "no write until the replica took them", &mut gaps, None);
    report.check("every restoration came to its end", failures.is_empty(), failures.join("\n"));
    report.outcome("equal in the end", pair.equal(primary));
    report.outcome("equal exports in the end", pair.equal_exports());
    pair.ask_for_lost();
    pair.judge(root, Promise::Accounted, primary, &mut report);
    report
}
