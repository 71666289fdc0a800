//! A copy shows something else than its source: is that newer than the copy, or a fault?

use apograph_format::View;

use super::{changed, head_of, shown};
use crate::types::{Cause, ChangeView, Held, SearchView};

/// Why the two do not show the same in a view; `None` if they do. The source has seen all that the copy shows.
pub(super) fn difference(view: View, held: &Held, source: &Held) -> Option<Cause> {
    if shown(view, held) == shown(view, source) {
        return None;
    }
    // What the source has had up to the copy's visible timestamp, the copy must have.
    let changed_there = changed(source);
    let is_newer = changed_there > held.visible && source.missing != SearchView::Nothing;
    if !is_newer {
        return Some(Cause::Differs { here: head_of(held), source: head_of(source) });
    }
    if let Some(change) = &held.pending {
        return Some(Cause::NotAppliedYet { change: change.clone(), visible: held.visible });
    }
    let SearchView::Found { change, transactions_before } = &source.missing else {
        return Some(Cause::NotArrived {
            change: None,
            changed: changed_there,
            visible: held.visible,
            entries_to_go: None,
        });
    };
    let content = content_on_its_way(held, source.view, change, *transactions_before);
    Some(content.unwrap_or_else(|| Cause::NotArrived {
        change: Some(change.clone()),
        changed: changed_there,
        visible: held.visible,
        entries_to_go:
            place_in_source(held, source.view).and_then(|place| change.position.sequence.checked_sub(place)),
    }))
}

/// Where the copy's durable journal ends in the source's, if their journals can be compared.
fn place_in_source(held: &Held, source: View) -> Option<u64> {
    match (held.view, source) {
        (View::Full, View::Full) | (View::Published, View::Published) => Some(held.durable.sequence),
        (View::Published, View::Full) => held.source.map(|source| source.sequence),
        (View::Full, View::Published) => None,
    }
}

/// Contents travel ahead of their transaction: some of this one's are here.
fn content_on_its_way(
    held: &Held,
    source: View,
    change: &ChangeView,
    transactions_before: u64,
) -> Option<Cause> {
    let contents = change.contents_entries;
    let (entries_arrived, entries) = if held.view == source {
        let first = change.position.sequence.checked_sub(contents)?;
        (held.durable.sequence.checked_sub(first)? + 1, Some(contents))
    } else {
        (u64::from(held.source_entries?), None)
    };
    let is_its_own = entries_arrived > 0 && entries.is_none_or(|all| entries_arrived <= all);
    let is_next = held.view == source || transactions_before == 0;
    (is_its_own && is_next).then(|| Cause::WaitingForContent {
        change: change.clone(),
        entries_arrived,
        entries,
    })
}
