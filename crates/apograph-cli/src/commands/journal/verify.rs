//! `apograph journal verify`.

use std::path::Path;

use apograph::journal::{Report, VerifyError};
use serde_json::json;

use super::folders::journals;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::progress;

/// Checks every byte of every journal; damage makes the exit status.
pub(super) fn run(global: &Global, dir: &Path) -> Result<(), Failure> {
    let printer = Printer::new(global.output);
    let mut damaged = 0_u64;
    for journal in journals(dir)? {
        let bar = progress::bytes(global.output, "checking", Some(0));
        let mut monitor = |progress: apograph::journal::Progress| {
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes);
        };
        let report = apograph::journal::verify(&journal, &mut monitor)?;
        bar.finish_and_clear();
        damaged += report.damage.len() as u64 + report.damage_unlisted;
        let value = json!({
            "journal": journal, "sound": report.is_sound(), "segments": report.segments,
            "entries": report.entries, "bytes": report.bytes, "payloads": report.payloads,
            "erased": report.erased, "erasing": report.erasing, "start": report.start, "end": report.end,
            "acknowledged": report.acknowledged,
            "torn_tail_bytes": report.torn_tail.as_ref().map(|torn| torn.bytes),
            "damage": report.damage.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "damage_unlisted": report.damage_unlisted,
        });
        printer.value(&value, |_| in_words(&journal, &report))?;
    }
    match damaged {
        0 => Ok(()),
        _ => Err(Failure::Damaged { what: format!("{damaged} damaged places were found") }),
    }
}

fn in_words(journal: &Path, report: &Report) -> String {
    let verdict = if report.is_sound() { "sound" } else { "DAMAGED" };
    let mut text = format!(
        "{}: {verdict}\n  {} segments, {} entries, {} payloads ({} erased), {} bytes\n",
        journal.display(),
        report.segments,
        report.entries,
        report.payloads,
        report.erased,
        report.bytes
    );
    if let Some(identity) = &report.identity {
        let (partition, count) = (identity.partition.0, identity.partitioning.count());
        text.push_str(&format!(
            "  database {}, {} view, partition {partition} of {count}\n",
            identity.database, identity.view
        ));
    }
    for (name, position) in
        [("start", report.start), ("end", report.end), ("acknowledged", report.acknowledged)]
    {
        if let Some(position) = position {
            text.push_str(&format!("  {name:<12} {position}\n"));
        }
    }
    if let Some(torn) = &report.torn_tail {
        text.push_str(&format!(
            "  torn tail: {} bytes at {} of {}, which the next start cuts; nobody was told that they are there\n",
            torn.bytes,
            torn.offset,
            torn.file.display()
        ));
    }
    for damage in &report.damage {
        text.push_str(&format!("  {damage}\n"));
    }
    if report.damage_unlisted > 0 {
        text.push_str(&format!("  and {} more\n", report.damage_unlisted));
    }
    text
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Failure {
        Failure::local("the journal cannot be verified", error)
    }
}
