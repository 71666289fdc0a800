//! What a server knows of one document, while its changes are on their way; and parts of exports and leaves.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use apograph::Database;
use apograph::database::LeavesQuery;
use apograph::evidence::{Evidence, Inquiry, Recorded, Search, VersionBytes};
use apograph::format::{Operation as Done, PartitionId, State, Timestamp, View};
use apograph::read::{ExportQuery, Scope, Which};
use apograph::transaction::Action;
use support::{Servers, operation, publish, put, trash, uri};

const ZERO: PartitionId = PartitionId(0);

fn ask(database: &Database, at: &str, after: Option<(Timestamp, View)>) -> Evidence {
    let inquiry = Inquiry {
        uri: uri(at),
        which: Which::Working,
        after,
        search_bytes_max: 1 << 30,
        content_bytes_max: 5 << 20,
    };
    database.evidence(&inquiry).unwrap()
}

fn found(search: &Search) -> (&Recorded, u64) {
    match search {
        Search::Found { change, transactions_before } => (change, *transactions_before),
        other => panic!("{other:?}"),
    }
}

#[test]
fn contents_on_their_way_are_told_from_those_of_others() {
    let mut servers = Servers::start(1);
    let primary = servers.primary();
    servers.commit([put("/before", "x"), publish("/before")]);
    servers.settle_primary();
    servers.follow();
    let bytes: Vec<u8> = (0..20_000_000_u32)
        .flat_map(|word| word.wrapping_mul(2_654_435_761).to_le_bytes()[3..].to_vec())
        .collect();
    let mut spool = primary.spool();
    bytes.chunks(70_000).for_each(|piece| spool.write(piece).unwrap());
    servers.commit([support::put_content("/large", spool.finish().unwrap()), publish("/large")]);

    for (name, view) in [("replica", View::Full), ("staging", View::Published)] {
        let copy = servers.database(name);
        let seen = copy.visible();
        let begun = ask(&copy, "/large", None);
        let source = ask(&primary, "/large", Some((seen, view)));
        let (change, before) = found(&source.missing);
        assert_eq!((change.operation, before), (Done::Publish, 0), "{name}");
        assert!(change.contents_entries >= 2, "{name}: {change:?}");
        // Its first entry carries contents: they are here, the document is not.
        servers.follow_partition(name, ZERO, 1);
        let copy_evidence = ask(&copy, "/large", None);
        assert_eq!((copy_evidence.at, copy_evidence.head), (seen, None), "{name}");
        assert_eq!(copy_evidence.durable.sequence, begun.durable.sequence + 1);
        match view {
            View::Full => {
                let first = change.position.sequence - change.contents_entries;
                assert_eq!(copy_evidence.durable.sequence, first, "it is the first of them");
            }
            View::Published => assert_eq!(copy_evidence.source.unwrap().entries, 1),
        }
    }
    servers.follow();
    let whole = ask(&servers.database("replica"), "/large", None);
    let expected = VersionBytes::Sampled { content_bytes: 20_000_000, checked_bytes: 5 << 20 };
    assert_eq!(whole.bytes, Some(expected));
    servers.check_exact();
}

#[test]
fn what_is_durable_and_cannot_be_seen_is_pending() {
    let mut servers = Servers::start(2);
    let partition = |at: &str| servers.primary().partitioning().of(&uri(at));
    let second = (0..).map(|n| format!("/b{n}")).find(|at| partition(at) != partition("/a")).unwrap();
    let first = partition("/a");
    servers.commit([put("/a", "one")]);
    servers.follow();
    servers.commit([put("/a", "two"), put(&second, "one")]);
    servers.follow_partition("replica", first, 1);
    let replica = ask(&servers.database("replica"), "/a", None);
    assert_eq!(replica.version.unwrap().number, 1, "the other partition's part has not come");
    let pending = replica.pending.unwrap();
    assert_eq!((pending.operation, pending.position), (Done::Put, replica.durable));
    assert!(ask(&servers.database("replica"), &second, None).pending.is_none());
    servers.follow();
    let replica = ask(&servers.database("replica"), "/a", None);
    assert_eq!((replica.version.unwrap().number, replica.pending), (2, None));
    servers.check_exact();
}

