//! Which documents differ: two sorted exports, merged line by line. Holds the lines of one document of each.

use std::cmp::Ordering;

use apograph_client::client::LineStream;
use apograph_client::format::{Hash, Timestamp, View};
use serde::{Deserialize, Serialize};

use super::Side;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::progress;

/// A document that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) uri: String,
    pub(super) what: What,
}

/// How it differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    OnlyHere,
    OnlyThere,
    Different,
}

/// Lists up to `limit` differing documents, and whether there are more.
pub(super) async fn between(
    global: &Global,
    one: &Side,
    other: &Side,
    view: View,
    at: Timestamp,
    limit: usize,
) -> Result<(Vec<Difference>, bool), Failure> {
    let at = at.to_string();
    let bar = progress::count(global.output, "comparing documents", None);
    let mut here = Documents::new(one.client.export_lines(&one.database, Some(view), Some(&at)).await?);
    let mut there = Documents::new(other.client.export_lines(&other.database, Some(view), Some(&at)).await?);
    let (mut left, mut right) = (here.next().await?, there.next().await?);
    let mut found = Vec::new();
    loop {
        let difference = match order(left.as_ref(), right.as_ref()) {
            None => break,
            Some(Ordering::Less) => {
                let gone = std::mem::replace(&mut left, here.next().await?);
                gone.map(|document| (document.uri, What::OnlyHere))
            }
            Some(Ordering::Greater) => {
                let gone = std::mem::replace(&mut right, there.next().await?);
                gone.map(|document| (document.uri, What::OnlyThere))
            }
            Some(Ordering::Equal) => {
                let one = std::mem::replace(&mut left, here.next().await?);
                let other = std::mem::replace(&mut right, there.next().await?);
                if one == other { None } else { one.map(|document| (document.uri, What::Different)) }
            }
        };
        bar.inc(1);
        if let Some((uri, what)) = difference {
            if found.len() == limit {
                return Ok((found, true));
            }
            found.push(Difference { uri, what });
        }
    }
    bar.finish_and_clear();
    Ok((found, false))
}

impl What {
    pub(super) fn in_words(self) -> &'static str {
        match self {
            What::OnlyHere => "only here",
            What::OnlyThere => "only there",
            What::Different => "different",
        }
    }
}

/// A document of an export: its URI, and the hash over its lines.
#[derive(Debug, PartialEq, Eq)]
struct Document {
    uri: String,
    lines: Hash,
}

/// The member that every line of an export has.
#[derive(Deserialize)]
struct Named {
    uri: String,
}

struct Documents {
    lines: LineStream,
    /// The first line of the next document.
    ahead: Option<(String, Hash)>,
}

fn order(left: Option<&Document>, right: Option<&Document>) -> Option<Ordering> {
    match (left, right) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some(left), Some(right)) => Some(left.uri.as_bytes().cmp(right.uri.as_bytes())),
    }
}

impl Documents {
    fn new(lines: LineStream) -> Documents {
        Documents { lines, ahead: None }
    }

    async fn next(&mut self) -> Result<Option<Document>, Failure> {
        let first = match self.ahead.take() {
            Some(first) => Some(first),
            None => self.line().await?,
        };
        let Some((uri, mut lines)) = first else { return Ok(None) };
        while let Some((next, hash)) = self.line().await? {
            if next != uri {
                self.ahead = Some((next, hash));
                break;
            }
            lines = Hash::of_pieces([lines.as_bytes().as_slice(), hash.as_bytes()]);
        }
        Ok(Some(Document { uri, lines }))
    }

    /// URI and hash of the next line that is about a document.
    async fn line(&mut self) -> Result<Option<(String, Hash)>, Failure> {
        while let Some(line) = self.lines.next().await? {
            // A line without a URI is about the export, not about a document.
            if let Ok(Named { uri }) = serde_json::from_slice(&line) {
                return Ok(Some((uri, Hash::of(&line))));
            }
        }
        Ok(None)
    }
}
