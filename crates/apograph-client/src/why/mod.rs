//! Why a document is, or is not, on a server: a decision over evidence, without I/O.
//!
//! The evidence is what one server knows of one document ([`Evidence`]), and what its source knows of the same. A server
//! answers with its own alone; who may read both, puts both together. The source is asked after the copy, and with the
//! copy's visible timestamp: what the source has had up to then, the copy must have.
//!
//! In the order of the questions: could the server be asked, does it hold the document back, does it show what its source
//! shows? If not: is the difference newer than the server, or a fault? If so: what makes the document (not) to be seen?
//! The causes are listed in `docs/operate/why.md`.

mod absence;
mod arrival;
mod words;

use apograph_format::{Kind, Timestamp, Uri, VersionRef, View};

use crate::types::{
    Asked, BytesView, Cause, CutView, Evidence, HeadView, Held, LinkState, LinkStatus, Reason, Standing,
    WhyAnswer,
};

/// A server that did not answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Unheard {
    /// How it showed.
    pub detail: String,
    /// How its link stood when its source last heard of it.
    pub last_report: Option<LinkStatus>,
}

/// Puts together what is known. `source` is `Err` with the reason when it could not be asked, `None` when nobody wanted
/// to.
pub fn decide(
    uri: &Uri,
    asked: Asked,
    here: Result<Evidence, Unheard>,
    source: Option<Result<Evidence, String>>,
) -> WhyAnswer {
    let (source, not_asked) = match source {
        Some(Ok(source)) => (Some(source), None),
        Some(Err(detail)) => (None, Some(Cause::SourceNotAsked { detail })),
        None => (None, None),
    };
    let (standing, mut causes, here) = match here {
        Err(Unheard { detail, last_report }) => {
            let last_report = last_report.map(Box::new);
            (Standing::Unknown, vec![Cause::Unreachable { detail, last_report }], None)
        }
        Ok(here) => {
            let (standing, causes) = judge(asked, &here, source.as_ref());
            (standing, causes, Some(here))
        }
    };
    causes.extend(not_asked);
    let place = words::Place { uri, here: here.as_ref(), source: source.as_ref() };
    let causes = causes.into_iter().map(|cause| place.reason(cause)).collect();
    WhyAnswer { uri: uri.clone(), asked, standing, causes, here, source }
}

fn judge(asked: Asked, here: &Evidence, source: Option<&Evidence>) -> (Standing, Vec<Cause>) {
    let Some(held) = &here.held else {
        let causes = [Cause::NoCopyYet].into_iter().chain(link_causes(here));
        return (Standing::Absent, causes.collect());
    };
    let source_held = source.and_then(|source| source.held.as_ref());
    let mut causes = vec![first_cause(asked, held, source_held)];
    let standing = standing(held, causes.first());
    causes.extend(beside(asked, held, source_held));
    causes.extend(held.stopped.clone().map(|detail| Cause::Stopped { detail }));
    causes.extend(link_causes(here));
    (standing, causes)
}

/// The answer itself.
fn first_cause(asked: Asked, held: &Held, source: Option<&Held>) -> Cause {
    if let Some(quarantined) = &held.quarantined {
        return Cause::Quarantined { quarantined: quarantined.clone() };
    }
    // What the source has not heard of yet, it cannot explain.
    let source = source.filter(|source| changed(held) <= source.visible);
    let must_match = source.and_then(|source| Some((source, what_must_match(asked, held, source)?)));
    if let Some(cause) = must_match.and_then(|(source, view)| arrival::difference(view, held, source)) {
        return cause;
    }
    let is_cut = |cut: &&CutView| {
        let number = match asked {
            Asked::Version(number) => Some(number),
            Asked::Live | Asked::Working => held.version.map(|version| version.number),
        };
        number.is_some_and(|number| number < cut.kept_from)
    };
    if let Some(cut) = held.cut.as_ref().filter(is_cut) {
        return Cause::Cut { cut: cut.clone() };
    }
    match (&held.version, &held.bytes) {
        (Some(_), Some(BytesView::Missing { what })) => Cause::ContentMissing { what: what.clone() },
        (Some(_), Some(BytesView::Damaged { detail })) => Cause::Damaged { detail: detail.clone() },
        (Some(version), _) => {
            // Who asks a server of published documents for the newest version, means the newest one there is.
            let unpublished = source.and_then(changes_not_published).filter(|_| asked == Asked::Working);
            let compared = source.is_some_and(|source| source.visible >= held.visible);
            match unpublished.filter(|_| held.view == View::Published) {
                Some(cause) => cause,
                None => Cause::Here { version: *version, compared },
            }
        }
        (None, _) => absence::cause(asked, held, source),
    }
}

