//! `apograph status`.

use std::path::PathBuf;

use apograph_client::format::Timestamp;
use apograph_client::types::{DatabaseStatus, LagReaction, Status as ServerStatus};
use clap::Args;

use super::{lag_limit, links, together};
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Show where a server stands with its databases, and how every link of it stands
#[derive(Debug, Args)]
#[command(after_help = "\
Of a lag, what is not known is not shown: entries and bytes that the copy has not applied, the age of the oldest of
them, how long ago the other end was heard of, and how long ago the copy proved that it is equal. `window` says how long
the copy may be away until it has to synchronize, and what catching up would then cost.

With --with it shows a set of servers instead: their common timestamp, which is the largest one that is complete in
every partition by the best of them, and the partitions that none of them holds.

Examples:
  apograph status
  apograph status --server http://127.0.0.1:7701 --output json | jq '.links[].lag'
  apograph status --server http://127.0.0.1:7703 --with http://127.0.0.1:7704")]
pub(crate) struct Status {
    /// Show every partition
    #[arg(long, short)]
    partitions: bool,
    /// Another server of the same database: what they have together, up to which timestamp. May be given again
    #[arg(long, value_name = "URL")]
    with: Vec<String>,
    /// File with the token for the others, one for each or one for all; without it, the same as for the first
    #[arg(long, value_name = "FILE", requires = "with")]
    with_token_file: Vec<PathBuf>,
}

impl Status {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        if !self.with.is_empty() {
            return together::show(global, &self.with, &self.with_token_file).await;
        }
        let status = global.client()?.status().await?;
        Printer::new(global.output).value(&status, |status| in_words(status, self.partitions))
    }
}

fn in_words(status: &ServerStatus, partitions: bool) -> String {
    let url = status.server.url.as_deref().unwrap_or("no public URL");
    let mut text = format!(
        "{}  {url}\n  apograph {}, running since {}\n  key {}\n",
        status.server.name, status.software, status.started, status.server.key
    );
    for database in &status.databases {
        text.push('\n');
        text.push_str(&database_in_words(database, partitions));
    }
    if status.databases.is_empty() {
        text.push_str("\nno database is open: a copy waits for its first contact with its source\n");
    }
    for link in &status.links {
        text.push('\n');
        text.push_str(&links::at(link, status.now));
    }
    text
}

/// `3 partitions`, or `partitions 0, 2 of 3`.
fn partitions_in_words(database: &DatabaseStatus) -> String {
    let held = database.partitions.len();
    if database.elsewhere().is_empty() {
        return format!("{held} partition{}", if held == 1 { "" } else { "s" });
    }
    let names: Vec<String> = database.partitions.iter().map(|of| of.partition.to_string()).collect();
    let plural = if held == 1 { "" } else { "s" };
    format!("partition{plural} {} of {}", names.join(", "), database.partitioning.unwrap_or_default())
}

fn database_in_words(database: &DatabaseStatus, partitions: bool) -> String {
    let mut text = format!(
        "database {}  {} ({} view), epoch {}, {}\n",
        database.name,
        database.role,
        database.view,
        database.epoch,
        partitions_in_words(database),
    );
    let visible = match database.visible {
        Timestamp::ZERO => "nothing yet".to_owned(),
        visible => format!("{} ({visible})", visible.to_rfc3339()),
    };
    text.push_str(&format!("  visible    {visible}\n"));
    for view in &database.digests {
        text.push_str(&format!(
            "  {:<9}  {} documents, digest {}\n",
            view.view.to_string(),
            view.documents,
            view.digest
        ));
    }
    if let Some(url) = &database.primary_url {
        text.push_str(&format!("  primary    {url}\n"));
    }
    for partition in database.partitions.iter().filter(|_| partitions) {
        text.push_str(&format!(
            "  partition {:>2}  journal end {}, {} segments, {} bytes\n                applied {}\n",
            partition.partition.0,
            partition.journal_end,
            partition.segments,
            partition.journal_bytes_kept,
            partition.applied,
        ));
    }
    if let Some(gate) = &database.gate {
        let what = match gate.action {
            LagReaction::Stall => format!("WAIT, {} now, ", gate.waiting),
            LagReaction::Reject | LagReaction::Warn => "ARE REFUSED ".to_owned(),
        };
        text.push_str(&format!("  writes     {what}for the copy {}: {}\n", gate.link, gate.reason));
    }
    for limit in &database.lag_limits {
        let text_of = lag_limit::in_words(limit).replace("\n  ", "; ");
        text.push_str(&format!("  limit      {text_of}\n"));
    }
    if let Some(rollback) = &database.rollback {
        let to = rollback.to.to_rfc3339();
        text.push_str(&match (&rollback.running, rollback.done) {
            (Some(so_far), _) => {
                format!("  ROLLBACK   to {to}: {} documents so far; writes wait\n", so_far.documents)
            }
            (None, true) => format!(
                "  rollback   to {to}, at {}; undo: apograph rollback --to {}\n",
                rollback.at.to_rfc3339(),
                rollback.from
            ),
            (None, false) => format!("  ROLLBACK   to {to}, begun and not finished\n"),
        });
    }
    if let Some(reason) = &database.stopped {
        text.push_str(&format!("  STOPPED    {reason}\n"));
    }
    for alarm in &database.alarms {
        text.push_str(&format!("  ALARM      {alarm}\n"));
    }
    text
}
