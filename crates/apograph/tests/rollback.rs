//! The state of an earlier time becomes the current one: as it was seen then, whatever happened since; copies follow it, a
//! second rollback takes it back, a crash in the middle leaves what can be finished.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use apograph::database::roles::RoleError;
use apograph::database::rollback::{
    Lost, RollbackDocument, RollbackError, RollbackEvent, RollbackOutcome, RollbackQuery, RollbackRequest,
    RolledBack,
};
use apograph::database::{Gate, GateMode};
use apograph::error::{CommitError, ReadError, Refusal};
use apograph::format::{Kind, Properties, State, Timestamp, Uri, View};
use apograph::read::{ListQuery, Which};
use apograph::transaction::{Action, ContentChange, Put, RollBack};
use apograph::{Database, Folder, Operation, Transaction};
use support::{Servers, lock, operation, publish, put, put_content, transaction, trash, uri};

/// What a reader sees of a document: everything but numbers, ids and times.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: Kind,
    state: State,
    moved_to: Option<Uri>,
    working: Option<Text>,
    live: Option<Text>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Text {
    r#type: String,
    properties: String,
    content: Option<(String, Vec<u8>)>,
}

/// All documents but those of servers, as of a time.
fn seen(database: &Database, at: Timestamp) -> BTreeMap<Uri, Seen> {
    let states = [None, Some(State::Trashed), Some(State::Purged)];
    let list = |state| {
        let query = ListQuery { as_of: Some(at), limit: 10_000, state, ..ListQuery::default() };
        database.list(&query).unwrap().documents
    };
    let documents = states.into_iter().flat_map(list).filter(|listed| !listed.uri.is_server());
    let of = |listed: apograph::read::Listed| {
        let (uri, head) = (listed.uri, listed.head);
        let text = |number: u64| text(database, &uri, number, at);
        let seen = Seen {
            kind: head.kind,
            state: head.state,
            moved_to: head.moved_to.clone(),
            working: head.working.and_then(|version| text(version.number)),
            live: head.live.and_then(|version| text(version.number)),
        };
        (uri, seen)
    };
    documents.map(of).collect()
}

