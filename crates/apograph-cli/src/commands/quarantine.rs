//! `apograph quarantine`.

use std::fmt::Write as _;

use apograph_client::format::Uri;
use apograph_client::types::{DropHeld, SyncRemark, SyncReport};
use clap::Args;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Documents that a copy could not take, and why
#[derive(Debug, Args)]
#[command(after_help = "\
A document that cannot be taken, because the source's own bytes of it are damaged, say, does not stop a copy: it stays as
it was there, is listed here with the reason, and the copy does not claim to be equal. Every synchronization tries again;
`apograph repair` asks for one now.

--drop lets a document be: it stays listed, with your reason, and the copy stays unequal. Needs a token of the role admin.

Examples:
  apograph quarantine --server http://127.0.0.1:7701
  apograph quarantine --drop /news/1 --because 'lost on every server' --server http://127.0.0.1:7701")]
pub(crate) struct Quarantine {
    /// Let this document be
    #[arg(long, value_name = "URI", requires = "because")]
    drop: Option<Uri>,
    /// Why
    #[arg(long, value_name = "TEXT", requires = "drop")]
    because: Option<String>,
}

impl Quarantine {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.client()?;
        let report = match (self.drop, self.because) {
            (Some(uri), Some(reason)) => {
                let remark = SyncRemark { seen: false, drop: Some(DropHeld { uri, reason }) };
                client.remark(&global.database, &remark).await?
            }
            _ => client.sync_report(&global.database).await?,
        };
        Printer::new(global.output).value(&report, in_words)
    }
}

fn in_words(report: &SyncReport) -> String {
    if report.quarantine.is_empty() {
        return "nothing is held back".to_owned();
    }
    let mut text = String::new();
    for held in &report.quarantine {
        let _ = writeln!(text, "{}\n  {} (in the state of {})", held.uri, held.reason, held.at.to_rfc3339());
        if let Some(dropped) = &held.dropped {
            let _ = writeln!(text, "  let be: {dropped}");
        }
    }
    text.trim_end().to_owned()
}
