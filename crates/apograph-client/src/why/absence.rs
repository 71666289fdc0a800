//! The copy shows what its source shows, and the version asked about is not among it: what makes it so.

use apograph_format::{State, View};

use super::head_of;
use crate::types::{Asked, Cause, ChangeView, HeadView, Held, SearchView};

/// Why the version asked about is not here. `source`, if it was asked, shows the same; it may know more of it.
pub(super) fn cause(asked: Asked, held: &Held, source: Option<&Held>) -> Cause {
    // Of the two, the one that holds everything knows best.
    let knows = source.filter(|source| source.view == View::Full).unwrap_or(held);
    let Some(head) = &knows.head else {
        return match knows.view {
            View::Full => Cause::NeverExisted { up_to: knows.visible },
            View::Published => Cause::NothingKnown { up_to: knows.visible },
        };
    };
    if head.state == State::Purged {
        return purged(knows, head);
    }
    if matches!(asked, Asked::Version(_)) {
        return version(held, knows, head);
    }
    match head.state {
        State::Trashed => match head.moved_to.clone() {
            Some(to) => Cause::Moved { to, change: change(knows, &["move-away"]) },
            None => Cause::Trashed { change: change(knows, &["trash"]) },
        },
        // Of a server that holds what is published this says no more than that it is no longer live.
        _ if knows.view == View::Published => Cause::Retracted { at: head.changed },
        _ if head.ever_live => Cause::Withdrawn { change: change(knows, &["withdraw"]) },
        _ => Cause::NeverPublished { working: head.working },
    }
}

fn version(held: &Held, knows: &Held, head: &HeadView) -> Cause {
    // Whether there was such a version, a server of published documents cannot tell.
    let may_be = knows.view == View::Published || knows.version.is_some();
    match held.view {
        View::Published if may_be => {
            Cause::VersionNotInView { live: held.head.as_ref().and_then(|head| head.live) }
        }
        View::Full if knows.version.is_some() => {
            Cause::Differs { here: head_of(held), source: head_of(knows) }
        }
        _ => Cause::NoSuchVersion { newest: head.versions },
    }
}

fn purged(knows: &Held, head: &HeadView) -> Cause {
    let change = change(knows, &["purge"]);
    let unknown = match (&change, &knows.last_change) {
        (None, SearchView::Unknown { detail }) => Some(detail.clone()),
        _ => None,
    };
    Cause::Purged { at: head.changed, change, unknown }
}

/// The last change, if it is one of these.
fn change(knows: &Held, operations: &[&str]) -> Option<ChangeView> {
    match &knows.last_change {
        SearchView::Found { change, .. } => {
            operations.contains(&change.operation.as_str()).then(|| change.clone())
        }
        _ => None,
    }
}