#[test]
fn the_change_that_left_a_head_and_the_first_one_after_a_time() {
    let mut servers = Servers::start(3);
    servers.commit([put("/a", "one"), put("/b", "one"), publish("/b")]);
    servers.commit([publish("/a")]);
    let published = servers.primary().visible();
    servers.commit([put("/a", "two")]);
    servers.commit([trash("/b")]);
    servers.commit([operation("/b", Action::Purge)]);
    let primary = servers.primary();
    let evidence = ask(&primary, "/b", None);
    assert_eq!(evidence.head.unwrap().state, State::Purged);
    let (purge, _) = found(&evidence.last_change);
    assert_eq!(
        (purge.operation, purge.author.as_str(), purge.comment.as_str()),
        (Done::Purge, "ann", "a change")
    );
    assert_eq!(evidence.version, None);
    // Of the purge and the trash before it, the trash came first; in the published view, too.
    for view in [View::Full, View::Published] {
        let evidence = ask(&primary, "/b", Some((published, view)));
        assert_eq!(found(&evidence.missing).0.operation, Done::Trash, "{view}");
    }
    // A draft is no change of what is published.
    assert_eq!(found(&ask(&primary, "/a", Some((published, View::Full))).missing).0.operation, Done::Put);
    assert_eq!(ask(&primary, "/a", Some((published, View::Published))).missing, Search::Nothing);
    assert_eq!(ask(&primary, "/a", Some((primary.visible(), View::Full))).missing, Search::Nothing);
    let evidence = ask(&primary, "/nothing", None);
    assert_eq!(
        (evidence.head, evidence.last_change, evidence.missing),
        (None, Search::NotAsked, Search::NotAsked)
    );
    // There is more of the journal than may be read.
    let inquiry = Inquiry {
        uri: uri("/nothing"),
        which: Which::Live,
        after: Some((Timestamp::ZERO, View::Full)),
        search_bytes_max: 100,
        content_bytes_max: 0,
    };
    assert!(matches!(primary.evidence(&inquiry).unwrap().missing, Search::Unknown { .. }));
    servers.follow();
    // A staging server knows when, and not who.
    let evidence = ask(&servers.staging(), "/b", None);
    let (purge, _) = found(&evidence.last_change);
    assert_eq!((purge.operation, purge.author.as_str(), purge.comment.as_str()), (Done::Purge, "", ""));
    servers.check_exact();
}

#[test]
fn parts_of_exports_and_leaves_are_those_of_the_whole() {
    let mut servers = Servers::start(4);
    for at in ["/a", "/a/b", "/a/c", "/ab", "/b", "/gone"] {
        servers.commit([put(at, at), publish(at)]);
    }
    servers.commit([put("/a", "two")]);
    servers.commit([trash("/a/c")]);
    servers.commit([operation("/gone", Action::Purge)]);
    servers.follow();
    let primary = servers.primary();
    let scopes = [
        (Scope::Whole, ""),
        (Scope::Prefix("/a".into()), "/a"),
        (Scope::Prefix("/a/".into()), "/a/"),
        (Scope::Document(uri("/a")), "=/a"),
        (Scope::Document(uri("/gone")), "=/gone"),
        (Scope::Document(uri("/nothing")), "=/nothing"),
    ];
    for view in View::ALL {
        // The first and the last line are of no document.
        let of_documents = |lines: Vec<String>| lines[1..lines.len() - 1].to_vec();
        let whole = of_documents(support::export(&primary, view));
        for (scope, wanted) in &scopes {
            let is_in = |uri: &str| match wanted.strip_prefix('=') {
                Some(only) => uri == only,
                None => uri.starts_with(wanted),
            };
            let uri_of = |line: &String| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["uri"].as_str().unwrap().to_owned()
            };
            let expected: Vec<_> = whole.iter().filter(|line| is_in(&uri_of(line))).cloned().collect();
            for lists_damage in [false, true] {
                let query =
                    ExportQuery { view, scope: scope.clone(), partitions: None, as_of: None, lists_damage };
                let part: Vec<_> = primary.export_of(query).unwrap().map(Result::unwrap).collect();
                assert_eq!(of_documents(part), expected, "{view} {scope:?}");
            }
            let leaves = |database: &Database, partitions: Vec<PartitionId>| {
                let query = LeavesQuery { view, scope: scope.clone(), partitions, as_of: None };
                database.leaves(query).unwrap().map(Result::unwrap).collect::<Vec<_>>()
            };
            let listed = leaves(&primary, Vec::new());
            let mut uris: Vec<_> = expected.iter().map(uri_of).collect();
            uris.dedup();
            assert_eq!(listed.iter().map(|leaf| leaf.uri.to_string()).collect::<Vec<_>>(), uris);
            let mut by_partition: Vec<_> = primary
                .partitioning()
                .all()
                .flat_map(|partition| leaves(&primary, vec![partition]))
                .collect();
            by_partition.sort_by(|one, other| one.uri.cmp(&other.uri));
            assert_eq!(by_partition, listed);
            let copy = servers.database(if view == View::Full { "replica" } else { "staging" });
            assert_eq!(leaves(&copy, Vec::new()), listed, "a copy lists the same");
        }
    }
    servers.check_exact();
}
