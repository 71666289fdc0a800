//! The database compared with the model: reads, lists, histories, exports, digests.

use std::collections::BTreeMap;

use apograph::Database;
use apograph::error::{ReadError, Refusal};
use apograph::format::{
    DigestKey, DigestTree, Hash, Head, Kind, Partitioning, State, Timestamp, TreeShape, Uri, VersionRef,
    View, digest,
};
use apograph::read::{ListQuery, Which};
use serde_json::{Value, json};

use crate::documents::{Document, Documents, Saved};
use crate::steps::URIS;
use crate::support;

/// The database now equals the newest state, and at every earlier commit it equals the state of that time.
pub fn check(database: &Database, states: &[(Timestamp, Documents)]) {
    let (_, now) = states.last().expect("there is a state before the first commit");
    for (at, then) in states.iter().skip(1) {
        check_heads(database, then, *at);
        check_documents(database, then, now, *at);
    }
    check_lists(database, now);
    check_histories(database, now);
    check_export(database, now);
    let cursor = database.cursor("import").unwrap();
    assert_eq!(cursor.as_ref(), now.cursors.get("import"));
}

fn uris() -> impl Iterator<Item = Uri> {
    URIS.iter().map(|uri| Uri::parse(uri).unwrap())
}

fn check_heads(database: &Database, then: &Documents, at: Timestamp) {
    for uri in uris() {
        let expected = then.documents.get(&uri).map(|document| &document.head);
        assert_eq!(database.head(&uri, Some(at)).unwrap().as_ref(), expected, "{uri} as of {at}");
    }
}

/// Versions as of then; those that were purged since are gone.
fn check_documents(database: &Database, then: &Documents, now: &Documents, at: Timestamp) {
    for uri in uris() {
        let Some(document) = then.documents.get(&uri) else {
            assert!(database.document(&uri, Which::Working, Some(at)).is_err(), "{uri} as of {at}");
            continue;
        };
        for number in 1..=document.head.versions + 1 {
            let found = database.document(&uri, Which::Number(number), Some(at));
            check_version(database, now, found, document.versions.get(&number), &uri);
        }
        let live = document.head.live.map(|live| &document.versions[&live.number]);
        check_version(database, now, database.document(&uri, Which::Live, Some(at)), live, &uri);
        let working = document.head.working.filter(|_| document.head.is_visible());
        let working = working.map(|working| &document.versions[&working.number]);
        check_version(database, now, database.document(&uri, Which::Working, Some(at)), working, &uri);
    }
}

fn check_version(
    database: &Database,
    now: &Documents,
    found: Result<apograph::read::Document, ReadError>,
    expected: Option<&Saved>,
    uri: &Uri,
) {
    // An equal version of another document keeps it where both are: a purge is one of a partition.
    let partitioning = database.partitioning();
    let is_kept = |saved: &&Saved| {
        let beside = now.documents.iter().filter(|(other, _)| partitioning.of(other) == partitioning.of(uri));
        beside.flat_map(|(_, document)| document.versions.values()).any(|other| other.id == saved.id)
    };
    match (found, expected) {
        (Ok(found), Some(expected)) => {
            assert_eq!((&found.version, found.version_ref.id), (&expected.version, expected.id), "{uri}");
            let Some(content) = &found.version.content else { return };
            let read = database.content(uri, content, 0..content.bytes).and_then(Iterator::collect);
            let read: Vec<bytes::Bytes> = read.unwrap_or_else(|error| panic!("{uri}: {error}"));
            assert!(read.concat() == expected.content.as_deref().unwrap(), "{uri}");
        }
        (Err(ReadError::Erased { .. }), Some(expected)) => assert!(!is_kept(&expected), "{uri}"),
        (Err(ReadError::Refused { .. }), None) => {}
        (found, expected) => panic!("{uri}: {found:?}, expected {expected:?}"),
    }
}

fn check_lists(database: &Database, now: &Documents) {
    let mut queries = vec![ListQuery::default()];
    queries.extend(
        ["/", "/a", "/a/", "/_system/", "/x"]
            .map(|prefix| ListQuery { prefix: prefix.into(), ..ListQuery::default() }),
    );
    queries.extend(Kind::ALL.iter().map(|kind| ListQuery { kind: Some(*kind), ..ListQuery::default() }));
    queries.extend(State::ALL.iter().map(|state| ListQuery { state: Some(*state), ..ListQuery::default() }));
    queries.extend(
        ["", "article"].map(|r#type| ListQuery { r#type: Some(r#type.into()), ..ListQuery::default() }),
    );
    for query in queries {
        let is_listed = |(uri, document): &(&Uri, &Document)| {
            let head = &document.head;
            uri.as_str().starts_with(&query.prefix)
                && query.state.map_or(head.is_visible(), |state| state == head.state)
                && query.kind.is_none_or(|kind| kind == head.kind)
                && query.r#type.as_ref().is_none_or(|r#type| *r#type == head.r#type)
        };
        let expected: Vec<_> = now
            .documents
            .iter()
            .filter(is_listed)
            .map(|(uri, document)| (uri.clone(), document.head.clone()))
            .collect();
        let mut found = Vec::new();
        let mut page = ListQuery { limit: 2, ..query.clone() };
        loop {
            let listed = database.list(&page).unwrap();
            assert!(listed.documents.len() <= 2);
            let listed_now = listed.documents.into_iter().map(|listed| (listed.uri, listed.head));
            found.extend(listed_now.filter(|(uri, _)| !is_announcement(uri.as_str())));
            let Some(after) = listed.next_after else { break };
            page.after = Some(after);
        }
        assert_eq!(found, expected, "{query:?}");
    }
}

fn check_histories(database: &Database, now: &Documents) {
    for uri in uris() {
        let document = now.documents.get(&uri).filter(|document| document.head.state != State::Purged);
        let Some(document) = document else {
            let refused = database.history(&uri, None, 10);
            assert!(
                matches!(refused, Err(ReadError::Refused { refusal: Refusal::NotFound, .. })),
                "{refused:?}"
            );
            continue;
        };
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = database.history(&uri, before, 2).unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.version_ref.number);
            found.extend(
                page.into_iter().map(|item| (item.version_ref.number, item.version_ref.id, item.version)),
            );
        }
        let expected: Vec<_> = document
            .versions
            .iter()
            .rev()
            .map(|(number, saved)| (*number, saved.id, saved.version.clone()))
            .collect();
        assert_eq!(found, expected, "{uri}");
    }
}

