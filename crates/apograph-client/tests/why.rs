//! Every cause that `why` knows, from evidence to words. `why.transcript` is the specification: the case, what was decided,
//! and what a person reads. `UPDATE_GOLDEN=1 cargo test -p apograph-client --test why` writes it anew: read the difference.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;

use apograph_client::format::{
    DatabaseId, Hash, Kind, PartitionId, Position, ServerKey, State, Timestamp, Uri, VersionRef, View,
};
use apograph_client::types::{
    Asked, BytesView, Cause, ChangeView, CutView, Evidence, HeadView, Held, LinkDirection, LinkLag, LinkPeer,
    LinkState, LinkStatus, QuarantineView, Role, SearchView, ServerIdentity, WhyAnswer,
};
use apograph_client::why::{Unheard, decide};

/// So many seconds after 2026-11-21T20:00:00Z.
fn at(seconds: u64) -> Timestamp {
    Timestamp(1_795_291_200_000_000 + seconds * 1_000_000)
}

fn now() -> i64 {
    i64::try_from(at(101).0).unwrap()
}

fn position(sequence: u64) -> Position {
    Position { epoch: apograph_format::Epoch::FIRST, sequence, hash: Hash::of(&sequence.to_le_bytes()) }
}

fn version(number: u64) -> VersionRef {
    VersionRef { number, id: Hash::of(&number.to_le_bytes()) }
}

fn uri() -> Uri {
    Uri::parse("/news/opening").unwrap()
}

/// A document of so many versions, the last of which is live if it is published; changed at second 10.
fn head(state: State, versions: u64) -> HeadView {
    let is_live = state == State::Published;
    HeadView {
        kind: Kind::Document,
        state,
        r#type: "article".into(),
        working: Some(version(versions)),
        live: is_live.then(|| version(versions)),
        lock: None,
        history: Hash::of(&versions.to_be_bytes()),
        versions,
        moved_to: None,
        changed: at(10),
        ever_live: is_live,
    }
}

/// What a staging server keeps of what was published once.
fn retracted(state: State) -> HeadView {
    HeadView { working: None, live: None, versions: 0, ever_live: true, ..head(state, 0) }
}

fn change(operation: &str, sequence: u64, second: u64) -> ChangeView {
    ChangeView {
        operation: operation.into(),
        position: position(sequence),
        timestamp: at(second),
        author: "ann".into(),
        time: at(second).to_rfc3339(),
        comment: "because".into(),
        counterpart: None,
        contents_entries: 0,
    }
}

fn found(change: ChangeView) -> SearchView {
    SearchView::Found { change, transactions_before: 0 }
}

fn unknown() -> SearchView {
    SearchView::Unknown { detail: "the journal reaches back to 2026-11-21T20:01:50Z only".into() }
}

/// A server that shows everything up to second 100, and no document.
fn server(name: &str, role: Role) -> Evidence {
    let is_staging = role == Role::Staging;
    let held = Held {
        id: DatabaseId([1; 16]),
        role,
        view: if is_staging { View::Published } else { View::Full },
        epoch: apograph_format::Epoch::FIRST,
        visible: at(100),
        primary_url: Some("http://primary:7700".into()),
        stopped: None,
        alarms: Vec::new(),
        partition: PartitionId(0),
        durable: position(40),
        applied: position(40),
        source: is_staging.then(|| position(40)),
        source_entries: is_staging.then_some(0),
        journal_since: Timestamp::ZERO,
        head: None,
        version: None,
        bytes: None,
        last_change: SearchView::NotAsked,
        pending: None,
        missing: SearchView::NotAsked,
        quarantined: None,
        cut: None,
    };
    let identity = ServerIdentity {
        name: name.into(),
        key: ServerKey([2; 32]),
        url: Some(format!("http://{name}:7700")),
    };
    let link = (role != Role::Primary).then(|| link(LinkState::Following));
    Evidence { server: identity, database: "main".into(), now: now(), link, held: Some(held) }
}

