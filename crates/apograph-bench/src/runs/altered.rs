//! Something of a copy's store is altered behind its back, while it is stopped: through the store's own engine, so that
//! every checksum of its files is right, and only what is stored is not.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apograph_client::client::Match;
use apograph_client::format::{Hash, Head, State, Uri};
use apograph_client::types::{DocumentRequest, ReadQuery};
use apograph_store::engine::{Batch, Engine, Lsm, LsmOptions, Space};

use super::Stage;
use super::transfer::Copy;
use crate::figures::Report;
use crate::process::{Server, block_on};

/// How long a copy may take to notice and to repair.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs it.
pub(super) fn run(stage: &mut Stage) -> Report {
    let mut report = Report::new("altered", stage.scale.documents);
    let Some((copy, full)) = stage.full_copy(&mut report) else { return report };
    let uri = text_of(stage, 0);
    content(stage, &copy, &uri, &mut report);
    let uri = text_of(stage, stage.scale.documents / 2);
    head(stage, &copy, &uri, &mut report);
    stage.full = Some((copy, full));
    report
}

/// The first document from this number on that is published and small.
fn text_of(stage: &Stage, first: u64) -> Uri {
    let client = stage.primary.client("reader");
    let found = (first..stage.scale.documents).find_map(|number| {
        let uri = Uri::parse(&stage.documents.uri(number)).unwrap();
        let view = block_on(client.document("main", &uri, &ReadQuery::default())).ok()?;
        (view.state == State::Published && view.body.is_some_and(|body| body.len() < 10_000)).then_some(uri)
    });
    found.unwrap()
}

/// One byte of a text.
fn content(stage: &Stage, copy: &Copy, uri: &Uri, report: &mut Report) {
    let of_primary = text(&stage.primary, uri).unwrap();
    let hash = Hash::of(of_primary.as_bytes());
    copy.server.stop();
    alter(&copy.server, &[b"b", &hash.0[..]].concat(), Space::Bodies, |bytes| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x01;
        bytes
    });
    restart(stage, copy, report, "content");
    let served = text(&copy.server, uri);
    let is_wrong = served.as_ref().is_ok_and(|text| *text != of_primary);
    report.check("content: what was altered is never served", !is_wrong, "");
    let repaired = eventually(|| text(&copy.server, uri).is_ok_and(|text| text == of_primary));
    let found = if repaired { String::new() } else { format!("{:?}", text(&copy.server, uri).err()) };
    report.check("content: a read finds it repaired", repaired, found);
    check_end(stage, copy, report, "content");
}

/// The state of a document.
fn head(stage: &Stage, copy: &Copy, uri: &Uri, report: &mut Report) {
    copy.server.stop();
    alter(&copy.server, &[b"d", uri.as_str().as_bytes()].concat(), Space::Documents, |bytes| {
        let head = Head::decode(bytes).unwrap();
        Head { state: State::Trashed, live: None, ..head }.encode()
    });
    restart(stage, copy, report, "head");
    // A checkpoint comes behind the next change, if not before.
    let touched = Uri::parse("/altered/touched").unwrap();
    let document = DocumentRequest { body: Some(uri.to_string()), ..DocumentRequest::default() };
    block_on(stage.primary.client("editor").put_document("main", &touched, &document, Match::Any)).unwrap();
    let is_there = || text(&copy.server, uri).is_ok();
    report.check("head: the document is there again", eventually(is_there), "");
    check_end(stage, copy, report, "head");
}

fn restart(stage: &Stage, copy: &Copy, report: &mut Report, what: &str) {
    copy.server.start();
    copy.server.wait();
    report.outcome(format!("{what}: the copy follows again"), copy.until_it_follows(stage));
}

/// Reported, equal by `verify`, and equal by what both export.
fn check_end(stage: &Stage, copy: &Copy, report: &mut Report, what: &str) {
    let alarms = || {
        let status = copy.server.status();
        status
            .and_then(|status| status.database("main").map(|database| database.alarms.clone()))
            .unwrap_or_default()
    };
    let is_reported = eventually(|| !alarms().is_empty());
    report.check(format!("{what}: the copy reports it"), is_reported, alarms().join("; "));
    report.outcome(format!("{what}: the copy is equal"), copy.verify(stage));
    if stage.scale.documents <= 100_000 {
        let export = |server: &Server| {
            server.command("reader", &["export", "--view", "full"]).output().unwrap().stdout
        };
        let is_equal = export(&stage.primary) == export(&copy.server);
        report.check(format!("{what}: the copy exports the same bytes"), is_equal, "");
    }
}

fn text(server: &Server, uri: &Uri) -> Result<String, String> {
    let view = block_on(server.client("reader").document("main", uri, &ReadQuery::default()));
    view.map(|view| view.body.unwrap_or_default()).map_err(|error| error.to_string())
}

/// Gives a key of the store another value, in whichever partition it is.
fn alter(server: &Server, key: &[u8], space: Space, change: impl Fn(&[u8]) -> Vec<u8>) {
    let mut altered = 0;
    for store in stores(&server.folder) {
        let engine = Lsm::open(store, &LsmOptions::default()).unwrap();
        let Some(value) = engine.get(space, key, u64::MAX >> 1).unwrap() else { continue };
        let mut batch = Batch::new();
        match space {
            Space::Bodies => batch.put_body(key.to_vec(), change(&value)),
            Space::Documents => batch.put(key.to_vec(), change(&value)),
        }
        // The smallest version that is not taken for a replay.
        engine.write(&batch, engine.persisted().unwrap() + 1).unwrap();
        engine.flush().unwrap();
        altered += 1;
    }
    assert!(altered > 0, "nothing to alter");
}

fn stores(folder: &Path) -> Vec<PathBuf> {
    let partitions = std::fs::read_dir(folder.join("databases/main/partitions")).unwrap();
    let mut stores: Vec<_> = partitions.map(|entry| entry.unwrap().path().join("store/engine")).collect();
    stores.sort();
    stores
}

fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    false
}
