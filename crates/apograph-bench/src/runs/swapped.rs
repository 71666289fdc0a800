//! The databases of a replica's data folder are replaced: by an old copy of themselves, by those of a replica of
//! another database, by the primary's own. Its settings and its key stay.

use std::fs;
use std::path::PathBuf;

use super::stage::{Scale, copy_folder};
use super::{Copy, Stage};
use crate::figures::Report;
use crate::load::send;
use crate::process::Server;

/// Documents of the other database.
const OTHERS: u64 = 300;

/// Runs it.
pub(super) fn run(stage: &mut Stage) -> Report {
    let mut report = Report::new("swapped", stage.scale.documents);
    let Some((copy, full)) = stage.full_copy(&mut report) else { return report };
    by_its_own_past(stage, &copy, &mut report);
    by_another_database(stage, &copy, &mut report);
    by_the_primary(stage, &copy, &mut report);
    stage.full = Some((copy, full));
    report
}

/// An old copy of itself, whose place in the journal is gone.
fn by_its_own_past(stage: &Stage, copy: &Copy, report: &mut Report) {
    copy.server.stop();
    let past = stage.root.join("past");
    let _ = fs::remove_dir_all(&past);
    copy_folder(&copy.server.folder.join("databases"), &past);
    copy.server.start();
    change(stage);
    report.outcome("past: the copy follows meanwhile", copy.until_it_follows(stage));
    copy.server.stop();
    let at = stage.primary.status().as_ref().map(super::stage::journal_ends).unwrap_or_default();
    change(stage);
    stage.prune_tightly(&at);
    replace(&copy.server, &past);
    copy.server.start();
    copy.server.wait();
    report.outcome("past: the copy follows in the end", copy.until_it_follows(stage));
    report.outcome("past: the copy is equal", copy.verify(stage));
    let _ = fs::remove_dir_all(&past);
}

/// A replica's databases of another database.
fn by_another_database(stage: &Stage, copy: &Copy, report: &mut Report) {
    copy.server.stop();
    let root = stage.root.join("other");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).unwrap();
    let scale = Scale { documents: OTHERS, ..stage.scale.clone() };
    let other = Stage::set_up(&root, scale);
    let others = Copy::new(&other, "replica");
    let followed = others.transfer(&other).map(|_| ());
    report.outcome("other: a replica of another database", followed);
    others.server.stop();
    let own = stage.root.join("own");
    let _ = fs::remove_dir_all(&own);
    fs::rename(copy.server.folder.join("databases"), &own).unwrap();
    copy_folder(&others.server.folder.join("databases"), &copy.server.folder.join("databases"));
    refused(copy, stage, report, "other", "other-database");
    // Nothing of it was overwritten: at its own place it follows its own primary.
    replace(&others.server, &copy.server.folder.join("databases"));
    others.server.start();
    report.outcome(
        "other: it still is what it was",
        others.until_it_follows(&other).and_then(|()| others.verify(&other)),
    );
    others.server.stop();
    replace(&copy.server, &own);
    copy.server.start();
    copy.server.wait();
    report.outcome(
        "other: the copy with its own again",
        copy.until_it_follows(stage).and_then(|()| copy.verify(stage)),
    );
    other.primary.stop();
    let _ = (fs::remove_dir_all(&root), fs::remove_dir_all(&own));
}

/// The primary's own databases.
fn by_the_primary(stage: &Stage, copy: &Copy, report: &mut Report) {
    copy.server.stop();
    stage.primary.stop();
    let own = stage.root.join("own");
    let _ = fs::remove_dir_all(&own);
    fs::rename(copy.server.folder.join("databases"), &own).unwrap();
    copy_folder(&stage.primary.folder.join("databases"), &copy.server.folder.join("databases"));
    stage.primary.start();
    stage.primary.wait();
    change(stage);
    copy.server.start();
    // Equal, or refused with a reason: both are right, two primaries are not.
    match copy.until_it_follows(stage) {
        Ok(()) => report.outcome("primary's: the copy is equal", copy.verify(stage)),
        Err(_) => {
            let reason = reason(copy);
            report.check(
                "primary's: it is refused with a reason",
                reason.is_some(),
                reason.unwrap_or_default(),
            );
        }
    }
    let put = copy.server.command("admin", &["put", "/swapped/by-the-copy"]).output().unwrap();
    report.check("primary's: the copy takes no writes", !put.status.success(), "");
    copy.server.kill();
    replace(&copy.server, &own);
    copy.server.start();
    copy.server.wait();
    report.outcome(
        "primary's: the copy with its own again",
        copy.until_it_follows(stage).and_then(|()| copy.verify(stage)),
    );
    let _ = fs::remove_dir_all(&own);
}

/// The copy stops its link, or itself, and says why.
fn refused(copy: &Copy, stage: &Stage, report: &mut Report, what: &str, code: &str) {
    copy.server.start();
    let outcome = copy.until_it_follows(stage);
    let reason = reason(copy).unwrap_or_default();
    report.check(format!("{what}: it is refused: {code}"), outcome.is_err() && reason.contains(code), reason);
    copy.server.kill();
}

/// Why it does not follow: its link says so, or the last line that the process wrote before it ended.
fn reason(copy: &Copy) -> Option<String> {
    let told = copy.told();
    if !told.is_empty() {
        return Some(told);
    }
    copy.server.has_ended().then(|| copy.server.log().lines().last().unwrap_or_default().trim().to_owned())
}

fn change(stage: &Stage) {
    let changes = stage.documents.changes(stage.next_series(), stage.scale.documents.min(100));
    let count = stage.scale.documents.min(100);
    let transactions = (0..count).map(|number| changes.transaction(number));
    send(&stage.primary.client("admin"), "main", transactions, |_| ()).unwrap();
}

/// Puts databases in the place of a stopped server's.
fn replace(server: &Server, databases: &PathBuf) {
    let place = server.folder.join("databases");
    let _ = fs::remove_dir_all(&place);
    fs::rename(databases, place).unwrap();
}