/// In that state for a minute, with nothing missing.
fn link(state: LinkState) -> LinkStatus {
    LinkStatus {
        name: "main".into(),
        database: "main".into(),
        direction: LinkDirection::In,
        view: View::Full,
        peer: LinkPeer { url: Some("http://primary:7700".into()), ..LinkPeer::default() },
        state,
        reason: None,
        since: now() - 61_000_000,
        partitions: Vec::new(),
        lag: LinkLag {
            entries: Some(0),
            bytes: Some(0),
            oldest_unapplied_age_ms: Some(0),
            last_contact_age_ms: Some(400),
            last_proof_age_ms: None,
        },
        last_proof: None,
        progress: None,
        forecast: None,
        throttle_bytes_per_second: None,
    }
}

fn replica() -> Evidence {
    server("replica", Role::Replica)
}

fn staging() -> Evidence {
    server("staging", Role::Staging)
}

fn primary() -> Evidence {
    server("primary", Role::Primary)
}

trait With: Sized {
    fn held(self, set: impl FnOnce(&mut Held)) -> Self;
    fn link(self, set: impl FnOnce(&mut LinkStatus)) -> Self;
    fn holding(self, head: HeadView) -> Self;
}

impl With for Evidence {
    fn held(mut self, set: impl FnOnce(&mut Held)) -> Evidence {
        set(self.held.as_mut().unwrap());
        self
    }

    fn link(mut self, set: impl FnOnce(&mut LinkStatus)) -> Evidence {
        set(self.link.as_mut().unwrap());
        self
    }

    /// It shows this head, and has what it serves by default.
    fn holding(self, head: HeadView) -> Evidence {
        self.held(|held| {
            let is_gone = matches!(head.state, State::Trashed | State::Purged);
            let working = head.working.filter(|_| !is_gone);
            held.version = if held.view == View::Published { head.live } else { working };
            held.bytes = held.version.map(|_| BytesView::Whole { content_bytes: 12 });
            held.head = Some(head);
        })
    }
}

struct Case {
    name: &'static str,
    asked: Asked,
    here: Result<Evidence, Unheard>,
    source: Option<Result<Evidence, String>>,
}

/// Asked as the server would by default.
fn case(name: &'static str, here: Evidence, source: impl Into<Option<Evidence>>) -> Case {
    let is_published = here.held.as_ref().is_some_and(|held| held.view == View::Published);
    let asked = if is_published { Asked::Live } else { Asked::Working };
    Case { name, asked, here: Ok(here), source: source.into().map(Ok) }
}

impl Case {
    fn asking(self, asked: Asked) -> Case {
        Case { asked, ..self }
    }
}

fn without_version(held: &mut Held) {
    held.version = None;
}

fn with_version(number: u64) -> impl FnOnce(&mut Held) {
    move |held| held.version = Some(version(number))
}

#[rustfmt::skip]
fn presence() -> Vec<Case> {
    let published = || head(State::Published, 3);
    let live = || head(State::Published, 2);
    let changed = || HeadView { live: Some(version(2)), ever_live: true, ..head(State::PublishedWithChanges, 3) };
    let missing = |held: &mut Held| held.bytes = Some(BytesView::Missing { what: "the content".into() });
    let damaged = |held: &mut Held| held.bytes = Some(BytesView::Damaged { detail: "the content".into() });
    vec![
        case("it is here, says the copy alone", replica().holding(published()), None),
        case("it is here, as at the source", replica().holding(published()), primary().holding(published())),
        case("what is published is here, a newer version is not published", staging().holding(live()), primary().holding(changed())),
        case("the newest version is asked for where only published ones are", staging().holding(live()), primary().holding(changed())).asking(Asked::Working),
        case("an old version is here, whatever else changed", replica().holding(published()).held(with_version(1)), primary().holding(head(State::Working, 5)).held(with_version(1))).asking(Asked::Version(1)),
        case("its content was not brought", replica().holding(published()).held(missing), None),
        case("its bytes are damaged", replica().holding(published()).held(damaged), primary().holding(published())),
    ]
}

