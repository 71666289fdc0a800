//! `apograph repair`.

use std::fmt::Write as _;

use apograph_client::types::{SyncRemark, SyncReport, SyncRequest};
use clap::Args;

use super::{links, sync};
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::progress;

/// Put right what differs between a copy and its source, and list it
#[derive(Debug, Args)]
#[command(after_help = "\
Compares the copy with its source by their hash trees, brings just the documents that differ, and lists what was wrong
with them. A copy that finds a difference at a checkpoint, or damage in a read, does this by itself and raises an alarm;
the list stays until somebody has seen it: --seen says so.

--full also reads every document of the copy with all its bytes, and so finds what no digest shows yet.

Needs a token of the role admin, and is told to the server of the copy.

Examples:
  apograph repair --server http://127.0.0.1:7701
  apograph repair --full --server http://127.0.0.1:7701
  apograph repair --seen --server http://127.0.0.1:7701")]
pub(crate) struct Repair {
    /// Believe nothing that the copy has: read all of it
    #[arg(long)]
    full: bool,
    /// Repair nothing; what was repaired last was seen, and is no alarm any more
    #[arg(long, conflicts_with = "full")]
    seen: bool,
}

impl Repair {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let (client, printer) = (global.client()?, Printer::new(global.output));
        if self.seen {
            let remark = SyncRemark { seen: true, drop: None };
            let report = client.remark(&global.database, &remark).await?;
            return printer.value(&report, in_words);
        }
        let request = SyncRequest { full: self.full, ..SyncRequest::default() };
        let link = client.synchronize(&global.database, &request).await?;
        let bar = progress::transfer(global.output);
        let followed = sync::followed(&client, &global.database, link, &bar).await;
        bar.finish_and_clear();
        followed?;
        let report = client.sync_report(&global.database).await?;
        printer.value(&report, in_words)
    }
}

/// How it ended, and what is held back.
pub(crate) fn in_words(report: &SyncReport) -> String {
    let mut text = String::new();
    let Some(last) = &report.last else {
        return "this copy never synchronized".to_owned();
    };
    let equal = if last.equal { "equal to its source" } else { "NOT equal to its source" };
    let _ = writeln!(
        text,
        "{equal} at {}; {} documents came, {}, because: {}",
        last.at.to_rfc3339(),
        last.documents,
        links::bytes(last.bytes),
        last.reason
    );
    let mut count = |number: u64, what: &str| {
        if number > 0 {
            let _ = writeln!(text, "  {number} {what}");
        }
    };
    count(last.left_out, "documents were left out by --since");
    count(last.cut_documents, "documents lack bodies of old versions, because of --max-versions");
    count(last.quarantined, "documents are held back; see `apograph quarantine`");
    count(last.repaired_total, "documents differed:");
    for repaired in &last.repaired {
        let _ = writeln!(text, "    {}: {}", repaired.uri, repaired.what);
    }
    let listed = last.repaired.len() as u64;
    if listed < last.repaired_total {
        let _ = writeln!(text, "    and {} more", last.repaired_total - listed);
    }
    text.trim_end().to_owned()
}
