//! `apograph backup verify`.

use apograph::backup::{Phase, Report, verify};
use clap::Args;
use serde_json::json;

use super::Place;
use crate::arguments::Global;
use crate::commands::links;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::progress;

/// Prove a backup without restoring it; nothing is written into it
#[derive(Debug, Args)]
#[command(after_help = "\
Reads every file and compares it with the manifest, and then what the files say: the chain, the signatures' places and
every payload of the journals, and the digests of the stores, counted anew from every document. A temporary folder gets
links to the files meanwhile. Works without a server. The exit status is 7 if anything is wrong.

Example:
  apograph backup verify primary/backups/2026-11-22")]
pub(super) struct Verify {
    #[command(flatten)]
    place: Place,
}

impl Verify {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let bar = progress::bytes(global.output, "reading", Some(0));
        let report = verify(&self.place.dir, &mut |progress| {
            bar.set_message(progress.phase.as_str());
            if progress.phase != Phase::Store {
                bar.set_length(progress.bytes_total);
                bar.set_position(progress.bytes);
            }
            true
        });
        bar.finish_and_clear();
        let report = report?;
        let value = json!({ "dir": self.place.dir, "sound": report.is_sound(), "report": report });
        Printer::new(global.output).value(&value, |_| in_words(&report))?;
        match report.findings.len() as u64 + report.findings_unlisted {
            0 => Ok(()),
            found => Err(Failure::Damaged { what: format!("the backup is not sound: {found} findings") }),
        }
    }
}

fn in_words(report: &Report) -> String {
    let manifest = &report.manifest;
    let verdict = if report.is_sound() { "sound" } else { "DAMAGED" };
    let mut text = format!(
        "{verdict}: database {} ({}), the {} view at {} (timestamp {}, epoch {})\n",
        manifest.name, manifest.database, manifest.view, manifest.time, manifest.at, manifest.epoch
    );
    text.push_str(&format!(
        "  {} files, {}; {} entries and {} payloads checked\n",
        report.files,
        links::bytes(report.bytes),
        report.entries,
        report.payloads
    ));
    for digest in &manifest.digests {
        text.push_str(&format!(
            "  {:<9} {} documents, digest {}\n",
            digest.view.to_string(),
            digest.documents,
            digest.digest
        ));
    }
    for partition in &manifest.partitions {
        text.push_str(&format!(
            "  partition {:<3} {}\n",
            partition.partition.to_string(),
            partition.position
        ));
    }
    let server = &manifest.server;
    text.push_str(&format!("  signed by {}, key {}\n", server.name, server.key));
    text.push_str(&format!("  hash of its manifest {}\n", report.hash));
    if !manifest.whole {
        text.push_str("  it is of a copy that leaves something out: no primary can be made of it\n");
    }
    for finding in &report.findings {
        text.push_str(&format!("  {}: {}\n", finding.path, finding.reason));
    }
    if report.findings_unlisted > 0 {
        text.push_str(&format!("  and {} more\n", report.findings_unlisted));
    }
    text.trim_end().to_owned()
}