#[rustfmt::skip]
fn absence() -> Vec<Case> {
    let working = || head(State::Working, 3);
    let published = || head(State::Published, 3);
    let trashed = || HeadView { ever_live: true, ..head(State::Trashed, 3) };
    let moved = || HeadView { moved_to: Some(Uri::parse("/archive/opening").unwrap()), ..trashed() };
    let withdrawn = || HeadView { ever_live: true, ..head(State::Withdrawn, 3) };
    let purged = || HeadView { working: None, ..head(State::Purged, 3) };
    let by = |operation: &'static str| move |held: &mut Held| held.last_change = found(change(operation, 12, 10));
    let retracted_here = || staging().holding(retracted(State::Withdrawn));
    let cut = |held: &mut Held| { held.version = Some(version(5)); held.bytes = Some(BytesView::Missing { what: "the version".into() }); held.cut = Some(CutView { kept_from: 201, at: at(50) }); };
    let held_back = |held: &mut Held| held.quarantined = Some(QuarantineView { reason: "its properties are larger than this server takes".into(), at: at(50), dropped: None });
    vec![
        case("it never existed, says the primary", primary(), None),
        case("it never existed, says a replica and its source", replica(), primary()),
        case("it never existed, says the source of a staging server", staging(), primary()),
        case("a staging server alone cannot know what was never published", staging(), None),
        case("it was never published", staging(), primary().holding(working())),
        case("the published version is asked for, and there never was one", replica().holding(working()).held(without_version), None).asking(Asked::Live),
        case("it was withdrawn", retracted_here(), primary().holding(withdrawn()).held(by("withdraw"))),
        case("it was withdrawn, and changed since", retracted_here(), primary().holding(withdrawn()).held(by("put"))),
        case("a staging server alone is not told why it went", retracted_here(), None),
        case("it is in the trash", replica().holding(trashed()).held(by("trash")), primary().holding(trashed()).held(by("trash"))),
        case("it is in the trash, so not on a staging server either", retracted_here(), primary().holding(trashed()).held(by("trash"))),
        case("it was moved", replica().holding(moved()).held(by("move-away")), None),
        case("it was purged", replica().holding(purged()).held(by("purge")), None),
        case("it was purged long ago", replica().holding(purged()).held(|held| held.last_change = unknown()), None),
        case("it was purged, says a staging server, which is not told by whom", staging().holding(retracted(State::Purged)), None),
        case("there is no such version", replica().holding(working()).held(without_version), primary().holding(working()).held(without_version)).asking(Asked::Version(7)),
        case("an old version, where only live ones are", staging().holding(published()).held(without_version), primary().holding(published()).held(with_version(1))).asking(Asked::Version(1)),
        case("a synchronization left the version out", replica().holding(head(State::Working, 300)).held(cut), primary().holding(head(State::Working, 300)).held(with_version(5))).asking(Asked::Version(5)),
        case("the document is held back", replica().held(held_back), primary().holding(working())),
    ]
}

#[rustfmt::skip]
fn arrival() -> Vec<Case> {
    let published = || head(State::Published, 3);
    let newer = || HeadView { changed: at(120), ..head(State::Published, 4) };
    let searched = |head: HeadView, missing: SearchView| primary().holding(head).held(|held| { held.visible = at(130); held.missing = missing; });
    let put = || searched(newer(), found(change("put", 43, 120)));
    let large = || ChangeView { contents_entries: 5, ..change("publish", 50, 120) };
    let purged = || HeadView { working: None, changed: at(120), ..head(State::Purged, 3) };
    let away = |link: &mut LinkStatus| { link.state = LinkState::Waiting; link.reason = Some("the source cannot be reached".into()); link.lag = LinkLag { last_contact_age_ms: Some(61_000), ..LinkLag::default() }; };
    let stopped = |link: &mut LinkStatus| { link.state = LinkState::Stopped; link.reason = Some("denied: put the source's link token for this role into the token file".into()); };
    let behind = |link: &mut LinkStatus| link.lag = LinkLag { entries: Some(2000), bytes: Some(3_000_000), oldest_unapplied_age_ms: Some(90_000), last_contact_age_ms: Some(10), last_proof_age_ms: None };
    let two_contents = |held: &mut Held| held.source_entries = Some(2);
    vec![
        case("it has not arrived", replica(), put()),
        case("a newer version has not arrived", replica().holding(published()), put()),
        case("a newer publication has not arrived", staging().holding(published()), searched(newer(), found(change("publish", 43, 120)))),
        case("that it was purged has not arrived", replica().holding(published()), searched(purged(), found(change("purge", 43, 120)))),
        case("the source's journal no longer tells which change is missing", replica(), searched(newer(), unknown())),
        case("the copy is cut off", replica().link(away), put()),
        case("somebody paused the link", replica().link(|link| link.state = LinkState::Paused), put()),
        case("the copy synchronizes", replica().link(|link| { link.state = LinkState::Transferring; link.reason = Some("out-of-window: the source's journal no longer reaches back".into()); }), put()),
        case("the link stopped", replica().link(stopped), put()),
        case("the copy is behind", replica().link(behind), put()),
        case("the copy follows another copy, which may be behind", replica().link(|link| link.peer.url = Some("http://middle:7700".into())), put()),
        case("the copy cannot take anything", replica().held(|held| held.stopped = Some("the journal cannot be written: No space left on device".into())), put()),
        case("its contents are on their way", replica().held(|held| held.durable = position(47)), searched(newer(), found(large()))),
        case("its contents are on their way to a staging server", staging().held(two_contents), searched(newer(), found(large()))),
        case("contents are on their way to a staging server, of another document", staging().held(two_contents), searched(newer(), SearchView::Found { change: large(), transactions_before: 1 })),
        case("it is stored and not to be seen yet", replica().held(|held| { held.durable = position(43); held.pending = Some(change("put", 43, 120)); }), put()),
        case("the copy has met no source yet", Evidence { held: None, ..replica().link(away) }, None),
    ]
}

