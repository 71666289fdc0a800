//! What must be so when everything is well again.

use std::io::Write;
use std::time::{Duration, Instant};

use apograph_bench::appends::clients::CANARY;
use apograph_bench::appends::{Told, Transaction, cycles};
use apograph_bench::exact::{export, held, holder, until_equal};
use apograph_bench::failover::checker::{Promise, check};
use apograph_bench::failover::history::Event;
use apograph_bench::process::apograph;

use super::Figures;
use super::place::Place;
use super::plan::{PRIMARY, STAGING};
use super::stage::Stage;

/// Copies are exact within this time after everything is well.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// Upper bound of what a server may have resident, whatever the backlog.
pub(super) const RESIDENT_MIB_MAX: u64 = 128;
/// Of each rule, so much is told.
const SHOWN: usize = 3;

/// What is wrong; nothing, if all is well. Stops the servers.
pub(super) fn judge(
    stage: &Stage,
    transactions: &[Transaction],
    figures: &mut Figures,
    healed: Instant,
) -> Vec<String> {
    let mut found = Vec::new();
    let events = stage.recorder.since(0);
    count(&events, transactions, figures);
    keep(stage, &events, transactions);
    for (copy, view) in stage.copies() {
        found.extend(until_equal(&stage.servers[PRIMARY], copy, view, SETTLE_MAX).err());
    }
    figures.settled_max = healed.elapsed();
    match export(&stage.servers[PRIMARY], "full") {
        Ok(export) => found.extend(judge_history(&export, &events, transactions)),
        Err(error) => found.push(format!("the primary cannot be exported: {error}")),
    }
    if let Some(path) = holder(&stage.servers[STAGING], CANARY.as_bytes()) {
        found.push(format!("{} holds what was never published", path.display()));
    }
    figures.broken = stage.lines.iter().map(apograph_bench::network::Network::broken).sum();
    for (server, place) in stage.servers.iter().zip(&stage.places) {
        let resident = server.resident_peak_mib();
        figures.resident_mib_max = figures.resident_mib_max.max(resident);
        if resident > RESIDENT_MIB_MAX {
            found.push(format!("the {} had {resident} MiB resident", server.name));
        }
        if let Some(line) = server.whole_log().lines().find(|line| line.contains("panicked at")) {
            found.push(format!("the {} panicked: {line}", server.name));
        }
        if let Place::Lying(disk) = place {
            figures.failed_syncs += disk.failed_syncs();
        }
        server.stop();
        found.extend(verify_journals(server));
    }
    found
}

fn judge_history(export: &str, events: &[Event], transactions: &[Transaction]) -> Vec<String> {
    let held = held(export);
    let lost = check(Promise::Lossless, events, &held.writes);
    let anomalies = cycles::check(transactions, &held.lists);
    let torn = held.torn.iter().map(|key| format!("a version of {key} does not continue the one before"));
    let lost = lost.iter().map(ToString::to_string);
    let anomalies = anomalies.iter().map(ToString::to_string);
    lost.take(SHOWN).chain(anomalies.take(SHOWN)).chain(torn.take(SHOWN)).collect()
}

/// Every byte of the journals, without a server.
fn verify_journals(server: &apograph_bench::process::Server) -> Option<String> {
    let output = apograph().args(["journal", "verify"]).arg(&server.folder).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let told = [output.stdout, output.stderr].concat();
            Some(format!("journals of the {}: {}", server.name, String::from_utf8_lossy(&told)))
        }
        Err(error) => Some(format!("journals of the {}: {error}", server.name)),
    }
}

fn count(events: &[Event], transactions: &[Transaction], figures: &mut Figures) {
    for of in transactions {
        let count = match (of.appends.is_empty(), of.told) {
            (true, _) => &mut figures.reads,
            (false, Told::Done) => &mut figures.acknowledged,
            (false, Told::NotDone) => &mut figures.refused,
            (false, Told::Nothing) => &mut figures.unknown,
        };
        *count += 1;
    }
    figures.reads += events.iter().filter(|event| matches!(event, Event::Read { .. })).count() as u64;
}

/// For a person to look at, beside the servers.
fn keep(stage: &Stage, events: &[Event], transactions: &[Transaction]) {
    let Some(folder) = stage.servers[PRIMARY].folder.parent() else { return };
    let mut lines = Vec::new();
    events.iter().for_each(|event| drop(writeln!(lines, "{}", serde_json::json!(event))));
    transactions.iter().for_each(|of| drop(writeln!(lines, "{}", serde_json::json!(of))));
    // On a small disk there may be no place; a run does not fail by that.
    let _ = std::fs::write(folder.join("history.ndjson"), lines);
}
