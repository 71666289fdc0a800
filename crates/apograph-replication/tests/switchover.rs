//! The transcript of switchovers: run it, and compare what it caused with what is written down.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::time::Duration;

use apograph_format::Timestamp;
use apograph_replication::switchover::{Act, Answer, End, Event, Giving, State, Step, Taking};

const TRANSCRIPT: &str = include_str!("switchover.transcript");

#[test]
fn the_transcript_is_what_both_sides_do() {
    let replayed = replay(TRANSCRIPT);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/switchover.transcript");
        return std::fs::write(path, replayed).unwrap();
    }
    assert!(replayed == TRANSCRIPT, "expected what tests/switchover.transcript says, got:\n{replayed}");
}

enum Side {
    Primary(Giving),
    Copy(Taking),
}

fn replay(transcript: &str) -> String {
    let mut side = Side::Copy(Taking::new(Duration::ZERO));
    let mut output = String::new();
    let mut caused = String::new();
    let mut skipping = false;
    for line in transcript.lines() {
        if line == "---" {
            write!(output, "---\n{}", std::mem::take(&mut caused)).unwrap();
            skipping = true;
        } else if line.is_empty() || line.starts_with('#') {
            skipping = false;
            writeln!(output, "{line}").unwrap();
        } else if !skipping {
            writeln!(output, "{line}").unwrap();
            let (time, event) = line.split_once(' ').unwrap();
            let now = Duration::from_secs_f64(time.parse().unwrap());
            match event.split_once(' ') {
                Some(("primary", until)) => side = Side::Primary(Giving::new(seconds(until))),
                None if event == "copy" => side = Side::Copy(Taking::new(now)),
                _ => caused = happened(&mut side, event, now),
            }
        }
    }
    output
}

fn happened(side: &mut Side, event: &str, now: Duration) -> String {
    match side {
        Side::Primary(giving) => {
            let acts = giving.on(parse(event), now);
            let acts: String = acts.iter().map(|act| show(act) + "\n").collect();
            format!("{acts}{}\n", state(giving.state()))
        }
        Side::Copy(taking) => {
            let step = match event {
                "due" => taking.due(now),
                "silence" => taking.answered(None),
                answer => taking.answered(Answer::ALL.into_iter().find(|one| one.as_str() == answer)),
            };
            match step {
                Step::Ask => "ask\n".into(),
                Step::Wait { after } => format!("wait {}\n", after.as_secs_f64()),
                Step::Reach { at_most } => format!("reach, at most {}\n", at_most.as_secs_f64()),
                Step::Begin => "begin the epoch\n".into(),
                Step::Stop => "stop\n".into(),
            }
        }
    }
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs_f64(text.parse().unwrap())
}

fn parse(text: &str) -> Event {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    match verb {
        "asked" => Event::Asked { lacks: rest.strip_prefix("lacks ").map(|lacks| lacks.parse().unwrap()) },
        "held" => Event::Held { reached: rest == "reached" },
        "stepped-down" => Event::SteppedDown { epoch: rest.parse().unwrap(), base: Timestamp(9) },
        "released" => Event::Released,
        "confirmed" => Event::Confirmed,
        "lost-role" => Event::LostRole,
        "stopping" => Event::Stopping,
        "tick" => Event::Tick,
        other => panic!("unknown event {other}"),
    }
}

fn show(act: &Act) -> String {
    match act {
        Act::Hold { at_most } => format!("hold writes, at most {}", at_most.as_secs_f64()),
        Act::StepDown => "step down".into(),
        Act::Answer(answer) => format!("answer {}", answer.as_str()),
        Act::Release => "let writes go on".into(),
    }
}

fn state(state: State) -> String {
    match state {
        State::Called => "called".into(),
        State::Behind => "behind".into(),
        State::Holding => "holding".into(),
        State::Releasing(failure) => format!("releasing: {failure}"),
        State::Given { epoch, .. } => format!("given {epoch}"),
        State::Over(End::Failed(failure)) => format!("over: failed: {failure}"),
        State::Over(End::Given { epoch, confirmed, paused, .. }) => {
            let confirmed = if confirmed { "confirmed" } else { "not confirmed" };
            format!("over: given {epoch}, {confirmed}, paused {}", paused.as_secs_f64())
        }
    }
}
