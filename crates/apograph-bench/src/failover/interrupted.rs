//! One side or the other is killed in the middle of a switchover, and started again a moment later.

use std::path::Path;
use std::time::{Duration, Instant};

use apograph_client::types::SwitchoverRequest;

use super::FailoverScale;
use super::checker::Promise;
use super::pair::Pair;
use crate::figures::{Report, Unit};
use crate::process::block_on;
use crate::random::Random;

/// A switchover takes about so long, from the question to the new primary.
const MIDDLE: Duration = Duration::from_millis(120);
/// It is given up after so long.
const TIMEOUT_SECONDS: u64 = 5;

pub(super) fn run(root: &Path, scale: FailoverScale) -> Report {
    let mut report = Report::new("interrupted", 0);
    let mut pair = Pair::set_up(root, scale);
    let clients = pair.clients();
    let (mut killed, mut moved, mut busy, mut orphans) = ([0_u32; 2], 0, Vec::new(), 0);
    let began = Instant::now();
    let mut primary = 0;
    for round in 0..scale.rounds {
        pair.until_ready(primary);
        pair.let_write();
        let mut random = Random::new(scale.seed ^ 0x51, u64::from(round));
        let request = SwitchoverRequest {
            to: pair.servers[1 - primary].name.to_owned(),
            timeout_s: Some(TIMEOUT_SECONDS),
        };
        let client = pair.servers[primary].impatient_client("admin");
        let asking = std::thread::spawn(move || block_on(client.switchover("main", &request)));
        std::thread::sleep(Duration::from_micros(random.below(MIDDLE.as_micros() as u64)));
        let side = usize::from(random.once_in(2));
        let victim = if side == 0 { primary } else { 1 - primary };
        pair.servers[victim].kill();
        killed[side] += 1;
        std::thread::sleep(Duration::from_millis(random.below(300)));
        pair.servers[victim].start();
        pair.servers[victim].wait();
        let answer = asking.join().unwrap();
        let now = pair.settled();
        moved += u32::from(now != primary);
        primary = now;
        pair.let_write();
        orphans += pair.list_orphans(0) + pair.list_orphans(1);
        // Nothing of what broke off is in the way of the next one.
        let code = answer.err().and_then(|error| error.problem().map(|problem| problem.code.clone()));
        busy.extend(code.filter(|code| code == "busy").map(|_| format!("switchover {}", round + 1)));
    }
    clients.stop();
    let primary = pair.settled();
    report.figure("switchovers", f64::from(scale.rounds), Unit::Count);
    report.figure("clients", f64::from(scale.clients), Unit::Count);
    report.figure("time", began.elapsed().as_secs_f64(), Unit::Seconds);
    report.figure("kills of the primary", f64::from(killed[0]), Unit::Count);
    report.figure("kills of the server that was to become primary", f64::from(killed[1]), Unit::Count);
    report.figure("switchovers that happened all the same", f64::from(moved), Unit::Count);
    report.check("none finds an earlier one under way", busy.is_empty(), busy.join(", "));
    report.check("no orphans", orphans == 0, if orphans == 0 { String::new() } else { orphans.to_string() });
    report.outcome("equal in the end", pair.equal(primary));
    report.outcome("equal exports in the end", pair.equal_exports());
    pair.judge(root, Promise::Lossless, primary, &mut report);
    report
}