/// Exports hold what the model holds.
fn check_export(database: &Database, now: &Documents) {
    let versions = now.documents.iter().flat_map(|(uri, document)| {
        let head = json!({ "uri": uri, "version": Value::Null });
        std::iter::once(head).chain(document.versions.values().map(move |saved| line(uri, saved)))
    });
    assert_eq!(lines(database, View::Full), versions.collect::<Vec<_>>());
    let live: Vec<Value> = now.live().map(|(uri, saved)| line(uri, saved)).collect();
    assert_eq!(lines(database, View::Published), live);
}

fn line(uri: &Uri, saved: &Saved) -> Value {
    json!({ "uri": uri, "version": saved.version.number, "id": saved.id })
}

/// Uri, number and id of every line, without the primary's own server document and the pieces of large contents.
fn lines(database: &Database, view: View) -> Vec<Value> {
    let lines = exported(database, view).into_iter();
    let lines = lines.filter(|line| !is_announcement(line["uri"].as_str().unwrap()));
    let short = |line: Value| match line.get("id") {
        Some(id) => json!({ "uri": line["uri"], "version": line["version"], "id": id }),
        None => json!({ "uri": line["uri"], "version": Value::Null }),
    };
    lines.filter(|line| line.get("offset").is_none()).map(short).collect()
}

/// The primary says itself who it is; the model does not.
fn is_announcement(uri: &str) -> bool {
    uri.starts_with("/_system/servers/")
}

/// The lines about documents.
fn exported(database: &Database, view: View) -> Vec<Value> {
    let mut lines: Vec<Value> =
        support::export(database, view).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.remove(0), json!({ "format": "apograph-export/1", "view": view }));
    assert!(lines.pop().unwrap()["end"].is_object());
    lines
}

/// Computes the digests of a view from its export alone.
pub fn check_digests(database: &Database, view: View, key: &DigestKey) {
    let kept = database.digest_at(view, database.visible()).unwrap();
    let partitioning: Partitioning = database.partitioning();
    let mut trees: Vec<DigestTree> =
        partitioning.all().map(|_| DigestTree::new(TreeShape::of(partitioning))).collect();
    let mut heads: BTreeMap<Uri, Head> = BTreeMap::new();
    for line in exported(database, view) {
        let uri = Uri::parse(line["uri"].as_str().unwrap()).unwrap();
        if line.get("head").is_some() {
            heads.insert(uri, full_head(&line));
        } else if let (View::Full, Some(head)) = (view, heads.get_mut(&uri)) {
            // The type of the head is that of its last version.
            head.r#type = line.get("type").map_or(head.r#type.clone(), read);
        } else if line.get("id").is_some() {
            heads.insert(uri, published_head(&line));
        }
    }
    for (uri, head) in heads {
        let leaf = match view {
            View::Full => Some(key.full_leaf(&uri, &head)),
            View::Published => key.published_leaf(&uri, &head),
        };
        trees[usize::from(partitioning.of(&uri).0)].replace(None, leaf.as_ref());
    }
    assert_eq!(trees.iter().map(DigestTree::documents).sum::<u64>(), kept.documents, "{view}");
    let digests: Vec<Hash> = trees.iter_mut().map(DigestTree::digest).collect();
    assert_eq!((digest::combine(&digests), digests), (kept.digest, kept.partitions), "{view}");
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn full_head(line: &Value) -> Head {
    let head = &line["head"];
    Head {
        kind: read(&head["kind"]),
        state: read(&head["state"]),
        working: read(&head["working"]),
        live: read(&head["live"]),
        lock: read(&head["lock"]),
        history: read(&head["history"]),
        versions: read(&head["versions"]),
        moved_to: read(&head["moved_to"]),
        changed: read(&head["changed"]),
        r#type: String::new(),
        ever_live: read(&head["ever_live"]),
    }
}

fn published_head(line: &Value) -> Head {
    let live = VersionRef { number: read(&line["version"]), id: read(&line["id"]) };
    Head {
        kind: read(&line["kind"]),
        state: State::Published,
        working: Some(live),
        live: Some(live),
        lock: None,
        history: Head::NO_HISTORY,
        versions: 0,
        moved_to: None,
        changed: Timestamp::ZERO,
        r#type: String::new(),
        ever_live: true,
    }
}
