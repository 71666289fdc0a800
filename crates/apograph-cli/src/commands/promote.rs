//! `apograph promote`.

use std::path::PathBuf;

use apograph_client::types::{PromoteRequest, PromotionAnswer};
use clap::Args;

use super::together;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Documents of a cut transaction that are shown.
const DOCUMENTS_SHOWN: usize = 5;

/// Make a replica the primary, when the primary is lost
#[derive(Debug, Args)]
#[command(after_help = "\
Ask with --plan first: it says what this copy has, what would be cut, which other copies have more, since when nothing
was heard of the source, and what stands against it; nothing is changed. Ask it at every replica, and promote the one
that has most.

A new epoch begins. The old primary learns of it when it comes back: it stops taking writes and becomes a replica by
itself, and what only it had stays in its folder. While the primary lives, `switchover` loses nothing; use that.

Where only replicas of some partitions are left, --plan --with says what they have together, which of them goes on, and
what that one takes in first (`apograph hold`).

Needs a token of the role admin, and is told to the server of the replica. Exit status 3 if something stands against it,
with --plan as well.

Examples:
  apograph promote --plan --server http://127.0.0.1:7701
  apograph promote --plan --server http://127.0.0.1:7703 --with http://127.0.0.1:7704
  apograph promote --server http://127.0.0.1:7701 --reason 'rack 4 lost power'")]
pub(crate) struct Promote {
    /// Only say what it would mean
    #[arg(long)]
    plan: bool,
    /// Also while the source answers, a later epoch is known (its writes are lost), or nobody knows this server
    #[arg(long, conflicts_with = "plan")]
    force: bool,
    /// Another server of the same database: which of them to make whole and promote, where each holds some partitions. May be
    /// given again
    #[arg(long, value_name = "URL", requires = "plan", conflicts_with = "reason")]
    with: Vec<String>,
    /// File with the token for the others, one for each or one for all; without it, the same as for the first
    #[arg(long, value_name = "FILE", requires = "with")]
    with_token_file: Vec<PathBuf>,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Promote {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        if !self.with.is_empty() {
            return together::succeed(global, &self.with, &self.with_token_file).await;
        }
        let request = PromoteRequest { plan: self.plan, force: self.force, reason: self.reason };
        let answer = global.client()?.promote(&global.database, &request).await?;
        Printer::new(global.output).value(&answer, in_words)?;
        if answer.blocks.is_empty() { Ok(()) } else { Err(Failure::Blocked) }
    }
}

fn in_words(answer: &PromotionAnswer) -> String {
    let begins = match answer.promoted {
        true => format!(
            "this server is the primary now: epoch {} began, in place of {}\n",
            answer.next_epoch, answer.primary.name
        ),
        false => format!(
            "a {} in epoch {}; as primary it would begin epoch {}, in place of {}\n",
            answer.role, answer.epoch, answer.next_epoch, answer.primary.name
        ),
    };
    let mut text = begins;
    text.push_str(&format!("  history    goes on after {} ({})\n", answer.base.to_rfc3339(), answer.base));
    if !answer.promoted {
        let heard = answer.last_contact.map(apograph_client::format::timestamp::rfc3339);
        let heard = heard.unwrap_or_else(|| "not heard since this server began".to_owned());
        text.push_str(&format!("  source     {heard}\n"));
        for of in &answer.partitions {
            text.push_str(&format!(
                "  partition {:>2}  {} entries complete, {} durable, {} acknowledged\n",
                of.partition.0, of.applied.sequence, of.durable.sequence, of.acknowledged.sequence
            ));
        }
        for other in &answer.others {
            let more = if other.has_more { "HAS MORE: promote that one" } else { "has no more" };
            text.push_str(&format!("  copy       {} {more} ({})\n", other.name, other.visible));
        }
    }
    let (verb, total) = (if answer.promoted { "was cut" } else { "would be cut" }, answer.cut_total);
    text.push_str(&format!("  {verb:<9}  {total} transactions that are not complete here\n"));
    for cut in &answer.cut {
        let documents: Vec<_> = cut.documents.iter().take(DOCUMENTS_SHOWN).map(ToString::to_string).collect();
        let more = cut.documents.len().saturating_sub(DOCUMENTS_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        text.push_str(&format!(
            "             {} by {}: {}{more}\n",
            cut.timestamp,
            cut.author,
            documents.join(" ")
        ));
    }
    for block in &answer.blocks {
        let forced = if block.may_be_forced { " (--force decides against it)" } else { "" };
        text.push_str(&format!("  BLOCKED    {}: {}{forced}\n", block.code, block.detail));
    }
    text
}
