//! Which documents differ: the leaves of both, sorted by URI, merged. No document travels, and two leaves are held.

use std::cmp::Ordering;

use apograph_client::client::{LineStream, Part};
use apograph_client::types::LeafLine;

use super::Side;
use super::difference::{Difference, What};
use crate::arguments::Global;
use crate::failure::Failure;
use crate::progress;

/// What a merge found.
pub(super) struct Found {
    /// The first differing documents.
    pub(super) differences: Vec<Difference>,
    /// There are more.
    pub(super) more: bool,
    /// Documents of either side that were looked at.
    pub(super) documents: u64,
}

/// Up to `limit` documents whose leaves differ.
pub(super) async fn find(
    global: &Global,
    one: &Side,
    other: &Side,
    part: &Part,
    limit: usize,
) -> Result<Found, Failure> {
    let bar = progress::count(global.output, "comparing documents", None);
    let mut here = Leaves::open(one, part).await?;
    let mut there = Leaves::open(other, part).await?;
    let mut found = Found { differences: Vec::new(), more: false, documents: 0 };
    loop {
        let order = match (&here.next, &there.next) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => left.uri.as_str().as_bytes().cmp(right.uri.as_str().as_bytes()),
        };
        let left = if order == Ordering::Greater { None } else { here.take().await? };
        let right = if order == Ordering::Less { None } else { there.take().await? };
        found.documents += 1;
        bar.inc(1);
        let what = match (&left, &right) {
            (Some(left), Some(right)) if left.hash == right.hash => continue,
            (Some(_), Some(_)) => What::Different,
            (Some(_), None) => What::OnlyHere,
            (None, _) => What::OnlyThere,
        };
        if found.differences.len() == limit {
            found.more = true;
            break;
        }
        let uri = left.or(right).map(|leaf| leaf.uri.to_string()).unwrap_or_default();
        found.differences.push(Difference::new(uri, what));
    }
    bar.finish_and_clear();
    Ok(found)
}

struct Leaves {
    lines: LineStream,
    url: String,
    next: Option<LeafLine>,
}

impl Leaves {
    async fn open(side: &Side, part: &Part) -> Result<Leaves, Failure> {
        let lines = side.client.leaf_lines(&side.database, part).await?;
        let mut leaves = Leaves { lines, url: side.client.url().to_owned(), next: None };
        leaves.take().await?;
        Ok(leaves)
    }

    /// The next leaf; the one after it is read.
    async fn take(&mut self) -> Result<Option<LeafLine>, Failure> {
        let next = match self.lines.next().await? {
            None => None,
            Some(line) => Some(serde_json::from_slice::<LeafLine>(&line).map_err(|error| {
                apograph_client::ClientError::Answer { url: self.url.clone(), reason: error.to_string() }
            })?),
        };
        // Out of order, the merge would invent differences.
        if let (Some(last), Some(next)) = (&self.next, &next)
            && last.uri >= next.uri
        {
            let reason = format!("{} comes after {}", next.uri, last.uri);
            return Err(apograph_client::ClientError::Answer { url: self.url.clone(), reason }.into());
        }
        Ok(std::mem::replace(&mut self.next, next))
    }
}
