//! Two servers that can both be primary, a line to each that can be cut, and clients.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apograph_client::format::{Epoch, Token, Uri};
use apograph_client::types::link::LinkDirection;
use apograph_client::types::{LinkState, PromoteRequest, ReadQuery, Role};
use serde_json::Value;

use super::FailoverScale;
use super::checker::{Holdings, Promise, check};
use super::clients::Clients;
use super::history::{Event, Outcome, Recorder, Write};
use crate::figures::{Report, Unit};
use crate::process::{Server, block_on, done, eventually};
use crate::proxy::{Line, Proxy};
use crate::runs::verify;

/// Violations of each kind of report that are shown.
const SHOWN: usize = 5;

/// Two servers that know each other.
pub(super) struct Pair {
    pub(super) servers: [Server; 2],
    /// Where each appears to the other.
    pub(super) lines: [Proxy; 2],
    pub(super) recorder: Arc<Recorder>,
    pub(super) scale: FailoverScale,
    /// The last orphan that was listed at each.
    pub(super) listed: [u64; 2],
}

impl Pair {
    /// The first is primary, the second follows it.
    pub(super) fn set_up(root: &Path, scale: FailoverScale) -> Pair {
        let first = Server::init(root, "north", "primary", None, scale.partitions);
        let second = Server::init(root, "south", "replica", Some((&first, "link-replica")), 0);
        let lines = [&first, &second].map(|server| Proxy::start(Line::To(server.port)));
        first.appear_at(lines[0].port);
        second.appear_at(lines[1].port);
        second.point(lines[0].port, &first);
        let servers = [first, second];
        for server in &servers {
            server.start();
            server.wait();
        }
        let recorder = Arc::default();
        let pair = Pair { servers, lines, recorder, scale, listed: [0; 2] };
        pair.until_ready(0);
        pair
    }

    pub(super) fn clients(&self) -> Clients {
        let [first, second] = &self.servers;
        Clients::start([first, second], &self.scale, Arc::clone(&self.recorder))
    }

    /// Waits until clients wrote undisturbed for a while.
    pub(super) fn let_write(&self) {
        let (began, before) = (Instant::now(), self.recorder.saved());
        eventually("clients write", || {
            began.elapsed() >= self.scale.between
                && self.recorder.saved() >= before + self.scale.clients as usize
        });
    }

    /// Waits until this one is primary, the other one follows it, and they know each other.
    pub(super) fn until_ready(&self, primary: usize) {
        let (of, other) = (&self.servers[primary], &self.servers[1 - primary]);
        eventually(&format!("{} is primary and {} follows", of.name, other.name), || {
            role(of) == Some(Role::Primary) && role(other) == Some(Role::Replica) && is_followed(of, other)
        });
    }

    /// Who is primary, when exactly one is and the other one follows.
    pub(super) fn settled(&self) -> usize {
        let mut primary = None;
        eventually("one is primary and the other one follows", || {
            primary = (0..2).find(|at| {
                let (of, other) = (&self.servers[*at], &self.servers[1 - *at]);
                role(of) == Some(Role::Primary)
                    && role(other) == Some(Role::Replica)
                    && is_followed(of, other)
            });
            primary.is_some()
        });
        primary.unwrap()
    }

    /// Both hold the same, at the same time. Clients have to be quiet.
    pub(super) fn equal(&self, primary: usize) -> Result<(), String> {
        let (of, other) = (&self.servers[primary], &self.servers[1 - primary]);
        let mut last = Err(String::new());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            last = verify(of, other);
            if last.is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        last
    }

    /// Equal exports, byte for byte.
    pub(super) fn equal_exports(&self) -> Result<(), String> {
        let [first, second] = [0, 1].map(|at| self.export(at));
        if first == second { Ok(()) } else { Err("the exports differ".to_owned()) }
    }

    fn export(&self, at: usize) -> Vec<u8> {
        done(&mut self.servers[at].command("reader", &["export", "--view", "full"])).stdout
    }

    /// Makes this one primary, whose source was lost a moment ago.
    pub(super) fn promote(&self, at: usize, force: bool) {
        let client = self.servers[at].impatient_client("admin");
        let request = PromoteRequest { force, reason: Some("a run".to_owned()), ..PromoteRequest::default() };
        eventually(&format!("{} is promoted", self.servers[at].name), || {
            block_on(client.promote("main", &request)).is_ok_and(|answer| answer.promoted)
        });
    }

    /// What both say of epochs, into the history.
    pub(super) fn record_epochs(&self) {
        for server in &self.servers {
            let client = server.client("admin");
            let Ok(handshake) = block_on(client.handshake("main", apograph_client::format::View::Full))
            else {
                continue;
            };
            for start in handshake.epochs.into_iter().filter(|start| start.epoch > Epoch::FIRST) {
                let named = self.servers.iter().find(|server| server.name == start.primary.name);
                let server = named.map_or("somebody else", |server| server.name);
                self.recorder.record(Event::Epoch { epoch: start.epoch, base: start.base.0, server });
            }
        }
    }

    /// Asks both for tokens that were cut off, and records what they say.
    pub(super) fn ask_for_lost(&self) {
        let events = self.recorder.since(0);
        let lost = events.iter().filter_map(|event| match event {
            Event::Orphan { token, .. } => Some(*token),
            _ => None,
        });
        let lost: Vec<Token> = lost.collect();
        let some = lost.iter().step_by((lost.len() / 50).max(1));
        for token in some {
            for server in &self.servers {
                let query = ReadQuery { at_least: Some(token.to_string()), ..ReadQuery::default() };
                let uri = Uri::parse("/log/0").unwrap();
                let answer = block_on(server.client("reader").document("main", &uri, &query));
                let code = match answer {
                    Ok(_) => None,
                    Err(error) => Some(error.problem().map_or(error.to_string(), |of| of.code.clone())),
                };
                self.recorder.record(Event::Asked { token: *token, server: server.name, code });
            }
        }
    }