#[rustfmt::skip]
fn faults() -> Vec<Case> {
    let published = || head(State::Published, 3);
    let other = || HeadView { working: Some(version(9)), live: Some(version(9)), ..published() };
    let hidden_change = || primary().holding(HeadView { changed: at(120), ..published() }).held(|held| { held.visible = at(130); held.missing = SearchView::Nothing; });
    let quiet = LinkStatus { direction: LinkDirection::Out, reason: Some("no report for 312 s".into()), ..link(LinkState::Waiting) };
    let unheard = Unheard { detail: "the server http://replica:7700 cannot be reached".into(), last_report: Some(quiet) };
    vec![
        case("the copy lacks what its source had in time", replica(), primary().holding(published())),
        case("the copy has what its source never had", replica().holding(published()), primary()),
        case("the copy has something else", staging().holding(other()), primary().holding(published())),
        case("the copy has something else, and what is newer at the source does not show", staging().holding(other()), hidden_change()),
        case("the copy lacks a version that its source has", replica().holding(published()).held(without_version), primary().holding(published()).held(with_version(1))).asking(Asked::Version(1)),
        case("the server compared with is behind", replica().holding(HeadView { changed: at(90), ..published() }), replica().holding(head(State::Published, 2)).held(|held| held.visible = at(50))),
        Case { name: "the server does not answer", asked: Asked::Working, here: Err(unheard), source: Some(Ok(primary().holding(published()))) },
        Case { name: "the source could not be asked", asked: Asked::Live, here: Ok(staging()), source: Some(Err("the token's role is link:staging; this takes admin, editor, reader".into())) },
    ]
}

#[test]
fn every_cause_from_evidence_to_words() {
    let (mut text, mut seen) = (String::new(), BTreeSet::new());
    for Case { name, asked, here, source } in
        [presence(), absence(), arrival(), faults()].into_iter().flatten()
    {
        let answer = decide(&uri(), asked, here, source);
        let standing = serde_json::to_value(answer.standing).unwrap();
        text.push_str(&format!("{name}\n  {}\n", standing.as_str().unwrap()));
        for reason in &answer.causes {
            let code = reason.cause.code();
            assert_eq!(serde_json::to_value(reason).unwrap()["code"], code, "its name in JSON");
            seen.insert(code);
            text.push_str(&format!("  {code}: {}\n", reason.text));
            if let Some(next) = &reason.next {
                text.push_str(&format!("    next: {next}\n"));
            }
        }
        text.push('\n');
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<WhyAnswer>(&json).unwrap(), answer, "{json}");
    }
    assert_eq!(seen, Cause::CODES.into_iter().collect(), "every cause has a case");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/why.transcript");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == expected,
        "why.transcript is not what the code says; UPDATE_GOLDEN=1 writes it anew:\n{text}"
    );
}

#[test]
fn the_page_for_operators_lists_every_cause() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operate/why.md");
    let page = std::fs::read_to_string(page).unwrap();
    let causes = page.split("\n## Causes\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let listed = causes
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(code, _)| code);
    assert_eq!(listed.collect::<BTreeSet<_>>(), Cause::CODES.into_iter().collect());
}
