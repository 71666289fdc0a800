//! Purged bytes are taken out of a store beside the writer: nobody waits for that but who brings the same bytes again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use apograph::Database;
use apograph::error::ReadError;
use apograph::format::{PartitionId, SyncScope};
use apograph::read::Which;
use apograph::transaction::{Action, ContentBytes};
use support::synchronize::{Cost, begin, step};
use support::{Servers, operation, put, put_content, transaction, uri};

/// What a large store holds besides: 64 MiB, two seconds of an erasure that takes its time.
const FILLING: usize = 1_100;
const FILLING_BYTES: usize = 60 << 10;

fn commit(database: &Database, operations: Vec<apograph::Operation>) {
    database.commit(apograph::Transaction { operations, ..transaction([]) }).unwrap();
}

fn content(database: &Database, at: &str) -> Result<Vec<u8>, ReadError> {
    let document = database.document(&uri(at), Which::Working, None)?;
    let content = document.version.content.unwrap();
    let pieces = database.content(&uri(at), &content, 0..content.bytes)?;
    pieces.map(|piece| piece.map(|piece| piece.to_vec())).collect::<Result<Vec<_>, _>>().map(|of| of.concat())
}

/// Bytes that no compression makes less of, and no two alike.
fn filling(number: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..FILLING_BYTES).map(|_| next()).collect()
}

/// Files of the store's tables.
fn tables(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let inside = |path: PathBuf| if path.is_dir() { tables(&path) } else { BTreeSet::from([path]) };
    entries
        .flat_map(inside)
        .filter(|path| path.components().any(|part| part.as_os_str() == "store"))
        .collect()
}

fn pending(database: &Database) -> u64 {
    let status = database.status().unwrap();
    status.partitions.iter().map(|partition| partition.erasures_pending).sum()
}

#[test]
fn writers_do_not_wait_for_an_erasure_and_what_comes_again_stays() {
    let mut servers = Servers::start(1);
    let primary = servers.primary();
    for numbers in (0..FILLING).collect::<Vec<_>>().chunks(100) {
        let filled = |number: &usize| {
            put_content(&format!("/filling/{number}"), ContentBytes::Inline(filling(*number).into()))
        };
        commit(&primary, numbers.iter().map(filled).collect());
    }
    let canary = b"a text that is purged, and comes again".repeat(1_000);
    let text = || ContentBytes::Inline(canary.clone().into());
    let mut seen = 0;
    for round in 0..3 {
        let gone = format!("/gone/{round}");
        commit(&primary, vec![put_content(&gone, text())]);
        commit(&primary, vec![operation(&gone, Action::Purge)]);
        // The worker rests, and begins it: its files are written anew.
        let before = tables(&servers.path("primary"));
        while tables(&servers.path("primary")).is_subset(&before) && pending(&primary) == 1 {
            std::thread::yield_now();
        }
        assert!(content(&primary, &gone).is_err());
        // A commit that waited for the erasure would find it done.
        commit(&primary, vec![put(&format!("/beside/{round}"), "x")]);
        seen += usize::from(pending(&primary) == 1);
        // The same bytes: whether it waits for the erasure or not, they are there.
        let again = format!("/again/{round}");
        commit(&primary, vec![put_content(&again, text())]);
        assert_eq!(content(&primary, &again).unwrap(), canary, "{round}");
        servers.wait_for_erasures("primary");
        assert_eq!(content(&primary, &again).unwrap(), canary, "{round}");
        commit(&primary, vec![operation(&again, Action::Purge)]);
        servers.wait_for_erasures("primary");
    }
    assert!(seen > 0, "no erasure took its time");
    servers.check_absent("primary", &canary[..38]);
    commit(&primary, vec![put_content("/stays", text())]);
    drop(primary);
    servers.check_exact();
    servers.restart();
    servers.check_exact();
    assert_eq!(content(&servers.primary(), "/stays").unwrap(), canary);
}

/// It was counted as here because its bytes were still in a file; they went before the batch came that names it again.
#[test]
fn what_a_purge_took_and_is_still_in_a_file_is_brought_again() {
    let canary = b"a text that is purged, and comes again".repeat(1_000);
    for attempt in 0..8 {
        let mut servers = Servers::start(1);
        let (primary, copy) = (servers.primary(), servers.database("replica"));
        servers.commit([put_content("/gone", ContentBytes::Inline(canary.clone().into()))]);
        servers.check_exact();
        commit(&primary, vec![operation("/gone", Action::Purge)]);
        // With them comes something that has to be asked for, which takes a while.
        let again =
            |n: usize| put_content(&format!("/again/{n}"), ContentBytes::Inline(canary.clone().into()));
        let new = put_content("/new", ContentBytes::Inline(filling(attempt).into()));
        commit(&primary, (0..8).map(again).chain([new]).collect());
        servers.follow_partition("replica", PartitionId(0), 1);
        let (source, mut transfers) = begin(&primary, &copy, "out-of-window", SyncScope::default());
        let mut cost = Cost::default();
        while transfers[0].is_planning() && step(&source, &mut transfers, &mut cost) {}
        let was_still_there = pending(&copy) == 1;
        servers.wait_for_erasures("replica");
        while step(&source, &mut transfers, &mut cost) {}
        drop((transfers, source));
        copy.finish_sync(0).unwrap();
        for n in 0..8 {
            assert_eq!(content(&copy, &format!("/again/{n}")).unwrap(), canary, "{attempt}: {n}");
        }
        if was_still_there {
            return;
        }
    }
    panic!("it was erased before it was looked at, each time");
}
