//! The link's transcript: run it, and compare what it caused with what is written down.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::time::Duration;

use apograph_format::{DatabaseId, PartitionId, ServerKey, View};
use apograph_replication::carrier::RefusalKind;
use apograph_replication::link::{Action, Event, Greeting, Held, Link, StopReason};

const TRANSCRIPT: &str = include_str!("link.transcript");

#[test]
fn the_transcript_is_what_the_link_does() {
    let replayed = replay(TRANSCRIPT);
    assert!(replayed == TRANSCRIPT, "expected what tests/link.transcript says, got:\n{replayed}");
}

fn replay(transcript: &str) -> String {
    let mut link = Link::new(View::Full, None);
    let mut output = String::new();
    let mut caused: Option<Vec<Action>> = None;
    let mut skipping = false;
    for line in transcript.lines() {
        if line == "---" {
            output.push_str("---\n");
            for action in caused.take().unwrap_or_default() {
                writeln!(output, "{}", show(&action)).unwrap();
            }
            let state = link.state();
            let reason = state.reason().map(|reason| format!(" {reason}")).unwrap_or_default();
            writeln!(output, "{}{reason}", state.as_str()).unwrap();
            skipping = true;
        } else if line.is_empty() || line.starts_with('#') {
            skipping = false;
            writeln!(output, "{line}").unwrap();
        } else if !skipping {
            writeln!(output, "{line}").unwrap();
            let (time, event) = line.split_once(' ').unwrap();
            let now = Duration::from_secs_f64(time.parse().unwrap());
            match event.strip_prefix("new ") {
                Some(view) => link = Link::new(view.parse().unwrap(), None),
                None => caused = Some(link.on(parse(event), now, u16::MAX)),
            }
        }
    }
    output
}

fn parse(text: &str) -> Event {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let partition = || PartitionId(rest.parse().unwrap());
    match verb {
        "due" => Event::Due,
        "tick" => Event::Tick,
        "greeted" => Event::Greeted(greeting(rest)),
        "adopted" => {
            let Greeting { database, partitions, primary, .. } = greeting(rest);
            Event::Adopted(Held { database, partitions, primary })
        }
        "progress" => Event::Progress(partition()),
        "alive" => Event::Alive(partition()),
        "ended" => Event::Ended(partition()),
        "rejected" => Event::Rejected(partition()),
        "refused" => Event::Refused(RefusalKind::ALL.into_iter().find(|kind| kind.as_str() == rest).unwrap()),
        "halted" => {
            Event::Halted(StopReason::ALL.into_iter().find(|reason| reason.as_str() == rest).unwrap())
        }
        other => panic!("unknown event {other}"),
    }
}

fn greeting(text: &str) -> Greeting {
    let field = |name: &str| {
        text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse::<u8>().ok())
    };
    Greeting {
        protocol: field("protocol").unwrap_or(1).into(),
        database: DatabaseId([field("db").unwrap(); 16]),
        view: View::Full,
        partitions: field("partitions").unwrap().into(),
        primary: field("key").map(|key| ServerKey([key; 32])),
    }
}

fn show(action: &Action) -> String {
    match action {
        Action::Greet => "greet".into(),
        Action::Adopt => "adopt".into(),
        Action::Open { partitions } => format!("open {partitions}"),
        Action::Close => "close".into(),
        Action::Wait { after } => format!("wait {}", after.as_secs_f64()),
    }
}
