//! Exports, loaded into an empty primary: the same documents, and copies that follow it are exact.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod support;

use apograph::error::{CommitError, ImportError, LoadRefusal, Refusal};
use apograph::format::{
    Hash, Head, Kind, Properties, State, SyncScope, Timestamp, Version, VersionRef, View,
};
use apograph::import::{LineFault, Reader};
use apograph::transaction::{Action, ContentBytes, Load, LoadedVersion, Precondition, Transaction};
use apograph::{Database, ImportRequest, Operation};
use support::loading::{Lone, load, loadable};
use support::synchronize::{Cost, synchronize_scoped};
use support::{Servers, export, lock, operation, publish, put, put_content, transaction, trash, uri};

const CANARY: &str = "CANARY-never-published";

/// Something of everything: all states, gaps in numbers, moves, purges, locks, contents of every size and kind.
fn write_everything(database: &Database) {
    let commit = |operations: Vec<Operation>| {
        database.commit(Transaction { operations, ..transaction([]) }).unwrap();
    };
    commit(vec![put("/working", CANARY), put("/published", "one"), publish("/published")]);
    commit(vec![put("/changes", "one"), publish("/changes"), put("/changes", CANARY)]);
    commit(vec![put("/older", "one"), put("/older", "two"), put("/older", CANARY)]);
    commit(vec![operation("/older", Action::Publish { version: Some(2) })]);
    commit(vec![put("/withdrawn", "one"), publish("/withdrawn"), operation("/withdrawn", Action::Withdraw)]);
    commit(vec![put("/elsewhere", "x"), publish("/elsewhere"), operation("/elsewhere", Action::Withdraw)]);
    commit(vec![operation("/elsewhere", Action::Move { to: uri("/moved") })]);
    commit(vec![put("/trashed", CANARY), trash("/trashed")]);
    commit(vec![put("/restored", "x"), publish("/restored"), trash("/restored")]);
    commit(vec![operation("/restored", Action::Restore)]);
    commit(vec![put("/old", "one"), publish("/old"), put("/old", "two"), lock("/old", 60)]);
    commit(vec![put("/target", "before"), trash("/target")]);
    commit(vec![operation("/old", Action::Move { to: uri("/target") })]);
    commit(vec![put("/purged", "gone"), publish("/purged")]);
    commit(vec![operation("/purged", Action::Purge)]);
    commit(vec![put("/never", CANARY)]);
    commit(vec![operation("/never", Action::Purge)]);
    commit(vec![put("/again", "gone"), put("/again", "gone, too")]);
    commit(vec![operation("/again", Action::Purge)]);
    commit(vec![put("/again", "new"), publish("/again"), lock("/again", 3_600)]);
    let binary = ContentBytes::Inline(vec![0_u8, 159, 146, 150].into());
    commit(vec![
        put_content("/binary", binary),
        put("/empty", ""),
        put("/controls", &"\u{1}".repeat(1 << 20)),
    ]);
    let mut spool = database.spool();
    for n in 0..5_u8 {
        spool.write(&vec![n; 700_000]).unwrap();
    }
    let large = spool.finish().unwrap();
    commit(vec![put_content("/large", large.clone()), publish("/large"), put_content("/also/large", large)]);
    for n in 0..40 {
        let time = Some(-1_000_000 * n);
        let operations = vec![put("/often", &format!("text {n}"))];
        database.commit(Transaction { time, operations, ..transaction([]) }).unwrap();
    }
    commit(vec![operation("/often", Action::Publish { version: Some(7) })]);
    let far = Transaction { time: Some(i64::MAX / 2), ..transaction([put("/far", "in time")]) };
    database.commit(far).unwrap();
}

#[test]
fn copies_that_follow_a_loaded_primary_are_exact() {
    for (view, partitions, versions_max) in
        [(View::Full, 3, 5), (View::Full, 1, 512), (View::Published, 2, 3)]
    {
        let source = Lone::start(2);
        write_everything(&source.database);
        let exported = export(&source.database, view);
        let mut servers = Servers::start(partitions);
        let loaded = load(&servers.primary(), &exported, versions_max, usize::MAX);
        assert_eq!(loaded.left_out, [uri("/_system/servers/lone")]);
        servers.check_exact();
        assert_eq!(loadable(&export(&servers.primary(), view)), loadable(&exported), "{view}");
        servers.check_absent("staging", CANARY.as_bytes());
        // Life goes on.
        servers.commit([put("/often", "more"), put("/again", "more"), publish("/older"), trash("/large")]);
        servers.commit([operation("/large", Action::Purge)]);
        servers.restart();
        servers.check_exact();
    }
}

