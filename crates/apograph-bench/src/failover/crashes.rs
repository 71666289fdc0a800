//! The primary is killed under load, the replica promoted at once, and the old one comes back, believing to be primary.

use std::path::Path;
use std::time::{Duration, Instant};

use super::FailoverScale;
use super::checker::Promise;
use super::orphans::Orphans;
use super::pair::{Pair, longest_gap_us, percentiles};
use crate::figures::{Report, Unit};
use crate::proxy::Line;
use crate::random::Random;

pub(super) fn run(root: &Path, scale: FailoverScale) -> Report {
    let mut report = Report::new("crashes", 0);
    let mut pair = Pair::set_up(root, scale);
    let clients = pair.clients();
    let (mut gaps, mut orphans) = (Vec::new(), Orphans::default());
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
        orphans.take_back(&mut pair, dies);
        pair.record_epochs();
    }
    clients.stop();
    let primary = pair.settled();
    report.figure("crashes", f64::from(scale.rounds), Unit::Count);
    report.figure("clients", f64::from(scale.clients), Unit::Count);
    report.figure("time", began.elapsed().as_secs_f64(), Unit::Seconds);
    orphans.report(&mut report);
    percentiles(&mut report, "no write until the replica took them", &mut gaps, None);
    report.outcome("equal in the end", pair.equal(primary));
    report.outcome("equal exports in the end", pair.equal_exports());
    pair.ask_for_lost();
    pair.judge(root, Promise::of(scale.durability), primary, &mut report);
    report
}
