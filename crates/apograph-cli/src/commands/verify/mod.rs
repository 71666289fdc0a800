//! `apograph verify`: two servers at one timestamp, and what differs if they differ.
//!
//! Digests say whether there is a difference; leaves say in which documents; exports of those say in what.

mod candidates;
mod details;
mod difference;
mod meet;

use std::path::PathBuf;
use std::time::Duration;

use apograph_client::client::{Part, Scope};
use apograph_client::format::{Digest, Timestamp, Uri, View};
use clap::Args;
use serde::Serialize;

use crate::arguments::Global;
use crate::connection;
use crate::failure::Failure;
use crate::printer::Printer;
use candidates::Found;
use difference::{Difference, What};

/// Prove that two servers are equal, or list what differs
#[derive(Debug, Args)]
#[command(after_help = "\
Compares the digests of every partition at one commit timestamp: a digest covers each document with its whole
history. The view compared is published when one of the two holds nothing else. Neither server is written to.

Both may go on working: it compares at the newest timestamp of the two and gives the other one a while to reach it;
after that at the newest one that both have, and says so. When they differ, it finds the documents by their leaves
and compares those, line by line: heads, versions, contents.

A server may hold some of the partitions only: then those are compared that both hold, and it says which.

A digest covers the names of all bytes and is kept up to date, not computed anew from the disk. With --thorough,
and always with --document, both servers read every byte, and what cannot be read is listed.
Exit status: 0 equal, 1 not equal.

Examples:
  apograph verify --against http://127.0.0.1:7701 --against-token-file replica/tokens/reader.token
  apograph verify --against http://127.0.0.1:7701 --prefix /news/ --thorough
  apograph verify --against http://127.0.0.1:7701 --document /news/opening
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
    /// Only documents whose URIs begin with this
    #[arg(long, value_name = "PREFIX", conflicts_with = "document")]
    prefix: Option<String>,
    /// Only this document
    #[arg(long, value_name = "URI")]
    document: Option<Uri>,
    /// Read every byte on both sides, also where the digests are equal
    #[arg(long)]
    thorough: bool,
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
    /// Only documents whose URIs begin with this were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    /// Only this document was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Uri>,
    /// Every byte was read.
    thorough: bool,
    /// How many documents were compared.
    documents: u64,
    /// Digests of the whole databases, if those were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_digest: Option<Digest>,
    /// Numbers of the partitions that were compared, if one of the two does not hold all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    common: Option<Vec<u16>>,
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
        let common = pair.common.clone().unwrap_or_default();
        if let (Some(uri), Some(common)) = (&self.document, &pair.common) {
            pair.check_common(uri, common)?;
        }
        let scope = self.scope();
        let (is_whole, thorough) = (scope == Scope::Whole, self.thorough || self.document.is_some());
        let partitions = if is_whole { pair.differing() } else { Vec::new() };
        let same_digests = partitions.is_empty() && pair.one.digest == pair.other.digest;
        let part = Part { view: pair.one.view, at: pair.one.at, scope, partitions: common };
        let found = if thorough {
            details::find(global, &one, &other, &part, self.limit).await?
        } else if is_whole && same_digests {
            Found { differences: Vec::new(), more: false, documents: pair.one.documents }
        } else {
            let numbers: Vec<u16> =
                partitions.iter().filter_map(|number| u16::try_from(*number).ok()).collect();
            let numbers = if numbers.is_empty() { part.partitions } else { numbers };
            self.find(global, &one, &other, Part { partitions: numbers, ..part }).await?
        };
        let verdict = Verdict {
            equal: found.differences.is_empty() && (!is_whole || same_digests),
            view: pair.one.view,
            at: pair.one.at,
            behind: pair.behind,
            prefix: self.prefix,
            document: self.document,
            thorough,
            documents: found.documents,
            common: pair.common,
            digest: is_whole.then_some(pair.one.digest),
            against_digest: is_whole.then_some(pair.other.digest),
            partitions,
            differences: found.differences,
            more: found.more,
        };
        Printer::new(global.output).value(&verdict, in_words)?;
        if verdict.equal { Ok(()) } else { Err(Failure::NotEqual) }
    }

    fn scope(&self) -> Scope {
        match (&self.document, &self.prefix) {
            (Some(uri), _) => Scope::Document(uri.clone()),
            (None, Some(prefix)) => Scope::Prefix(prefix.clone()),
            (None, None) => Scope::Whole,
        }
    }

    /// The differing documents, and in what each differs.
    async fn find(&self, global: &Global, one: &Side, other: &Side, part: Part) -> Result<Found, Failure> {
        let mut found = candidates::find(global, one, other, &part, self.limit).await?;
        for difference in found.differences.iter_mut().filter(|found| found.what == What::Different) {
            let scope = Scope::Document(Uri::parse(&difference.uri)?);
            let document = Part { scope, partitions: Vec::new(), ..part };
            let details = details::find(global, one, other, &document, 1).await?;
            // Leaves cover more of a head than an export shows: then there is no more to say.
            if let Some(details) = details.differences.into_iter().next() {
                *difference = details;
            }
        }
        Ok(found)
    }
}

fn in_words(verdict: &Verdict) -> String {
    let late = if verdict.behind { ", one of them being behind the other" } else { "" };
    let at = format!("{} ({}){late}", verdict.at.to_rfc3339(), verdict.at);
    let scope = match (&verdict.document, &verdict.prefix) {
        (Some(uri), _) => format!(" of {uri}"),
        (None, Some(prefix)) => format!(" below {prefix}"),
        (None, None) => String::new(),
    };
    let read = if verdict.thorough { ", every byte read" } else { "" };
    let read = match &verdict.common {
        Some(common) => format!("{read}, of partitions {common:?} only"),
        None => read.to_owned(),
    };
    if verdict.equal {
        let digest = verdict.digest.map_or_else(String::new, |digest| format!("\ndigest {digest}"));
        let what = match (&verdict.document, verdict.documents) {
            (Some(uri), 0) => format!("{uri} is on neither"),
            (Some(uri), _) => uri.to_string(),
            (None, 1) => format!("1 document{scope}"),
            (None, documents) => format!("{documents} documents{scope}"),
        };
        return format!("equal: {what}, {} view, at {at}{read}{digest}", verdict.view);
    }
    let mut text = format!("NOT EQUAL: {} view{scope}, at {at}{read}\n", verdict.view);
    if let (Some(here), Some(there)) = (verdict.digest, verdict.against_digest) {
        match verdict.partitions.is_empty() {
            true => {
                text.push_str(&format!("  digest {here}, the same on both: it covers names, not bytes\n"))
            }
            false => text.push_str(&format!(
                "  digest here   {here}\n  digest there  {there}\n  in partitions {:?}\n",
                verdict.partitions
            )),
        }
    }
    for difference in &verdict.differences {
        text.push_str(&difference.in_words(verdict.view));
    }
    if verdict.more {
        text.push_str("  and more; see --limit\n");
    }
    if verdict.differences.is_empty() {
        text.push_str("  all documents are equal: the difference is in the hash tree of one of the two\n");
    }
    text
}