#[test]
fn an_import_that_breaks_off_goes_on() {
    let source = Lone::start(1);
    write_everything(&source.database);
    let exported = export(&source.database, View::Full);
    for (versions_max, lines_max) in [(1, 12), (4, 17), (30, 61), (512, 1_000)] {
        let target = Lone::start(2);
        load(&target.database, &exported, versions_max, lines_max);
        assert_eq!(loadable(&export(&target.database, View::Full)), loadable(&exported), "{versions_max}");
        let before = export(&target.database, View::Full);
        load(&target.database, &exported, versions_max, lines_max);
        assert_eq!(export(&target.database, View::Full), before, "nothing comes twice");
    }
}

#[test]
fn what_was_purged_while_the_export_was_made_comes_as_purged() {
    let source = Lone::start(1);
    let database = &source.database;
    database.commit(transaction([put("/a", "one"), put("/b", "one"), publish("/b")])).unwrap();
    let then = database.commit(transaction([put("/b", "two"), put("/c", "one")])).unwrap().timestamp();
    database.commit(transaction([operation("/b", Action::Purge)])).unwrap();
    let begun = std::time::Instant::now();
    let lines = loop {
        let export = database.export(View::Full, Some(then)).unwrap();
        let lines: Vec<String> = export.map(Result::unwrap).collect();
        // Only of its second version: the first one has the same bytes as that of `/a`, and stays.
        if lines.iter().any(|line| line.contains(r#""erased":true"#)) {
            break lines;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "the bytes are never erased");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let target = Lone::start(1);
    let loaded = load(&target.database, &lines, 512, usize::MAX);
    assert_eq!(loaded.purged_meanwhile, [uri("/b")]);
    let found = export(&target.database, View::Full);
    assert_eq!(loadable(&found), loadable(&export(database, View::Full)));
    // Nothing is left half there: when its first version is loaded already, the import stops.
    let target = Lone::start(1);
    let request = ImportRequest { versions_max: 1, ..ImportRequest::new("root", "ndjson:x") };
    let mut import = target.database.import(request).unwrap();
    let outcome: Result<(), ImportError> = lines.iter().try_for_each(|line| import.line(line.as_bytes()));
    let Err(ImportError::Line(error)) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(error.fault, LineFault::PurgedMeanwhile { uri } if uri.as_str() == "/b"));
}

/// Of versions that are not there nobody knows what they add to the history: heads are kept as they are said.
#[test]
fn what_a_copy_with_the_newest_versions_exports_is_loaded() {
    let servers = Servers::start(1);
    let primary = servers.primary();
    for n in 0..20 {
        primary.commit(transaction([put("/long", &format!("version {n}"))])).unwrap();
        if n == 0 {
            primary.commit(transaction([publish("/long")])).unwrap();
        }
    }
    let scope = SyncScope { max_versions: 5, ..SyncScope::default() };
    let replica = servers.database("replica");
    synchronize_scoped(&primary, &replica, "requested", scope, &mut Cost::default());
    let exported = export(&replica, View::Full);
    let versions = |lines: &[String]| {
        let is_whole = |line: &&String| line.starts_with(r#"{"uri":"/long","v"#) && !line.contains("erased");
        lines.iter().filter(is_whole).count()
    };
    assert_eq!(
        (versions(&exported), versions(&export(&primary, View::Full))),
        (6, 20),
        "the live one and five"
    );
    for versions_max in [1, 2, 512] {
        let target = Lone::start(1);
        let loaded = load(&target.database, &exported, versions_max, usize::MAX);
        assert_eq!(loaded.cut, [uri("/long")]);
        let whole = |lines: &[String]| {
            let lines: Vec<String> = lines.iter().filter(|line| !line.contains("erased")).cloned().collect();
            loadable(&lines)
        };
        assert_eq!(whole(&export(&target.database, View::Full)), whole(&exported));
    }
}

#[test]
fn only_an_empty_primary_is_loaded_into() {
    let source = Lone::start(1);
    source.database.commit(transaction([put("/a", "one")])).unwrap();
    let lines = export(&source.database, View::Full);
    let refused = source.database.import(ImportRequest::new("root", "ndjson:x"));
    assert!(matches!(refused, Err(ImportError::NotEmpty { uri }) if uri.as_str() == "/a"));
    let mut servers = Servers::start(1);
    servers.commit([put("/x", "one")]);
    servers.commit([operation("/x", Action::Purge)]);
    servers.check_exact();
    let refused = servers.primary().import(ImportRequest::new("root", "ndjson:x"));
    assert!(matches!(refused, Err(ImportError::NotEmpty { .. })), "a purged document is something");
    let refused = servers.database("replica").import(ImportRequest::new("root", "ndjson:x"));
    assert!(matches!(refused, Err(ImportError::Commit(CommitError::ReadOnly(_)))));
    // Somebody writes a document while it is being loaded.
    let target = Lone::start(1);
    let mut import = target.database.import(ImportRequest::new("root", "ndjson:x")).unwrap();
    target.database.commit(transaction([put("/a", "mine")])).unwrap();
    let outcome: Result<(), ImportError> = lines.iter().try_for_each(|line| import.line(line.as_bytes()));
    let outcome = outcome.and_then(|()| import.finish().map(drop));
    let Err(ImportError::Commit(CommitError::Refused { refusal, .. })) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(refusal, Refusal::Load(LoadRefusal::Occupied { state: State::Working }));
    assert_eq!(target.database.cursor("ndjson:x").unwrap(), None);
}

/// Every change of one line is met, with the number of the line, by whoever only checks and by whoever loads.
#[test]
fn damaged_exports_are_refused_at_their_line() {
    let source = Lone::start(1);
    let database = &source.database;
    database.commit(transaction([put("/a", "one"), publish("/a"), put("/a", "two")])).unwrap();
    let mut spool = database.spool();
    spool.write(&vec![b'x'; 2_500_000]).unwrap();
    let large = spool.finish().unwrap();
    database.commit(transaction([put_content("/b", large), put("/c", "c"), lock("/c", 60)])).unwrap();
    database.commit(transaction([put("/d", "d")])).unwrap();
    database.commit(transaction([operation("/d", Action::Purge)])).unwrap();
    let lines = export(database, View::Full);
    let at = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    let replace = |line: usize, from: &str, to: &str| {
        let mut lines = lines.clone();
        assert!(lines[line].contains(from), "{from} in {}", lines[line]);
        lines[line] = lines[line].replacen(from, to, 1);
        (lines, line)
    };
    let without = |line: usize, met: usize| {
        let mut lines = lines.clone();
        lines.remove(line);
        (lines, met)
    };
    let (a1, c) = (at(r#""uri":"/a","version":1"#), at(r#""uri":"/c","version":1"#));
    let (b_head, b, d, end) =
        (at(r#""uri":"/b","head""#), at(r#""uri":"/b","version":1"#), at("purged"), lines.len() - 1);
    let swapped = {
        let mut lines = lines.clone();
        lines.swap(c - 1, d);
        lines.swap(c, d);
        lines
    };
    let cases: Vec<(&str, (Vec<String>, usize))> = vec![
        ("no export", replace(0, "apograph-export/1", "something/1")),
        ("newer", replace(0, "apograph-export/1", "apograph-export/2")),
        ("no JSON", replace(a1, "{", "[")),
        ("an unknown member", replace(a1, r#""author""#, r#""colour":1,"author""#)),
        ("text", replace(a1, r#""body":"one""#, r#""body":"own""#)),
        ("author", replace(a1, r#""author":"ann""#, r#""author":"eve""#)),
        ("comment", replace(a1 + 1, r#""comment":"a change""#, r#""comment":"a chance""#)),
        ("properties", replace(a1, r#""title":"x""#, r#""title":"y""#)),
        ("number", replace(a1, r#""version":1"#, r#""version":2"#)),
        ("state", (replace(a1 - 1, "published-with-changes", "published").0, a1 + 1)),
        ("live id", {
            let head: serde_json::Value = serde_json::from_str(&lines[a1 - 1]).unwrap();
            let id = head["head"]["live"]["id"].as_str().unwrap().to_owned();
            (replace(a1 - 1, &id, &Hash::of(b"other").to_string()).0, a1 + 1)
        }),
        ("ever live", (replace(a1 - 1, r#""ever_live":true"#, r#""ever_live":false"#).0, a1 + 1)),
        ("lock of the purged", replace(d, r#""lock":null"#, r#""lock":{"owner":"x","since":1,"expires":2}"#)),
        ("kind", replace(a1 - 1, r#""kind":"document""#, r#""kind":"sheet""#)),
        ("a piece is missing", without(b + 2, b + 2)),
        ("the last piece is missing", without(b + 3, b + 3)),
        ("a piece is altered", (replace(b + 3, r#""base64":"eHh4"#, r#""base64":"eHh5"#).0, b + 3)),
        ("a document's line is missing", without(b_head, b_head)),
        ("a version is missing", without(a1, a1)),
        ("the last version is missing", without(a1 + 1, a1 + 1)),
        ("a document is missing", without(d, end - 1)),
        ("order", (swapped, c)),
        ("count", replace(end, r#""documents":5"#, r#""documents":6"#)),
        ("hash", replace(a1 - 1, r#""changed":1"#, r#""changed":2"#)),
        ("cut off", (lines[..end].to_vec(), end)),
        ("goes on after its end", (lines.iter().chain([&lines[end]]).cloned().collect(), end + 1)),
    ];
    for (what, (lines, met)) in cases {
        let met = if what == "hash" { end } else { met };
        let mut reader = Reader::checking();
        let outcome = lines.iter().try_for_each(|line| reader.line(line.as_bytes()).map(drop));
        let error = outcome.and_then(|()| reader.finish()).expect_err(what);
        assert_eq!(error.line, met as u64 + 1, "{what}: {error}");
        let target = Lone::start(1);
        let mut import = target.database.import(ImportRequest::new("root", "ndjson:x")).unwrap();
        let outcome: Result<(), ImportError> = lines.iter().try_for_each(|line| import.line(line.as_bytes()));
        let Err(ImportError::Line(loading)) = outcome.and_then(|()| import.finish().map(drop)) else {
            panic!("{what}: loaded")
        };
        assert_eq!(loading.to_string(), error.to_string(), "{what}");
        assert_eq!(matches!(error.fault, LineFault::Newer { .. }), what == "newer");
    }
}

/// The operation itself, whoever asks for it.
#[test]
fn what_does_not_fit_is_not_loaded() {
    let target = Lone::start(1);
    let version = |number: u64, text: &str| {
        let version = Version {
            number,
            parents: Vec::new(),
            r#type: "note".into(),
            properties: Properties::parse(&format!(r#"{{"text":"{text}"}}"#)).unwrap(),
            content: None,
            author: "ann".into(),
            time: 1,
            comment: String::new(),
            origin: None,
        };
        LoadedVersion { id: Hash::of(&version.encode()), version, content: None }
    };
    let reference = |loaded: &LoadedVersion| VersionRef { number: loaded.version.number, id: loaded.id };
    let head = |versions: &[LoadedVersion]| Head {
        kind: Kind::Document,
        state: State::Working,
        working: versions.last().map(reference),
        live: None,
        lock: None,
        history: versions
            .iter()
            .fold(Head::NO_HISTORY, |history, version| Head::extend_history(&history, &version.id)),
        versions: versions.last().map_or(1, |version| version.version.number),
        moved_to: None,
        changed: Timestamp::ZERO,
        r#type: String::new(),
        ever_live: false,
    };
    let ask = |at: &str, load: Load, privileged: bool| {
        let operations = vec![operation(at, Action::Load(load))];
        match target.database.commit(Transaction { operations, privileged, ..transaction([]) }) {
            Ok(_) => None,
            Err(CommitError::Refused { refusal, .. }) => Some(refusal),
            Err(error) => panic!("{error}"),
        }
    };
    let (one, two) = (version(1, "one"), version(2, "two"));
    let both = vec![one.clone(), two.clone()];
    let of = |versions: &[LoadedVersion], head: Option<Head>| Load {
        kind: Kind::Document,
        after: None,
        versions: versions.to_vec(),
        head,
    };
    let whole = || of(&both, Some(head(&both)));
    let with = |change: &dyn Fn(&mut Head)| {
        let mut head = head(&both);
        change(&mut head);
        ask("/a", of(&both, Some(head)), true)
    };
    let is_head = |refusal: Option<Refusal>| matches!(refusal, Some(Refusal::Load(LoadRefusal::Head { .. })));
    assert!(matches!(ask("/a", whole(), false), Some(Refusal::Privileged { .. })));
    assert!(matches!(ask("/_system/x", whole(), true), Some(Refusal::Kind { .. })));
    assert!(is_head(with(&|head| head.working = Some(reference(&one)))));
    assert!(is_head(with(&|head| head.versions = 3)));
    assert!(is_head(with(&|head| head.history = Hash::of(b"other"))));
    assert!(is_head(with(&|head| head.live = Some(reference(&two)))));
    assert!(is_head(with(&|head| head.state = State::Published)));
    assert!(is_head(with(&|head| head.state = State::Withdrawn)));
    assert!(is_head(with(&|head| head.moved_to = Some(uri("/b")))));
    assert!(is_head(with(&|head| head.kind = Kind::Node)));
    assert!(is_head(with(&|head| {
        let live = VersionRef { number: 9, id: one.id };
        *head =
            Head { state: State::PublishedWithChanges, live: Some(live), ever_live: true, ..head.clone() };
    })));
    assert!(is_head(ask("/a", of(&[], Some(head(&[]))), true)));
    assert!(is_head(ask("/a", of(&[], None), true)));
    let liar = LoadedVersion { id: two.id, ..one.clone() };
    assert!(matches!(ask("/a", of(&[liar], None), true), Some(Refusal::Load(LoadRefusal::Id { .. }))));
    let turned = of(&[two.clone(), one.clone()], None);
    assert!(matches!(ask("/a", turned, true), Some(Refusal::Load(LoadRefusal::Order { .. }))));
    let unasked = LoadedVersion { content: Some(ContentBytes::Inline("x".into())), ..one.clone() };
    assert!(matches!(
        ask("/a", of(&[unasked], None), true),
        Some(Refusal::Load(LoadRefusal::Content { .. }))
    ));
    assert_eq!(target.database.head(&uri("/a"), None).unwrap(), None, "nothing of all that is there");
    // In parts, with somebody in between.
    assert_eq!(ask("/a", of(std::slice::from_ref(&one), None), true), None);
    let rest = |after: &LoadedVersion| Load {
        after: Some(reference(after)),
        ..of(std::slice::from_ref(&two), Some(head(&both)))
    };
    assert_eq!(ask("/a", rest(&two), true), Some(Refusal::Load(LoadRefusal::Changed)));
    assert_eq!(
        ask("/a", whole(), true),
        Some(Refusal::Load(LoadRefusal::Occupied { state: State::Working }))
    );
    target.database.commit(transaction([lock("/a", 60)])).unwrap();
    assert_eq!(ask("/a", rest(&one), true), Some(Refusal::Load(LoadRefusal::Changed)));
    target.database.commit(transaction([operation("/a", Action::Unlock)])).unwrap();
    let forged = head(&both);
    let forged = Head { history: Hash::of(b"other"), ..forged };
    assert!(is_head(ask("/a", Load { head: Some(forged), ..rest(&one) }, true)), "nothing is missing");
    assert_eq!(ask("/a", rest(&one), true), None);
    let found = target.database.head(&uri("/a"), None).unwrap().unwrap();
    assert_eq!(Head { changed: Timestamp::ZERO, ..found }, Head { r#type: "note".into(), ..head(&both) });
    let absent = Operation { precondition: Precondition::Absent, ..operation("/b", Action::Load(whole())) };
    target.database.commit(transaction([absent])).unwrap();
}
