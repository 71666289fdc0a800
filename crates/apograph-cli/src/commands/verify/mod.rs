//! `apograph verify`: the digests of two servers at one timestamp, and what differs if they differ.

mod differences;
mod meet;

use std::path::PathBuf;
use std::time::Duration;

use apograph_client::format::{Digest, Timestamp, View};
use clap::Args;
use serde::Serialize;

use crate::arguments::Global;
use crate::connection;
use crate::failure::Failure;
use crate::printer::Printer;
use differences::Difference;

/// Prove that two servers are equal, or list what differs
#[derive(Debug, Args)]
#[command(after_help = "\
Compares the digests of every partition at one commit timestamp: a digest covers each document with its whole
history. The view compared is published when one of the two holds nothing else. Neither server is written to.

Both may go on working: it compares at the newest timestamp of the two and gives the other one a while to reach it;
after that at the newest one that both have, and says so. When they differ, it compares their exports line by line.
Exit status: 0 equal, 1 not equal.

Examples:
  apograph verify --against http://127.0.0.1:7701 --against-token-file replica/tokens/reader.token
  apograph verify --against http://127.0.0.1:7702 --view published --output json")]
pub(crate) struct Verify {
    /// The other server
    #[arg(long, value_name = "URL")]
    against: String,
    /// File with the token for it; without it, the same as for the first
    #[arg(long, env = "APOGRAPH_AGAINST_TOKEN_FILE", value_name = "FILE")]
    against_token_file: Option<PathBuf>,
    /// Name of the database there, if it is another
    #[arg(long, value_name = "NAME")]
    against_database: Option<String>,
    /// full or published; without it, the most that both hold
    #[arg(long)]
    view: Option<View>,
    /// How long the one behind may take to reach the other; a server waits ten seconds at most
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait: u64,
    /// List at most this many differing documents
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

/// One of the two.
pub(super) struct Side {
    client: apograph_client::Client,
    database: String,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    equal: bool,
    view: View,
    /// The timestamp that both were compared at.
    at: Timestamp,
    /// One of the two shows something newer than that.
    behind: bool,
    documents: u64,
    digest: Digest,
    against_digest: Digest,
    /// Numbers of the partitions whose digests differ.
    partitions: Vec<usize>,
    differences: Vec<Difference>,
    /// There are more than listed.
    more: bool,
}

impl Verify {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let file = self.against_token_file.as_deref().or(global.token_file.as_deref());
        let one = Side { client: global.client()?, database: global.database.clone() };
        let other = Side {
            client: connection::client(&self.against, file)?,
            database: self.against_database.clone().unwrap_or_else(|| global.database.clone()),
        };
        let pair = meet::meet(&one, &other, self.view, Duration::from_secs(self.wait)).await?;
        let partitions = pair.differing();
        let mut verdict = Verdict {
            equal: partitions.is_empty() && pair.one.digest == pair.other.digest,
            view: pair.one.view,
            at: pair.one.at,
            behind: pair.behind,
            documents: pair.one.documents,
            digest: pair.one.digest,
            against_digest: pair.other.digest,
            partitions,
            differences: Vec::new(),
            more: false,
        };
        if !verdict.equal {
            let found =
                differences::between(global, &one, &other, verdict.view, verdict.at, self.limit).await?;
            (verdict.differences, verdict.more) = found;
        }
        Printer::new(global.output).value(&verdict, in_words)?;
        if verdict.equal { Ok(()) } else { Err(Failure::NotEqual) }
    }
}

fn in_words(verdict: &Verdict) -> String {
    let late = if verdict.behind { ", one of them being behind the other" } else { "" };
    let at = format!("{} ({}){late}", verdict.at.to_rfc3339(), verdict.at);
    if verdict.equal {
        return format!(
            "equal: {} documents, {} view, at {at}\ndigest {}",
            verdict.documents, verdict.view, verdict.digest
        );
    }
    let mut text = format!(
        "NOT EQUAL: {} view, at {at}, partitions {:?}\n  here   {}\n  there  {}\n",
        verdict.view, verdict.partitions, verdict.digest, verdict.against_digest
    );
    for difference in &verdict.differences {
        text.push_str(&format!("  {:<11} {}\n", difference.what.in_words(), difference.uri));
    }
    if verdict.more {
        text.push_str("  and more; see --limit\n");
    }
    if verdict.differences.is_empty() {
        text.push_str("  the exports are equal: the difference is in a head or in the digests themselves\n");
    }
    text
}