    /// What the database holds: versions by the write that they name.
    fn holdings(&self, at: usize) -> Holdings {
        let mut holdings = Holdings::new();
        for line in self.export(at).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Value = serde_json::from_slice(line).unwrap();
            if let Some(write) = line["comment"].as_str().and_then(Write::parse) {
                *holdings.entry(write).or_default() += 1;
            }
        }
        holdings
    }

    /// Ends the run: judges its history, and keeps it in a file beside the servers.
    pub(super) fn judge(&self, root: &Path, promise: Promise, primary: usize, report: &mut Report) {
        self.record_epochs();
        let holdings = self.holdings(primary);
        let events = self.recorder.since(0);
        let mut file = std::io::BufWriter::new(std::fs::File::create(root.join("history.ndjson")).unwrap());
        for event in &events {
            serde_json::to_writer(&mut file, event).unwrap();
            file.write_all(b"\n").unwrap();
        }
        let violations = check(promise, &events, &holdings);
        let shown: Vec<String> = violations.iter().take(SHOWN).map(ToString::to_string).collect();
        count_attempts(&events, report);
        report.check(
            "nothing acknowledged is lost, doubled or unaccounted for",
            violations.is_empty(),
            format!("{}{}", count_of(violations.len()), shown.join("\n")),
        );
    }
}

fn count_of(violations: usize) -> String {
    if violations == 0 { String::new() } else { format!("{violations} violations:\n") }
}

fn count_attempts(events: &[Event], report: &mut Report) {
    let (mut acknowledged, mut less, mut confirmed, mut refused, mut unknown, mut reads) =
        (0_u64, 0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    for event in events {
        match event {
            Event::Attempt { outcome, .. } => match outcome {
                Outcome::Acknowledged { .. } => acknowledged += 1,
                Outcome::Less { .. } => less += 1,
                Outcome::Confirmed => confirmed += 1,
                Outcome::Refused { .. } => refused += 1,
                Outcome::Unknown { .. } => unknown += 1,
            },
            Event::Read { .. } => reads += 1,
            _ => {}
        }
    }
    for (what, count) in [
        ("writes acknowledged", acknowledged),
        ("writes answered as saved, by fewer servers than asked for", less),
        ("writes confirmed after no answer came", confirmed),
        ("attempts told to try again", refused),
        ("attempts without an answer", unknown),
        ("reads of what was just written", reads),
    ] {
        report.figure(what, count as f64, Unit::Count);
    }
}

/// What a server says its role is, if it answers.
pub(super) fn role(server: &Server) -> Option<Role> {
    Some(server.status()?.database("main")?.role)
}

/// Does `other` follow, in the same history, and report so?
fn is_followed(of: &Server, other: &Server) -> bool {
    // A link says that it follows before the source has looked at where it is.
    let epoch = |server: &Server| Some(server.status()?.database("main")?.epoch);
    if epoch(of).is_none() || epoch(of) != epoch(other) {
        return false;
    }
    let follows = other.status().is_some_and(|status| {
        status
            .links
            .iter()
            .any(|link| link.direction == LinkDirection::In && link.state == LinkState::Following)
    });
    let reports = of.status().is_some_and(|status| {
        status.links.iter().any(|link| {
            let is_other = link.peer.name.as_deref() == Some(other.name);
            link.direction == LinkDirection::Out && link.state == LinkState::Following && is_other
        })
    });
    follows && reports
}

/// The longest time in which no write was answered as saved between two moments, in microseconds.
pub(super) fn longest_gap_us(events: &[Event], from_us: u64, to_us: u64) -> u64 {
    let mut times: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Attempt { answered_us, outcome, .. } if outcome.is_saved() => Some(*answered_us),
            _ => None,
        })
        .filter(|at| (from_us..=to_us).contains(at))
        .collect();
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(to_us.saturating_sub(from_us))
}

/// The longest that one client waited for one write which was acknowledged between two moments, in microseconds.
pub(super) fn longest_wait_us(events: &[Event], from_us: u64, to_us: u64) -> u64 {
    let mut first = std::collections::HashMap::new();
    let mut longest = 0;
    for event in events {
        let Event::Attempt { write, asked_us, answered_us, outcome, .. } = event else { continue };
        let asked = *first.entry(*write).or_insert(*asked_us);
        if outcome.is_saved() && (from_us..=to_us).contains(answered_us) {
            longest = longest.max(answered_us - asked);
        }
    }
    longest
}

/// p50, p99 and the longest of some times in microseconds, as figures in milliseconds.
pub(super) fn percentiles(report: &mut Report, what: &str, times: &mut [u64], p99_at_most_ms: Option<f64>) {
    times.sort_unstable();
    let at = |percent: usize| {
        let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(index).copied().unwrap_or_default() as f64 / 1000.0
    };
    report.figure(format!("{what}, p50"), at(50), Unit::Milliseconds);
    report.bounded(format!("{what}, p99"), at(99), Unit::Milliseconds, p99_at_most_ms);
    report.figure(format!("{what}, longest"), at(100), Unit::Milliseconds);
}
