//! A copy comes to equality while the primary takes a thousand transactions a second.
//!
//! Undisturbed times, with the copy stopped, and disturbed times alternate, so that both see the same machine. A
//! transfer that is stopped goes on where it was.

use std::time::{Duration, Instant};

use super::load::RESIDENT_MIB_MAX;
use super::{Copy, Stage};
use crate::figures::{Report, Unit};
use crate::writer::{Phase, Writer, Written};

/// Left out at the beginning of every phase.
const SETTLE: Duration = Duration::from_secs(1);
/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(250);
/// A memory that is flat does not grow by more than this from the middle third to the last, in hundredths.
const GROWTH_PERCENT_MAX: f64 = 15.0;

/// Resident memory over time, in MiB. The copy does two things one after the other, each with memory of its own: it
/// synchronizes, then it catches up and follows.
#[derive(Debug, Default)]
struct Memory {
    primary: Vec<u64>,
    synchronizing: Vec<u64>,
    following: Vec<u64>,
}

/// Runs it.
pub(super) fn run(stage: &mut Stage) -> Report {
    let mut report = Report::new("writes", stage.scale.documents);
    // A full transfer that went before says how fast the line may be so that this one lasts.
    let Some((full_copy, full)) = stage.full_copy(&mut report) else { return report };
    full_copy.server.stop();
    stage.keep_journal(stage.scale.writes_retention_bytes);
    let copy = Copy::new(stage, "beside-writes");
    let seconds = full.duration.as_secs_f64() * stage.scale.writes_throttle as f64;
    let rate = (full.traffic.bytes() as f64 / seconds) as u64;
    copy.server.configure(|database| database["source"]["throttle_bytes_per_second"] = rate.max(1).into());
    report.figure("throttle of the link, in a second", rate as f64, Unit::Bytes);
    stage.primary.forget_peak();

    let writer = Writer::start(&stage.primary, stage.scale.writes_per_second);
    let mut memory = Memory::default();
    let started = Instant::now();
    let patience = Duration::from_secs_f64(600.0 + 5.0 * seconds);
    let disturbed = alternate(stage, &copy, &writer, &mut memory, patience);
    report.figure("time until the copy followed", started.elapsed().as_secs_f64(), Unit::Seconds);
    report.figure("of it with the copy running", disturbed.as_secs_f64(), Unit::Seconds);
    writer.phase(Phase::Between);
    // It follows while writes go on, and some more.
    watch(stage, &copy, &mut memory, stage.scale.phase * 2);
    let follows = !copy.is_underway(stage);
    report.check(
        "the copy follows while writes go on",
        follows,
        if follows { String::new() } else { copy.told() },
    );
    let written = writer.stop();
    report.outcome("the copy reaches the last write", copy.until_it_follows(stage));
    report.outcome("the copy is equal", copy.verify(stage));
    match written {
        Ok(written) => latencies(&written, stage, &mut report),
        Err(error) => report.check("every write is taken", false, error.to_string()),
    }
    memory.figures(stage, &mut report);
    copy.server.stop();
    stage.keep_journal(stage.scale.retention_bytes);
    full_copy.server.start();
    full_copy.server.wait();
    stage.full = Some((full_copy, full));
    report
}

/// Phases until the copy follows; answers how long the copy ran.
fn alternate(
    stage: &Stage,
    copy: &Copy,
    writer: &Writer,
    memory: &mut Memory,
    patience: Duration,
) -> Duration {
    let mut disturbed = Duration::ZERO;
    let end = Instant::now() + patience;
    while Instant::now() < end {
        settle(writer);
        writer.phase(Phase::Undisturbed);
        watch(stage, copy, memory, stage.scale.phase);
        let started = Instant::now();
        copy.server.start();
        copy.server.wait();
        settle(writer);
        writer.phase(Phase::Disturbed);
        watch(stage, copy, memory, stage.scale.phase * 2);
        disturbed += started.elapsed();
        if !copy.is_underway(stage) {
            break;
        }
        writer.phase(Phase::Between);
        copy.server.stop();
    }
    disturbed
}

fn settle(writer: &Writer) {
    writer.phase(Phase::Between);
    std::thread::sleep(SETTLE);
}

/// Waits, and notes memory.
fn watch(stage: &Stage, copy: &Copy, memory: &mut Memory, duration: Duration) {
    let started = Instant::now();
    while started.elapsed() < duration {
        memory.primary.push(stage.primary.resident_mib());
        if copy.server.process_id().is_some() {
            let resident = copy.server.resident_mib();
            let of = if copy.is_synchronizing() { &mut memory.synchronizing } else { &mut memory.following };
            of.push(resident);
        }
        std::thread::sleep(SAMPLE);
    }
}

fn latencies(written: &Written, stage: &Stage, report: &mut Report) {
    for (name, phase) in [("undisturbed", Phase::Undisturbed), ("disturbed", Phase::Disturbed)] {
        report.figure(format!("{name}: commits"), written.commits(phase) as f64, Unit::Count);
        for percent in [50.0, 90.0, 99.0, 99.9] {
            let value = written.percentile_ms(phase, percent);
            report.figure(format!("{name}: commit latency p{percent}"), value, Unit::Milliseconds);
        }
    }
    let ratio =
        written.percentile_ms(Phase::Disturbed, 99.0) / written.percentile_ms(Phase::Undisturbed, 99.0);
    let bound = stage.scale.is_measured.then_some(2.0);
    report.bounded("commit latency p99, disturbed by undisturbed", ratio, Unit::Ratio, bound);
}

impl Memory {
    fn figures(&self, stage: &Stage, report: &mut Report) {
        let measured = stage.scale.is_measured;
        let parts = [
            ("primary", &self.primary),
            ("copy, synchronizing", &self.synchronizing),
            ("copy, following", &self.following),
        ];
        for (name, samples) in parts {
            let bound = measured.then_some(RESIDENT_MIB_MAX);
            let peak = samples.iter().copied().max().unwrap_or(0) as f64;
            report.bounded(format!("{name}: resident, peak"), peak, Unit::Mebibytes, bound);
            // Caches fill in the first third; a peak is one moment, such as two memtables that wait to be written.
            let third = samples.len() / 3;
            let [middle, last] = [&samples[third..2 * third], &samples[2 * third..]].map(median);
            report.figure(format!("{name}: resident, median of the middle third"), middle, Unit::Mebibytes);
            report.figure(format!("{name}: resident, median of the last third"), last, Unit::Mebibytes);
            let growth = 100.0 * (last / middle.max(1.0) - 1.0);
            let bound = measured.then_some(GROWTH_PERCENT_MAX);
            report.bounded(format!("{name}: growth"), growth.max(0.0), Unit::Percent, bound);
        }
    }
}

fn median(samples: &[u64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0) as f64
}
