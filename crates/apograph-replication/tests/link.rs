//! The link's transcript: run it, and compare what it caused with what is written down.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::time::Duration;

use apograph_format::{DatabaseId, Epoch, PartitionId, Partitioning, ServerKey, View};
use apograph_replication::carrier::RefusalKind;
use apograph_replication::link::{Action, Before, Event, Greeting, Held, Link, Misfit, StopReason};
use apograph_replication::sync::{Phase, SyncFailure, SyncReason};
use apograph_replication::versions::{Offered, Release};

const TRANSCRIPT: &str = include_str!("link.transcript");

#[test]
fn the_transcript_is_what_the_link_does() {
    let replayed = replay(TRANSCRIPT);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/link.transcript");
        return std::fs::write(path, replayed).unwrap();
    }
    assert!(replayed == TRANSCRIPT, "expected what tests/link.transcript says, got:\n{replayed}");
}

fn replay(transcript: &str) -> String {
    let mut link = Link::new(View::Full, None, Before::default());
    let mut output = String::new();
    let mut caused: Option<Vec<Action>> = None;
    let mut skipping = false;
    for line in transcript.lines() {
        if line == "---" {
            output.push_str("---\n");
            for action in caused.take().unwrap_or_default() {
                writeln!(output, "{}", show(&action)).unwrap();
            }
            writeln!(output, "{}: {}", link.state().as_str(), link.cause()).unwrap();
            skipping = true;
        } else if line.is_empty() || line.starts_with('#') {
            skipping = false;
            writeln!(output, "{line}").unwrap();
        } else if !skipping {
            writeln!(output, "{line}").unwrap();
            let (time, event) = line.split_once(' ').unwrap();
            let now = Duration::from_secs_f64(time.parse().unwrap());
            match event.strip_prefix("new ") {
                Some(copy) => link = new(copy),
                None => caused = Some(link.on(parse(event), now, u16::MAX)),
            }
        }
    }
    output
}

/// `VIEW`, then what the copy holds, if anything, then what was so before: `paused`, why a synchronization is due.
fn new(text: &str) -> Link {
    let view = text.split(' ').next().unwrap().parse().unwrap();
    let is = |word: &str| text.split(' ').any(|found| found == word);
    let held = text.contains("db=").then(|| held(text));
    let due = SyncReason::ALL.into_iter().find(|reason| is(reason.as_str()));
    Link::new(view, held, Before { paused: is("paused"), due })
}

fn held(text: &str) -> Held {
    let Greeting { database, partitions, held, primary, epoch, .. } = greeting(text);
    Held { database, partitions, held, primary, epoch }
}

fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, wanted: &str) -> T {
    let found = all.iter().copied().find(|one| name(*one) == wanted);
    found.unwrap_or_else(|| panic!("nothing is called {wanted}"))
}

fn failure(text: &str) -> SyncFailure {
    match text {
        "cut" => SyncFailure::Cut,
        "snapshot-expired" => SyncFailure::Expired,
        "halted" => SyncFailure::Halted,
        kind => SyncFailure::Refused(named(&RefusalKind::ALL, RefusalKind::as_str, kind)),
    }
}

fn parse(text: &str) -> Event {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let partition = || PartitionId(rest.parse().unwrap());
    match verb {
        "due" => Event::Due,
        "tick" => Event::Tick,
        "greeted" => Event::Greeted(greeting(rest)),
        "adopted" => Event::Adopted(held(rest)),
        "progress" => Event::Progress(partition()),
        "alive" => Event::Alive(partition()),
        "ended" => Event::Ended(partition()),
        "known" => Event::Known(held(rest)),
        "misfit" => Event::Misfit(named(&Misfit::ALL, Misfit::as_str, rest)),
        "rejected" => Event::Rejected(partition()),
        "refused" => Event::Refused(named(&RefusalKind::ALL, RefusalKind::as_str, rest)),
        "halted" => Event::Halted(named(&StopReason::ALL, StopReason::as_str, rest)),
        "needs" => Event::Needs(named(&SyncReason::ALL, SyncReason::as_str, rest)),
        "phase" => Event::Synchronizing(named(&Phase::ALL, Phase::as_str, rest)),
        "failed" => Event::SyncFailed(failure(rest)),
        "received" => Event::Received,
        "installed" => Event::Installed,
        "proven" => Event::Proven,
        "requested" => Event::Requested,
        "pause" => Event::Pause,
        "resume" => Event::Resume,
        other => panic!("unknown event {other}"),
    }
}

fn greeting(text: &str) -> Greeting {
    let field = |name: &str| {
        text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse::<u8>().ok())
    };
    let everyone = Partitioning::new(field("partitions").unwrap().into()).unwrap().everyone();
    Greeting {
        offered: Offered {
            software: field("minor").map(|minor| Release { major: 0, minor: minor.into(), patch: 0 }),
            protocol: field("protocol").unwrap_or(1).into(),
            format: field("format").unwrap_or(1).into(),
        },
        database: DatabaseId([field("db").unwrap(); 16]),
        view: View::Full,
        partitions: field("partitions").unwrap().into(),
        held: text
            .split(' ')
            .find_map(|word| word.strip_prefix("held="))
            .map_or(everyone, |held| held.split(',').map(|of| PartitionId(of.parse().unwrap())).collect()),
        primary: field("key").map(|key| ServerKey([key; 32])),
        epoch: text
            .split(' ')
            .find_map(|word| word.strip_prefix("epoch=")?.parse().ok())
            .unwrap_or(Epoch::FIRST),
    }
}

fn show(action: &Action) -> String {
    match action {
        Action::Greet => "greet".into(),
        Action::Adopt => "adopt".into(),
        Action::Open { partitions } => format!("open {}", partitions.count()),
        Action::Close => "close".into(),
        Action::Synchronize { reason, round } => format!("synchronize: {reason}, round {round}"),
        Action::Wait { after } => format!("wait {}", after.as_secs_f64()),
    }
}