/// None if it was purged since.
fn text(database: &Database, uri: &Uri, number: u64, at: Timestamp) -> Option<Text> {
    let version = match database.document(uri, Which::Number(number), Some(at)) {
        Err(ReadError::Erased { .. }) => return None,
        version => version.unwrap().version,
    };
    let content = version.content.as_ref().map(|content| {
        let pieces = database.content(uri, content, 0..content.bytes).unwrap();
        (content.media_type.clone(), pieces.flat_map(|piece| piece.unwrap().to_vec()).collect())
    });
    Some(Text { r#type: version.r#type, properties: version.properties.as_str().to_owned(), content })
}

fn commit(database: &Database, operations: Vec<Operation>) -> Timestamp {
    database.commit(Transaction { operations, ..transaction([]) }).unwrap().timestamp()
}

fn roll_back(database: &Database, to: Timestamp) -> RolledBack {
    database.roll_back(RollbackRequest::new(to, "root"), |_| {}).unwrap()
}

fn preview(database: &Database, to: Timestamp) -> Vec<RollbackDocument> {
    let query = RollbackQuery { to, at: None, after: None };
    database.rollback_preview(query).unwrap().map(Result::unwrap).collect()
}

/// Everything stands as it stood, but what was purged since, which is what the rollback said.
fn check(database: &Database, then: &BTreeMap<Uri, Seen>, lost: &BTreeSet<Uri>) {
    let now = seen(database, database.visible());
    for (uri, then) in then.iter().filter(|(_, then)| then.state != State::Purged) {
        let now = &now[uri];
        if lost.contains(uri) {
            assert!(matches!(now.state, State::Purged | State::Trashed), "{uri}: {now:?}");
        } else {
            assert_eq!(now, then, "{uri}");
        }
    }
    let is_absent = |uri: &&Uri| then.get(*uri).is_none_or(|then| then.state == State::Purged);
    for uri in now.keys().filter(is_absent) {
        assert!(matches!(now[uri].state, State::Purged | State::Trashed), "{uri}: {:?}", now[uri]);
    }
    let differs: Vec<_> = now.keys().filter(|uri| lost.contains(*uri)).collect();
    assert_eq!(differs.len(), lost.len());
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// Whatever people do, sensible or not.
    fn operation(&mut self) -> Operation {
        let at = format!("/d/{}", self.below(12));
        let text = format!("text {}", self.below(6));
        match self.below(20) {
            0..=5 => put(&at, &text),
            6 => {
                let kind = if self.below(2) == 0 { Kind::Node } else { Kind::Document };
                let properties = Properties::parse(&format!(r#"{{"n":{}}}"#, self.below(3))).unwrap();
                let r#type = Some(format!("t{}", self.below(2)));
                let content = ContentChange::None;
                let put =
                    Put { kind: Some(kind), r#type, properties: Some(properties), content, ..Put::default() };
                operation(&at, Action::Put(put))
            }
            7..=10 => publish(&at),
            11 => operation(&at, Action::Publish { version: Some(1 + self.below(4)) }),
            12 => operation(&at, Action::Withdraw),
            13 | 14 => trash(&at),
            15 | 16 => operation(&at, Action::Restore),
            17 => operation(&at, Action::Move { to: uri(&format!("/d/{}", self.below(12))) }),
            18 => lock(&at, 1 + self.below(3_600)),
            _ => operation(&at, Action::Purge),
        }
    }

    /// Answers what was purged, and when.
    fn edit(&mut self, database: &Database, steps: u64, purged: &mut Vec<(Timestamp, Uri)>) {
        for _ in 0..steps {
            let operation = self.operation();
            let of = matches!(operation.action, Action::Purge).then(|| operation.uri.clone());
            let edited = database.commit(Transaction { operations: vec![operation], ..transaction([]) });
            match (edited, of) {
                (Ok(committed), Some(uri)) => purged.push((committed.timestamp(), uri)),
                (Ok(_) | Err(CommitError::Refused { .. }), _) => {}
                (Err(error), _) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn any_moment_comes_back_as_it_was_seen_and_goes_again() {
    for seed in 0..4 {
        let mut random = Random(seed);
        let mut servers = Servers::start([1, 3][seed as usize % 2]);
        let primary = servers.primary();
        let mut purged = Vec::new();
        let mut moments: Vec<(Timestamp, BTreeMap<Uri, Seen>)> = Vec::new();
        for _ in 0..5 {
            random.edit(&primary, 25, &mut purged);
            moments.push((primary.visible(), seen(&primary, primary.visible())));
            let at = random.below(moments.len() as u64) as usize;
            let (to, then) = moments[at].clone();
            let lost_since = |from: Timestamp| -> BTreeSet<Uri> {
                let of = |(at, uri): &(Timestamp, Uri)| (*at > from).then(|| uri.clone());
                let was_there = |uri: &Uri| then.get(uri).is_some_and(|then| then.state != State::Purged);
                purged.iter().filter_map(of).filter(was_there).collect()
            };
            let (lost, before) = (lost_since(to), seen(&primary, primary.visible()));
            let told = preview(&primary, to);
            let mut request = RollbackRequest::new(to, "root");
            request.documents_max = [1, 3, usize::MAX][random.below(3) as usize];
            let mut named = BTreeSet::new();
            let done = primary
                .roll_back(request, |event| {
                    if let RollbackEvent::Lost(document) = event {
                        assert!(matches!(document.outcome, RollbackOutcome::Lost { why: Lost::Purged, .. }));
                        named.insert(document.uri.clone());
                    }
                })
                .unwrap();
            assert_eq!(named, lost, "seed {seed}");
            check(&primary, &then, &lost);
            // What was told is what was done.
            let changed = told.iter().filter(|told| told.outcome.is_change()).count() as u64;
            assert_eq!((done.progress.documents, done.progress.lost), (changed, lost.len() as u64));
            for RollbackDocument { uri, outcome, .. } in &told {
                let head = primary.head(uri, None).unwrap().unwrap();
                if let RollbackOutcome::Back { state, live, .. } = outcome {
                    assert_eq!((head.state, head.live.map(|live| live.number)), (*state, *live), "{uri}");
                }
            }
            // Again: nothing is left to be done, and nothing is written.
            let visible = primary.visible();
            let again = roll_back(&primary, to);
            assert_eq!((again.progress.transactions, again.progress.token), (0, None));
            assert_eq!(again.progress.lost, lost.len() as u64);
            servers.check_exact();
            // What stood before can be read as before, and becomes current again.
            assert_eq!(seen(&primary, done.from), before);
            if random.below(2) == 0 {
                let back = roll_back(&primary, done.from);
                assert_eq!(back.progress.lost, 0, "a rollback purges nothing");
                check(&primary, &before, &BTreeSet::new());
                assert!(back.progress.transactions <= 1 && visible >= done.from);
                servers.check_exact();
            }
        }
    }
}

#[test]
fn one_transaction_is_seen_whole_or_not_at_all_and_several_are_counted() {
    let mut servers = Servers::start(3);
    let primary = servers.primary();
    let all = |text: &str| (0..40).map(|n| put(&format!("/a/{n}"), text)).collect::<Vec<_>>();
    commit(&primary, all("then"));
    let to = commit(&primary, (0..20).map(|n| publish(&format!("/a/{n}"))).collect());
    commit(&primary, all("now"));
    commit(&primary, (0..5).map(|n| trash(&format!("/a/{n}"))).chain([put("/new", "x")]).collect());
    let before = seen(&primary, primary.visible());
    let done = roll_back(&primary, to);
    let token = done.progress.token.unwrap();
    assert_eq!((done.progress.transactions, done.progress.documents), (1, 41));
    assert_eq!((done.progress.saved, done.progress.trashed, done.progress.lost), (40, 1, 0));
    assert_eq!(seen(&primary, Timestamp(token.timestamp.0 - 1)), before);
    assert_eq!(seen(&primary, done.from), before);
    // The new versions say what they are.
    let version = primary.document(&uri("/a/7"), Which::Working, None).unwrap();
    assert_eq!((version.head.state, version.version_ref.number), (State::Published, 3));
    assert_eq!(version.version.author, "root");
    assert!(version.version.comment.starts_with("as it stood at 2"), "{}", version.version.comment);
    assert_eq!(
        primary.last_rollback().unwrap().map(|last| (last.to, last.from, last.is_done)),
        Some((to, done.from, true))
    );
    let mut request = RollbackRequest::new(done.from, "root");
    request.documents_max = 10;
    request.comment = Some("that was wrong".into());
    let back = primary.roll_back(request, |_| {}).unwrap();
    assert_eq!((back.progress.transactions, back.progress.documents), (5, 41));
    check(&primary, &before, &BTreeSet::new());
    let version = primary.document(&uri("/a/7"), Which::Working, None).unwrap();
    assert_eq!(version.version.comment, "that was wrong");
    servers.check_exact();
    assert_eq!(servers.database("replica").last_rollback().unwrap(), primary.last_rollback().unwrap());
}

#[test]
fn large_contents_and_unpublished_texts_stay_where_they_are() {
    let mut servers = Servers::start(3);
    let primary = servers.primary();
    let mut spool = primary.spool();
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 / 3) as u8).collect();
    spool.write(&large).unwrap();
    let large = put_content("/large", spool.finish().unwrap());
    let to = commit(&primary, vec![large, publish("/large"), put("/draft", "canary of a draft")]);
    commit(
        &primary,
        vec![put("/large", "small"), publish("/large"), put("/draft", "published"), publish("/draft")],
    );
    let then = seen(&primary, to);
    servers.settle_primary();
    let appended =
        || -> u64 { primary.status().unwrap().partitions.iter().map(|of| of.journal_bytes_appended).sum() };
    let before = appended();
    roll_back(&primary, to);
    assert!(appended() - before < 100_000, "contents are in the store, and are not written again");
    check(&primary, &then, &BTreeSet::new());
    servers.check_exact();
    assert!(servers.staging().document(&uri("/draft"), Which::Live, None).is_err());
    servers.check_absent("staging", b"canary of a draft");
}

#[test]
fn a_crash_in_the_middle_is_told_and_finished_or_taken_back() {
    for is_finished in [true, false] {
        let mut servers = Servers::start(3);
        let primary = servers.primary();
        commit(&primary, (0..20).map(|n| put(&format!("/a/{n}"), "then")).collect());
        let to = commit(&primary, (0..10).map(|n| publish(&format!("/a/{n}"))).collect());
        commit(&primary, (0..20).map(|n| put(&format!("/a/{n}"), "now")).chain([put("/new", "x")]).collect());
        let (then, before) = (seen(&primary, to), seen(&primary, primary.visible()));
        let from = primary.visible();
        let (home, copy) = (servers.path("primary"), servers.path("crashed"));
        let mut request = RollbackRequest::new(to, "root");
        request.documents_max = 4;
        let done = primary.roll_back(request, |event| {
            if matches!(event, RollbackEvent::Committed(so_far) if so_far.transactions == 3) {
                support::snapshot(&home, &copy);
            }
        });
        assert_eq!(done.unwrap().progress.transactions, 6);
        drop(primary);
        // It goes on with the folder of that moment.
        servers
            .tamper("primary", |home| {
                std::fs::remove_dir_all(home).unwrap();
                std::fs::rename(&copy, home).unwrap();
            })
            .unwrap();
        let primary = servers.primary();
        let last = primary.last_rollback().unwrap().unwrap();
        assert_eq!((last.to, last.from, last.is_done), (to, from, false));
        let alarms = primary.alarms().join(" ");
        assert!(
            alarms
                .contains(&format!("`apograph rollback --to {to}` finishes it, `--to {from}` takes it back")),
            "{alarms}"
        );
        assert_ne!(seen(&primary, primary.visible()), then);
        // Somebody writes before anybody looks.
        commit(&primary, vec![put("/a/0", "meanwhile")]);
        if is_finished {
            let done = roll_back(&primary, to);
            assert_eq!(done.from, from, "the moment before it began");
            check(&primary, &then, &BTreeSet::new());
        } else {
            roll_back(&primary, from);
            check(&primary, &before, &BTreeSet::new());
        }
        assert!(primary.alarms().is_empty(), "{:?}", primary.alarms());
        servers.check_exact();
    }
}

#[test]
fn writes_wait_and_nothing_else_changes_the_role_or_rolls_back_meanwhile() {
    let mut servers = Servers::start(2);
    let primary = servers.primary();
    let to = commit(&primary, (0..6).map(|n| put(&format!("/a/{n}"), "then")).collect());
    commit(&primary, (0..6).map(|n| put(&format!("/a/{n}"), "now")).collect());
    let mut request = RollbackRequest::new(to, "root");
    request.documents_max = 2;
    let mut waiting = Vec::new();
    let done = primary
        .roll_back(request, |event| {
            let RollbackEvent::Committed(so_far) = event else { return };
            waiting.push(primary.submit(transaction([put("/a/0", "later")])).unwrap());
            assert_eq!(primary.running_rollback(), Some((to, *so_far)));
            let other = primary.roll_back(RollbackRequest::new(to, "other"), |_| {});
            assert!(matches!(other, Err(RollbackError::Running { to: of }) if of == to), "{other:?}");
            let held = primary.hold_writes(Duration::from_secs(5));
            assert!(matches!(held, Err(RoleError::Commit(CommitError::RollingBack { .. }))), "{held:?}");
        })
        .unwrap();
    assert_eq!((waiting.len(), primary.running_rollback()), (3, None));
    let last = done.progress.token.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for pending in waiting {
        assert!(runtime.block_on(pending).unwrap().token > last);
    }
    // A handover holds writes: a rollback is told to come back.
    primary.hold_writes(Duration::from_secs(60)).unwrap();
    let held = primary.roll_back(RollbackRequest::new(to, "root"), |_| {});
    assert!(matches!(held, Err(RollbackError::Commit(CommitError::Held { .. }))), "{held:?}");
    assert_eq!(primary.running_rollback(), None);
    primary.release_writes().unwrap();
    // So does a copy that writes have to wait for.
    let mode = GateMode::Reject;
    primary.set_gate(Some(Gate { link: "replica".into(), reason: "it is late".into(), mode }));
    let late = primary.roll_back(RollbackRequest::new(to, "root"), |_| {});
    assert!(matches!(late, Err(RollbackError::Commit(CommitError::Lagging { .. }))), "{late:?}");
    primary.set_gate(None);
    servers.check_exact();
}

#[test]
fn what_cannot_be_is_refused_and_servers_stay_what_they_are() {
    let mut servers = Servers::start(2);
    let primary = servers.primary();
    let to = commit(&primary, vec![put("/a", "then")]);
    let server = servers.database("replica").handshake(View::Full).unwrap().server;
    primary.announce_copy(&server, apograph::Role::Replica).unwrap();
    commit(&primary, vec![put("/a", "now"), put("/b", "new")]);
    servers.check_exact();
    let told = preview(&primary, to);
    assert_eq!(told.iter().map(|of| of.uri.as_str()).collect::<Vec<_>>(), ["/a", "/b"]);
    assert_eq!(preview(&servers.database("replica"), to), told);
    let behind = RollbackQuery { to, at: Some(primary.visible()), after: Some(uri("/a")) };
    assert_eq!(primary.rollback_preview(behind).unwrap().count(), 1);
    let query = RollbackQuery { to, at: None, after: None };
    assert!(matches!(servers.staging().rollback_preview(query), Err(ReadError::NoSuchView { .. })));
    let ask = |database: &Database, to| database.roll_back(RollbackRequest::new(to, "root"), |_| {});
    let ahead = ask(&primary, Timestamp(u64::MAX));
    assert!(matches!(ahead, Err(RollbackError::Read(ReadError::Ahead { .. }))), "{ahead:?}");
    let read_only = ask(&servers.database("replica"), to);
    assert!(matches!(read_only, Err(RollbackError::Commit(CommitError::ReadOnly(_)))), "{read_only:?}");
    let action = Action::RollBack(RollBack { to, documents: vec![uri("/a")] });
    let editor = Transaction { privileged: false, ..transaction([operation("/a", action)]) };
    let denied = primary.commit(editor);
    assert!(
        matches!(denied, Err(CommitError::Refused { refusal: Refusal::Privileged { .. }, .. })),
        "{denied:?}"
    );
    roll_back(&primary, to);
    let documents =
        primary.list(&ListQuery { prefix: "/_system/servers/".into(), limit: 10, ..ListQuery::default() });
    assert!(documents.unwrap().documents.iter().any(|listed| listed.uri.as_str().ends_with("/replica")));
    servers.check_exact();
}

#[test]
fn history_that_is_gone_is_refused_and_not_taken_for_absence() {
    let dir = tempfile::tempdir().unwrap();
    let settings = apograph::settings::DatabaseSettings::new(apograph::Role::Primary);
    let settings = apograph::settings::ServerSettings {
        name: "primary".into(),
        listen: "127.0.0.1:1".into(),
        url: None,
        backup_folder: None,
        databases: BTreeMap::from([("main".to_owned(), settings)]),
    };
    let home = dir.path().join("home");
    let folder = Folder::init(&home, &settings).unwrap();
    let database = folder.database("main").unwrap().unwrap();
    let to = commit(&database, vec![put("/a", "then")]);
    let last = commit(&database, vec![put("/a", "now")]);
    database.shutdown();
    drop((database, folder));
    // From now on history of a second is kept. The first look at it moves the horizon, the next one comes a minute later.
    let file = home.join("server.json");
    let mut settings: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    settings["databases"]["main"]["history_age_max_seconds"] = 1.into();
    std::fs::write(&file, settings.to_string()).unwrap();
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as u64;
    while now() <= last.0 + 1_000_000 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let folder = Folder::open(&home).unwrap();
    let database = folder.database("main").unwrap().unwrap();
    let begun = std::time::Instant::now();
    while database.horizon() <= to {
        assert!(begun.elapsed() < Duration::from_secs(60), "the horizon never rises");
        std::thread::sleep(Duration::from_millis(20));
    }
    let refused = database.roll_back(RollbackRequest::new(to, "root"), |_| {});
    assert!(matches!(refused, Err(RollbackError::Read(ReadError::BelowHorizon { .. }))), "{refused:?}");
    let action = Action::RollBack(RollBack { to, documents: vec![uri("/a")] });
    assert!(database.commit(transaction([operation("/a", action)])).is_err());
    assert!(database.document(&uri("/a"), Which::Working, None).is_ok());
    database.shutdown();
}

/// A wrong year would send everything to the trash.
#[test]
fn a_time_before_the_first_transaction_is_refused() {
    let servers = Servers::start(3);
    let primary = servers.primary();
    let first = commit(&primary, vec![put("/a", "first")]);
    // A year too early.
    let before = Timestamp(first.0 - 365 * 86_400_000_000);
    let query = RollbackQuery { to: before, at: None, after: None };
    let refused = primary.rollback_preview(query).map(|_| ());
    assert!(matches!(refused, Err(ReadError::NothingYet { .. })), "{refused:?}");
    let refused = primary.roll_back(RollbackRequest::new(before, "root"), |_| {});
    assert!(matches!(refused, Err(RollbackError::Read(ReadError::NothingYet { .. }))), "{refused:?}");
    // Nobody holds writes any more. An importer that went mad in a new database is taken back to where it began.
    commit(&primary, vec![put("/b", "mad")]);
    let done = primary.roll_back(RollbackRequest::new(first, "root"), |_| {}).unwrap();
    assert_eq!((done.progress.documents, done.progress.trashed), (1, 1));
    assert_eq!(primary.document(&uri("/a"), Which::Working, None).unwrap().version_ref.number, 1);
}
