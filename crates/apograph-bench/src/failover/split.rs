//! The network between the two servers is cut, in both directions, and clients reach both. Somebody promotes the replica
//! while the primary goes on. Then the network heals.

use std::path::Path;
use std::time::{Duration, Instant};

use super::FailoverScale;
use super::checker::Promise;
use super::history::Event;
use super::orphans::Orphans;
use super::pair::Pair;
use crate::figures::{Report, Unit};
use crate::proxy::Line;

pub(super) fn run(root: &Path, scale: FailoverScale) -> Report {
    let mut report = Report::new("split", 0);
    let mut pair = Pair::set_up(root, scale);
    let clients = pair.clients();
    let (mut both, mut orphans) = (0, Orphans::default());
    let began = Instant::now();
    for round in 0..scale.rounds {
        let (old, new) = ((round % 2) as usize, 1 - (round % 2) as usize);
        pair.until_ready(old);
        pair.let_write();
        let first = pair.recorder.len();
        // Every third time packets are lost without a word; otherwise connections break.
        let cut = if round % 3 == 2 { Line::Silence } else { Line::Says(b"") };
        for line in &pair.lines {
            line.switch(cut.clone());
        }
        std::thread::sleep(Duration::from_millis(100));
        pair.promote(new, true);
        pair.let_write();
        let events = pair.recorder.since(first);
        let wrote = |name: &str| {
            events.iter().any(|event| match event {
                Event::Attempt { server, outcome, .. } => *server == name && outcome.is_saved(),
                _ => false,
            })
        };
        both += u32::from(wrote("north") && wrote("south"));
        for (line, server) in pair.lines.iter().zip(&pair.servers) {
            line.switch(Line::To(server.port));
        }
        pair.until_ready(new);
        orphans.take_back(&mut pair, old);
        pair.record_epochs();
    }
    clients.stop();
    let primary = pair.settled();
    report.figure("splits", f64::from(scale.rounds), Unit::Count);
    report.figure("clients", f64::from(scale.clients), Unit::Count);
    report.figure("time", began.elapsed().as_secs_f64(), Unit::Seconds);
    report.figure("splits in which both sides acknowledged", f64::from(both), Unit::Count);
    orphans.report(&mut report);
    report.outcome("one history in the end", pair.equal(primary));
    report.outcome("equal exports in the end", pair.equal_exports());
    pair.ask_for_lost();
    pair.judge(root, Promise::of(scale.durability), primary, &mut report);
    report
}
