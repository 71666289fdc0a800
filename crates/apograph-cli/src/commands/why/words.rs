//! An answer for people: one screen.

use apograph_client::format::{Timestamp, VersionRef};
use apograph_client::types::{
    Asked, BytesView, ChangeView, Evidence, HeadView, Held, SearchView, Standing, WhyAnswer,
};

/// The whole answer. `url` is where the server in question was asked.
pub(super) fn answer(answer: &WhyAnswer, url: &str) -> String {
    let name = answer.here.as_ref().map_or("the server", |here| here.server.name.as_str());
    let standing = match answer.standing {
        Standing::Here => "is here",
        Standing::Outdated => "is here, OUTDATED",
        Standing::Different => "DIFFERS",
        Standing::Absent => "is NOT here",
        Standing::Unknown => "cannot be asked for",
    };
    let asked = match answer.asked {
        Asked::Working => "newest version".to_owned(),
        Asked::Live => "published version".to_owned(),
        Asked::Version(number) => format!("version {number}"),
    };
    let mut text = format!("{}  {standing}: {asked}, on {name} ({url})\n\n", answer.uri);
    for (index, reason) in answer.causes.iter().enumerate() {
        let word = if index == 0 { "because" } else { "also" };
        text.push_str(&format!("  {word:<9}{} [{}]\n", reason.text, reason.cause.code()));
        if let Some(next) = &reason.next {
            text.push_str(&format!("    next   {next}\n"));
        }
    }
    for (word, evidence) in [("here", &answer.here), ("source", &answer.source)] {
        if let Some(evidence) = evidence {
            text.push('\n');
            text.push_str(&evidence_in_words(word, evidence));
        }
    }
    text
}

fn evidence_in_words(word: &str, evidence: &Evidence) -> String {
    let Some(held) = &evidence.held else {
        return format!("  {word:<9}{}: no database yet\n", evidence.server.name);
    };
    let mut text = format!(
        "  {word:<9}{}: {}, {} view, shows everything up to {}\n",
        evidence.server.name,
        held.role,
        held.view,
        moment(held.visible)
    );
    let mut line = |line: String| text.push_str(&format!("           {line}\n"));
    line(match &held.head {
        None => "nothing at this URI".to_owned(),
        Some(head) => head_in_words(head),
    });
    if let SearchView::Found { change, .. } = &held.last_change {
        line(change_in_words(change));
    }
    if let Some(bytes) = &held.bytes {
        line(bytes_in_words(bytes));
    }
    line(place_in_words(held));
    if let Some(link) = &evidence.link {
        let source = link.peer.url.as_deref().unwrap_or("its source");
        line(format!("link from {source}: {}", link.state));
    }
    for alarm in &held.alarms {
        line(format!("ALARM {alarm}"));
    }
    text
}

fn head_in_words(head: &HeadView) -> String {
    let number = |version: Option<VersionRef>| {
        version.map_or_else(|| "none".to_owned(), |version| version.number.to_string())
    };
    format!(
        "{}: newest version {}, live {}, changed {}",
        head.state,
        number(head.working),
        number(head.live),
        moment(head.changed)
    )
}

fn change_in_words(change: &ChangeView) -> String {
    let author = if change.author.is_empty() { String::new() } else { format!(" by {}", change.author) };
    let comment = match change.comment.lines().next() {
        Some(comment) if !comment.is_empty() => format!(", {comment:?}"),
        _ => String::new(),
    };
    format!(
        "last change: {}{author}{comment}, position {}.{}",
        change.operation, change.position.epoch, change.position.sequence
    )
}

fn bytes_in_words(bytes: &BytesView) -> String {
    match bytes {
        BytesView::Whole { content_bytes } => format!("content read and checked: {content_bytes} bytes"),
        BytesView::Sampled { content_bytes, checked_bytes } => {
            format!("content read and checked: the first {checked_bytes} of {content_bytes} bytes")
        }
        BytesView::Missing { what } => format!("bytes missing: {what}"),
        BytesView::Damaged { detail } => format!("bytes damaged: {detail}"),
    }
}

fn place_in_words(held: &Held) -> String {
    let source = match (&held.source, held.source_entries) {
        (Some(source), Some(entries)) if entries > 0 => {
            format!(", source {}.{}+{entries}", source.epoch, source.sequence)
        }
        (Some(source), _) => format!(", source {}.{}", source.epoch, source.sequence),
        (None, _) => String::new(),
    };
    format!(
        "partition {}, applied {}.{}, stored {}.{}{source}",
        held.partition.0,
        held.applied.epoch,
        held.applied.sequence,
        held.durable.epoch,
        held.durable.sequence
    )
}

fn moment(timestamp: Timestamp) -> String {
    match timestamp {
        Timestamp::ZERO => "nothing yet".to_owned(),
        timestamp => format!("{} ({timestamp})", timestamp.to_rfc3339()),
    }
}