/// The view in which a copy and its source must show the same, for what was asked about.
fn what_must_match(asked: Asked, held: &Held, source: &Held) -> Option<View> {
    let holds_all = held.view == View::Full && source.view == View::Full;
    match asked {
        Asked::Working => Some(if holds_all { View::Full } else { View::Published }),
        Asked::Live => Some(View::Published),
        // A version never changes: other changes of its document are no matter of this question.
        Asked::Version(_) => {
            (holds_all && source.version.is_some() && held.version != source.version).then_some(View::Full)
        }
    }
}

fn head_of(held: &Held) -> Option<Box<HeadView>> {
    held.head.clone().map(Box::new)
}

fn changed(held: &Held) -> Timestamp {
    held.head.as_ref().map(|head| head.changed).unwrap_or_default()
}

/// What stands beside the answer, whatever it is.
fn beside(asked: Asked, held: &Held, source: Option<&Held>) -> Vec<Cause> {
    let Some(source) = source else { return Vec::new() };
    let mut causes = Vec::new();
    if source.visible < held.visible {
        causes.push(Cause::SourceBehind { visible: source.visible, here_visible: held.visible });
    }
    if asked == Asked::Live && held.version.is_some() {
        causes.extend(changes_not_published(source));
    }
    causes
}

fn changes_not_published(source: &Held) -> Option<Cause> {
    let head = source.head.as_ref().filter(|_| source.view == View::Full)?;
    let (live, working) = (head.live?, head.working?);
    (live != working).then_some(Cause::ChangesNotPublished { live, working })
}

/// What the server's link has to say.
fn link_causes(here: &Evidence) -> Option<Cause> {
    let link = here.link.as_ref()?;
    let lag = &link.lag;
    if link.state != LinkState::Following {
        return Some(Cause::NotFollowing {
            state: link.state,
            reason: link.reason.clone(),
            for_ms: u64::try_from(here.now.saturating_sub(link.since)).unwrap_or(0) / 1_000,
            last_contact_age_ms: lag.last_contact_age_ms,
        });
    }
    let is_behind = lag.oldest_unapplied_age_ms.is_some_and(|age| age > 0);
    is_behind.then_some(Cause::Behind {
        entries: lag.entries,
        bytes: lag.bytes,
        oldest_unapplied_age_ms: lag.oldest_unapplied_age_ms,
    })
}

fn standing(held: &Held, first: Option<&Cause>) -> Standing {
    match first {
        Some(Cause::Here { .. }) => Standing::Here,
        Some(Cause::Differs { .. }) => Standing::Different,
        Some(
            Cause::NotArrived { .. }
            | Cause::WaitingForContent { .. }
            | Cause::NotAppliedYet { .. }
            | Cause::Quarantined { .. }
            | Cause::ChangesNotPublished { .. },
        ) if held.version.is_some() => Standing::Outdated,
        _ => Standing::Absent,
    }
}

/// What a view shows of a document. Equal for a copy and its source at one time, or the copy is none.
#[derive(PartialEq)]
enum Shown<'a> {
    Full(Option<&'a HeadView>),
    Published(Option<(Kind, VersionRef)>),
}

fn shown(view: View, held: &Held) -> Shown<'_> {
    let head = held.head.as_ref();
    match view {
        View::Full => Shown::Full(head),
        View::Published => Shown::Published(head.and_then(|head| Some((head.kind, head.live?)))),
    }
}

impl WhyAnswer {
    /// The answer in one cause.
    pub fn first(&self) -> Option<&Reason> {
        self.causes.first()
    }
}
