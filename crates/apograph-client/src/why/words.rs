//! Causes in words, and what a person could do about them.

use apograph_format::{Timestamp, Uri};

use crate::types::{Cause, ChangeView, Evidence, LinkState, Reason, Role};

/// What the words are about.
pub(super) struct Place<'a> {
    pub(super) uri: &'a Uri,
    pub(super) here: Option<&'a Evidence>,
    pub(super) source: Option<&'a Evidence>,
}

impl Place<'_> {
    pub(super) fn reason(&self, cause: Cause) -> Reason {
        let (text, next) = (self.text(&cause), self.next(&cause));
        Reason { cause, text, next }
    }

    fn text(&self, cause: &Cause) -> String {
        match cause {
            Cause::Here { version, compared } => {
                let compared = if *compared { ", as at its source" } else { "" };
                format!("version {} is here{compared}", version.number)
            }
            Cause::NotArrived { change, changed, visible, entries_to_go } => {
                let what = change.as_ref().map_or_else(
                    || format!("its change of {}", changed.to_rfc3339()),
                    |change| change_in_words(change, "its"),
                );
                let to_go = entries_to_go.map_or_else(String::new, |entries| match entries {
                    1 => " (one journal entry to go)".to_owned(),
                    entries => format!(" ({entries} journal entries to go)"),
                });
                format!("{what} has not arrived{to_go}; what is here ends at {}", at(*visible))
            }
            Cause::WaitingForContent { change, entries_arrived, entries } => {
                let of = entries.map_or_else(String::new, |all| format!(" of {all}"));
                format!(
                    "{} is on its way, its contents first: {entries_arrived}{of} entries of them are here",
                    change_in_words(change, "its")
                )
            }
            Cause::NotAppliedYet { change, visible } => format!(
                "{} is stored here and cannot be seen yet: parts of its transaction, or one before it, are missing; what can be seen ends at {}",
                change_in_words(change, "its"),
                at(*visible)
            ),
            Cause::NeverExisted { up_to } => {
                format!("there never was a document at this URI, up to {}", at(*up_to))
            }
            Cause::NothingKnown { up_to } => format!(
                "this server holds what is published, and up to {} nothing of such a document was; whether it exists, it is not told",
                at(*up_to)
            ),
            Cause::NeverPublished { working } => {
                let newest = working.map_or_else(String::new, |working| {
                    format!("; its newest version is {}", working.number)
                });
                format!("it exists and was never published{newest}")
            }
            Cause::Withdrawn { change } => {
                format!("it was published and then withdrawn{}", by(change.as_ref()))
            }
            Cause::Retracted { at: when } => format!(
                "it was published and is no longer, since {}; whether it was withdrawn, moved or put into the trash, a server of published documents is not told",
                at(*when)
            ),
            Cause::Trashed { change: None } => "it is in the trash".to_owned(),
            Cause::Trashed { change } => format!("it was put into the trash{}", by(change.as_ref())),
            Cause::Moved { to, change } => format!("it was moved to {to}{}", by(change.as_ref())),
            Cause::Purged { change: Some(change), .. } => {
                format!("it was purged{}, with its whole history", by(Some(change)))
            }
            Cause::Purged { at: when, change: None, unknown } => {
                let unknown = unknown
                    .as_ref()
                    .map_or_else(String::new, |unknown| format!("; by whom is not known here: {unknown}"));
                format!("it was purged on {}, with its whole history{unknown}", at(*when))
            }
            Cause::ChangesNotPublished { live, working } => {
                format!("version {} is published, the newer version {} is not", live.number, working.number)
            }
            Cause::NoSuchVersion { newest } => format!(
                "there is no such version: the newest has the number {newest}, and purges and moves leave numbers out"
            ),
            Cause::VersionNotInView { live } => {
                let live = live.map_or_else(
                    || "none is live".to_owned(),
                    |live| format!("that is version {}", live.number),
                );
                format!("this server holds only the live version of each document; {live}")
            }
            Cause::Cut { cut } => format!(
                "the synchronization of {} brought versions from {} on; of older ones only numbers and ids are here",
                at(cut.at),
                cut.kept_from
            ),
            Cause::Quarantined { quarantined } => {
                let dropped = quarantined.dropped.as_ref();
                let dropped = dropped.map_or_else(String::new, |why| format!("; somebody lets it be: {why}"));
                format!(
                    "it could not be taken in the synchronization of {} and is held back: {}{dropped}",
                    at(quarantined.at),
                    quarantined.reason
                )
            }
            Cause::ContentMissing { what } => {
                format!("the document is here, but not the bytes of {what}: purged, or not yet brought")
            }
            Cause::Damaged { detail } => {
                format!("its bytes are here and not what they were, so they are not served: {detail}")
            }
            Cause::Differs { here, source } => {
                let (here, there) = (here.is_some(), source.is_some());
                let how = match (here, there) {
                    (true, false) => "it is here, and its source never had it",
                    (false, true) => "its source has it, and it should have arrived",
                    _ => "what is here is not what its source has",
                };
                format!("{how}, at the same time: this server is no exact copy")
            }
            Cause::NotFollowing { state, reason, for_ms, last_contact_age_ms } => {
                let because = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
                let heard = last_contact_age_ms
                    .map_or_else(String::new, |ms| format!("; its source was heard {} ago", age(ms)));
                format!("its link does not follow: {state} for {}{because}{heard}", age(*for_ms))
            }
            Cause::Behind { entries, bytes, oldest_unapplied_age_ms } => {
                let parts = [
                    entries.map(|entries| format!("{entries} entries")),
                    bytes.map(|bytes| format!("{bytes} bytes")),
                    oldest_unapplied_age_ms.map(|ms| format!("the oldest {} old", age(ms))),
                ];
                let parts: Vec<_> = parts.into_iter().flatten().collect();
                format!("it follows its source and is behind it: {}", parts.join(", "))
            }
            Cause::Stopped { detail } => format!("the database there takes nothing: {detail}"),
            Cause::NoCopyYet => "this copy has not met its source yet: it holds nothing".to_owned(),
            Cause::Unreachable { detail, last_report } => {
                let last = last_report.as_ref().map_or_else(String::new, |link| {
                    let reason =
                        link.reason.as_ref().map_or_else(String::new, |reason| format!(", {reason}"));
                    format!("; its source shows it as {}{reason}", link.state)
                });
                format!("it does not answer: {detail}{last}")
            }
            Cause::SourceBehind { visible, here_visible } => format!(
                "the server compared with is behind this one: it ends at {}, this one at {}",
                at(*visible),
                at(*here_visible)
            ),
            Cause::SourceNotAsked { detail } => {
                format!("this is only what the server itself knows: its source was not asked: {detail}")
            }
        }
    }

    fn next(&self, cause: &Cause) -> Option<String> {
        let uri = self.uri;
        match cause {
            Cause::Here { .. } => None,
            Cause::NotArrived { .. } => Some(self.next_for_arrival()),
            Cause::WaitingForContent { .. } => Some("wait: it is being brought".to_owned()),
            Cause::NotAppliedYet { .. } => {
                Some(format!("wait; if it lasts, see the positions: {} --partitions", self.status()))
            }
            Cause::NeverExisted { .. } => Some("check the URI: apograph ls PREFIX".to_owned()),
            Cause::NothingKnown { .. } | Cause::Retracted { .. } => {
                Some(format!("ask a server that holds everything as well: apograph why {uri} --against URL"))
            }
            Cause::NeverPublished { .. } | Cause::Withdrawn { .. } | Cause::ChangesNotPublished { .. } => {
                Some(format!("publish it: apograph publish {uri}{}", self.at_primary()))
            }
            Cause::Trashed { .. } => {
                Some(format!("take it out: apograph restore {uri}{}", self.at_primary()))
            }
            Cause::Moved { to, .. } => Some(format!("ask for it there: apograph why {to}")),
            Cause::Purged { .. } => Some("nothing brings it back; a put begins a new document".to_owned()),
            Cause::NoSuchVersion { .. } => Some(format!("see which there are: apograph history {uri}")),
            Cause::VersionNotInView { .. } => Some(format!(
                "read it where everything is: apograph get {uri} --version N{}",
                self.at_primary()
            )),
            Cause::Cut { .. } => Some(
                "read it at the source, or synchronize again in full with a larger max_versions".to_owned(),
            ),
            Cause::Quarantined { .. } => Some("repair the cause, then let it be tried again".to_owned()),
            Cause::ContentMissing { .. } | Cause::Damaged { .. } => {
                Some("see Damage in docs/operate/lag-and-proof.md".to_owned())
            }
            Cause::Differs { .. } => Some(format!(
                "see what differs: apograph verify --against {} --document {uri}",
                self.source_url()
            )),
            Cause::NotFollowing { state, reason, .. } => Some(match state {
                LinkState::Paused if is_skew(reason.as_deref()) => {
                    "update what the reason names; the link goes on by itself then".to_owned()
                }
                LinkState::Paused => format!("let the link go on: apograph resume{}", self.at_here()),
                LinkState::Planning | LinkState::Transferring | LinkState::Installing => {
                    format!("wait: it synchronizes; see how far it is: {}", self.status())
                }
                LinkState::Stopped => {
                    "repair what the reason names; the link asks again by itself".to_owned()
                }
                _ => {
                    "see that its source runs and can be reached from there; it goes on by itself".to_owned()
                }
            }),
            Cause::Behind { .. } => Some(format!("wait; see how it goes: {}", self.status())),
            Cause::Stopped { .. } => {
                Some("repair what the reason names, then restart that server".to_owned())
            }
            Cause::NoCopyYet => Some(format!("see its link, and that its source runs: {}", self.status())),
            Cause::Unreachable { .. } => Some("see that it runs and can be reached".to_owned()),
            Cause::SourceBehind { .. } if self.source_is_primary() => Some(format!(
                "a primary behind its copy lost what it had, or is another one: apograph verify --against {}",
                self.source_url()
            )),
            Cause::SourceBehind { .. } => Some(match self.primary() {
                Some(url) => format!("compare with the primary: --against {url}"),
                None => "compare with the primary".to_owned(),
            }),
            Cause::SourceNotAsked { .. } => {
                Some("name its source and a token for it: --against URL --against-token-file FILE".to_owned())
            }
        }
    }

    /// What to do when a copy lacks a change: look at its link, or at the source of its source.
    fn next_for_arrival(&self) -> String {
        let link = self.here.and_then(|here| here.link.as_ref());
        let held = self.here.and_then(|here| here.held.as_ref());
        if held.is_some_and(|held| held.stopped.is_some()) {
            return format!("see why the database there takes nothing: {}", self.status());
        }
        let is_well = link.is_some_and(|link| {
            link.state == LinkState::Following && link.lag.oldest_unapplied_age_ms.is_none_or(|age| age == 0)
        });
        let source = link.and_then(|link| link.peer.url.as_ref());
        let asked = self.source.and_then(|source| source.server.url.as_ref());
        match (is_well, source) {
            (true, Some(source)) if asked != Some(source) => format!(
                "it follows {source}, which may lack the change itself: apograph why {} --on {source}",
                self.uri
            ),
            (true, _) => "wait a moment and ask again: its link follows".to_owned(),
            (false, _) => format!("see its link: {}", self.status()),
        }
    }

    /// The command that shows the server in question.
    fn status(&self) -> String {
        let url = self.here.and_then(|here| here.server.url.as_deref());
        url.map_or_else(|| "apograph status".to_owned(), |url| format!("apograph status --server {url}"))
    }

    fn at_here(&self) -> String {
        let url = self.here.and_then(|here| here.server.url.as_deref());
        url.map_or_else(String::new, |url| format!(" --server {url}"))
    }

    fn source_is_primary(&self) -> bool {
        let held = self.source.and_then(|source| source.held.as_ref());
        held.is_some_and(|held| held.role == Role::Primary)
    }

    fn source_url(&self) -> &str {
        let url = self.source.and_then(|source| source.server.url.as_deref());
        url.unwrap_or("URL")
    }

    fn at_primary(&self) -> String {
        self.primary().map_or_else(String::new, |url| format!(" --server {url}"))
    }

    fn primary(&self) -> Option<&str> {
        [self.source, self.here].into_iter().flatten().find_map(|evidence| {
            let held = evidence.held.as_ref()?;
            let own = evidence.server.url.as_deref().filter(|_| held.role == Role::Primary);
            own.or(held.primary_url.as_deref())
        })
    }
}

fn change_in_words(change: &ChangeView, whose: &str) -> String {
    let author = if change.author.is_empty() { String::new() } else { format!(" by {}", change.author) };
    format!(
        "{whose} change ({}{author}, {}, position {}.{})",
        change.operation,
        at(change.timestamp),
        change.position.epoch,
        change.position.sequence
    )
}

fn by(change: Option<&ChangeView>) -> String {
    let Some(change) = change else { return String::new() };
    let author = if change.author.is_empty() { String::new() } else { format!(" by {}", change.author) };
    let comment = if change.comment.is_empty() {
        String::new()
    } else {
        format!(" ({})", change.comment.lines().next().unwrap_or_default())
    };
    format!("{author} on {}{comment}", at(change.timestamp))
}

fn at(timestamp: Timestamp) -> String {
    match timestamp {
        Timestamp::ZERO => "the beginning".to_owned(),
        timestamp => timestamp.to_rfc3339(),
    }
}

/// Milliseconds for people: two units at most.
fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// Is the link paused because its ends do not understand each other?
fn is_skew(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| ["source-newer", "source-older"].iter().any(|code| reason.starts_with(code)))
}
