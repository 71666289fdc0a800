//! Either side is killed again and again during a full transfer.

use std::time::{Duration, Instant};

use super::{Copy, Stage};
use crate::figures::{Report, Unit};
use crate::random::Random;

/// Runs it, after the full transfer, which it is compared with.
pub(super) fn run(stage: &mut Stage) -> Report {
    let mut report = Report::new("kills", stage.scale.documents);
    let Some((full_copy, full)) = stage.full_copy(&mut report) else { return report };
    full_copy.server.stop();
    stage.prune(&[0]);
    let copy = Copy::new(stage, "killed");
    // So slow that all kills find room in it, whatever the machine does.
    let wanted = Duration::from_millis(stage.scale.kills * stage.scale.kill_pause_ms * 2);
    let bytes = full.traffic.bytes();
    copy.proxy.throttle((full.duration < wanted).then(|| bytes * 1000 / wanted.as_millis() as u64));
    let started = Instant::now();
    copy.server.start();
    let (of_primary, of_copy) = kill(stage, &copy);
    let outcome = copy.until_it_follows(stage);
    copy.proxy.throttle(None);
    report.figure("time", started.elapsed().as_secs_f64(), Unit::Seconds);
    report.figure("kills of the primary", of_primary as f64, Unit::Count);
    report.figure("kills of the copy", of_copy as f64, Unit::Count);
    let all = of_primary + of_copy == stage.scale.kills;
    report.check(format!("{} kills during the transfer", stage.scale.kills), all, "");
    let traffic = copy.proxy.take_traffic();
    report.figure("bytes", traffic.bytes() as f64, Unit::Bytes);
    report.figure("bytes of an undisturbed transfer", bytes as f64, Unit::Bytes);
    report.figure("requests", traffic.requests as f64, Unit::Count);
    let ratio = traffic.bytes() as f64 / bytes as f64;
    report.bounded(
        "bytes, by those of an undisturbed transfer",
        ratio,
        Unit::Ratio,
        Some(stage.scale.killed_ratio_max),
    );
    report.outcome("the copy follows in the end", outcome);
    report.outcome("the copy is equal", copy.verify(stage));
    copy.server.stop();
    full_copy.server.start();
    full_copy.server.wait();
    stage.full = Some((full_copy, full));
    report
}

/// Kills one side or the other while the transfer lasts; answers how often each.
fn kill(stage: &Stage, copy: &Copy) -> (u64, u64) {
    let (mut of_primary, mut of_copy) = (0, 0);
    for number in 0..stage.scale.kills {
        let mut random = Random::new(stage.scale.seed ^ 0xdead, number);
        let pause = stage.scale.kill_pause_ms;
        std::thread::sleep(Duration::from_millis(pause / 2 + random.below(pause)));
        if !copy.is_underway(stage) {
            break;
        }
        let (victim, count) = match random.once_in(2) {
            true => (&stage.primary, &mut of_primary),
            false => (&copy.server, &mut of_copy),
        };
        victim.kill();
        victim.start();
        victim.wait();
        *count += 1;
    }
    (of_primary, of_copy)
}
