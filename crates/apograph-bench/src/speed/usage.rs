//! Processor time and memory of processes with their children, from `/proc`.

use std::collections::HashMap;
use std::fs;
use std::time::Instant;

use super::outcome::More;
use super::peer::Cluster;

/// The kernel counts processor time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time of everybody from a moment on.
pub(super) struct Usage {
    begun: Instant,
    client: f64,
    primary: f64,
    replicas: f64,
}

impl Usage {
    /// From now on. A process that does not run yet has had none.
    pub(super) fn begin(cluster: &Cluster) -> Usage {
        let (primary, replicas) = cluster.processes();
        let seconds = |ids: Vec<u32>| ids.into_iter().map(processor_seconds).sum();
        Usage {
            begun: Instant::now(),
            client: process(std::process::id()).map_or(0.0, |own| own.ticks as f64 / TICKS_PER_SECOND),
            primary: seconds(primary),
            replicas: seconds(replicas),
        }
    }

    /// Until now; and memory as it is now.
    pub(super) fn end(&self, cluster: &Cluster) -> More {
        let now = Usage::begin(cluster);
        let seconds = (now.begun - self.begun).as_secs_f64();
        let percent = |after: f64, before: f64| (100.0 * (after - before) / seconds).max(0.0);
        let (primary, replicas) = cluster.processes();
        More {
            client_percent: percent(now.client, self.client),
            primary_percent: percent(now.primary, self.primary),
            replicas_percent: percent(now.replicas, self.replicas),
            primary_mib: primary.into_iter().map(memory_mib).sum(),
            replicas_mib: replicas.into_iter().map(memory_mib).sum(),
            ..More::default()
        }
    }
}

/// Seconds of processor time that a process and its children, and theirs, have had. Children that ended count with the
/// parent that waited for them.
fn processor_seconds(root: u32) -> f64 {
    let processes = processes();
    let family = family(root, &processes);
    let ticks: u64 = family.iter().filter_map(|id| processes.get(id)).map(|process| process.ticks).sum();
    ticks as f64 / TICKS_PER_SECOND
}

/// Proportional set size of a process and its children, in MiB: memory that several share is counted once.
fn memory_mib(root: u32) -> f64 {
    let kib: u64 = family(root, &processes()).into_iter().map(proportional_kib).sum();
    kib as f64 / 1024.0
}

struct Process {
    parent: u32,
    ticks: u64,
}

fn processes() -> HashMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| Some((id, process(id)?))).collect()
}

/// Fields of `/proc/ID/stat` behind the name, which may hold anything and ends with the last bracket.
fn process(id: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |from: usize| {
        Some(fields.get(from)?.parse::<u64>().ok()? + fields.get(from + 1)?.parse::<u64>().ok()?)
    };
    Some(Process { parent: fields.get(1)?.parse().ok()?, ticks: ticks(11)? + ticks(13)? })
}

fn family(root: u32, processes: &HashMap<u32, Process>) -> Vec<u32> {
    let mut family = vec![root];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(processes.iter().filter(|(_, process)| process.parent == parent).map(|(id, _)| *id));
        at += 1;
    }
    family
}

fn proportional_kib(id: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
