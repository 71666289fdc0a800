//! Something of a copy's store is altered behind its back, while it is stopped: through the store's own engine, so that
//! every checksum of its files is right, and only what is stored is not.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use apograph_client::client::Match;
use apograph_client::format::{Hash, Head, State, Uri};
use apograph_client::types::{DocumentRequest, DocumentView, ReadQuery};
use apograph_store::engine::{Batch, Engine, Lsm, LsmOptions, Space};

use super::Stage;
use super::transfer::Copy;
use crate::figures::Report;
use crate::process::{Server, block_on};

/// How long a copy may take to notice and to repair.
const PATIENCE: Duration = Duration::from_secs(60);
/// Exports of more documents would be compared for too long.
const EXPORTED_MAX: u64 = 100_000;

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
    let found = (first..stage.scale.documents).find_map(|number| {
        let uri = Uri::parse(&stage.documents.uri(number)).unwrap();
        let view = view(&stage.primary, &uri).ok()?;
        let is_small = view.body.is_some_and(|body| body.len() < 10_000);
        (view.state == State::Published && is_small).then_some(uri)
    });
    found.unwrap()
}

/// One byte of a text.
fn content(stage: &Stage, copy: &Copy, uri: &Uri, report: &mut Report) {
    let of_primary = view(&stage.primary, uri).unwrap().body.unwrap();
    let hash = Hash::of(of_primary.as_bytes());
    copy.server.stop();
    alter(&copy.server, &[b"b", &hash.0[..]].concat(), Space::Bodies, |bytes| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x01;
        bytes
    });
    restart(stage, copy, report, "content");
    let (served, found) = match view(&copy.server, uri) {
        Ok(view) => {
            (view.body.as_ref() != Some(&of_primary), "it was answered as if nothing were wrong".to_owned())
        }
        Err(reason) => (false, reason),
    };
    report.check("content: what was altered is not served", !served, found);
    check_end(stage, copy, uri, report, "content");
}

/// The state of a document.
fn head(stage: &Stage, copy: &Copy, uri: &Uri, report: &mut Report) {
    copy.server.stop();
    alter(&copy.server, &[b"d", uri.as_str().as_bytes()].concat(), Space::Documents, |bytes| {
        let head = Head::decode(bytes).unwrap();
        Head { state: State::Withdrawn, live: None, ..head }.encode()
    });
    restart(stage, copy, report, "head");
    // What was altered lies behind what is shown; the next change shows it, and brings a checkpoint.
    let touched = Uri::parse("/altered/touched").unwrap();
    let document = DocumentRequest { body: Some(uri.to_string()), ..DocumentRequest::default() };
    block_on(stage.primary.client("editor").put_document("main", &touched, &document, Match::Any)).unwrap();
    report.outcome("head: the copy takes a change", copy.until_it_follows(stage));
    check_end(stage, copy, uri, report, "head");
}

fn restart(stage: &Stage, copy: &Copy, report: &mut Report, what: &str) {
    copy.server.start();
    copy.server.wait();
    report.outcome(format!("{what}: the copy follows again"), copy.until_it_follows(stage));
}

/// The document is as it was, somebody was told, and the copy is equal by `verify` and by what both export.
fn check_end(stage: &Stage, copy: &Copy, uri: &Uri, report: &mut Report, what: &str) {
    let shown = |server: &Server| view(server, uri).map(|view| (view.state, view.live, view.body));
    let (wanted, started) = (shown(&stage.primary), Instant::now());
    let is_repaired = eventually(|| shown(&copy.server) == wanted);
    let found = match shown(&copy.server) {
        _ if is_repaired => format!("after {:.1} s", started.elapsed().as_secs_f64()),
        Ok((state, ..)) => format!("it is {state}"),
        Err(reason) => reason,
    };
    report.check(format!("{what}: the document is repaired"), is_repaired, found);
    let told = copy.server.whole_log();
    let told: Vec<&str> = told.lines().filter(|line| line.contains(uri.as_str())).collect();
    report.check(
        format!("{what}: the log names the document"),
        !told.is_empty(),
        told.last().copied().unwrap_or_default(),
    );
    report.outcome(format!("{what}: the copy is equal"), copy.verify(stage));
    if stage.scale.documents <= EXPORTED_MAX {
        let export = |server: &Server| {
            server.command("reader", &["export", "--view", "full"]).output().unwrap().stdout
        };
        let is_equal = export(&stage.primary) == export(&copy.server);
        report.check(format!("{what}: the copy exports the same bytes"), is_equal, "");
    }
}

fn view(server: &Server, uri: &Uri) -> Result<DocumentView, String> {
    block_on(server.client("reader").document("main", uri, &ReadQuery::default()))
        .map_err(|error| error.to_string())
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
