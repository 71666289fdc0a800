//! `apograph sync`.

use std::time::Duration;

use apograph_client::Client;
use apograph_client::format::timestamp::parse_date;
use apograph_client::types::{LinkDirection, LinkState, LinkStatus, SyncMeasure, SyncRequest};
use clap::Args;
use indicatif::ProgressBar;

use super::links;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::progress;

/// How often the server is asked how far it is.
const LOOK: Duration = Duration::from_millis(300);

/// Synchronize a copy with its source: bring over what differs
#[derive(Debug, Args)]
#[command(after_help = "\
A copy does this by itself when it has to, and goes on by itself after any interruption; this asks for it now. It answers
as soon as the request is kept: `status` shows the progress, and so does --wait, which ends when the copy follows again.

What is asked for stands in sync-request.json in the database's folder until it is done, and may be edited there while
the link is paused. What --since or --max-versions leave out is counted in the copy's synchronized.json.

Needs a token of the role admin, and is told to the server of the copy.

Examples:
  apograph sync --wait --server http://127.0.0.1:7701
  apograph sync --dry-run --server http://127.0.0.1:7701
  apograph sync --since 2025-01-01 --max-versions 100 --server http://127.0.0.1:7701")]
pub(crate) struct Sync {
    /// Leave out documents that were not changed since this date
    #[arg(long, value_name = "DATE", value_parser = date, conflicts_with = "full")]
    since: Option<String>,
    /// Believe nothing that the copy has: read all of it, and bring what is damaged as well
    #[arg(long)]
    full: bool,
    /// Bring the bodies of at most this many of the newest versions of every document; 0 brings all [default: 10000]
    #[arg(long, value_name = "N")]
    max_versions: Option<u64>,
    /// Only say what would be brought
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Wait until the copy follows again
    #[arg(long)]
    wait: bool,
}

impl Sync {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let (client, printer) = (global.client()?, Printer::new(global.output));
        let request = SyncRequest {
            since: self.since,
            max_versions: self.max_versions,
            full: self.full,
            dry_run: self.dry_run,
        };
        if request.dry_run {
            let measure = client.measure(&global.database, &request).await?;
            return printer.value(&measure, measured);
        }
        let link = client.synchronize(&global.database, &request).await?;
        if !self.wait {
            return printer.value(&link, links::in_words);
        }
        let bar = progress::transfer(global.output);
        let link = tokio::select! {
            done = followed(&client, &global.database, link, &bar) => done?,
            _ = tokio::signal::ctrl_c() => {
                bar.finish_and_clear();
                printer.note("the server goes on by itself; `apograph status` shows how far it is");
                return Err(Failure::Interrupted);
            }
        };
        bar.finish_and_clear();
        printer.value(&link, links::in_words)
    }
}

/// Looks until the link follows. What cannot go on without a person is a failure.
pub(super) async fn followed(
    client: &Client,
    database: &str,
    mut link: LinkStatus,
    bar: &ProgressBar,
) -> Result<LinkStatus, Failure> {
    loop {
        match link.state {
            LinkState::Following => return Ok(link),
            LinkState::Paused | LinkState::Stopped => {
                bar.finish_and_clear();
                let reason = link.reason.unwrap_or_else(|| "it does not say why".to_owned());
                return Err(Failure::Link { reason });
            }
            _ => show(&link, bar),
        }
        tokio::time::sleep(LOOK).await;
        let status = client.status().await?;
        let found = status
            .links
            .into_iter()
            .find(|found| found.direction == LinkDirection::In && found.database == database);
        link = found.unwrap_or(link);
    }
}

fn show(link: &LinkStatus, bar: &ProgressBar) {
    let state = link.state.to_string();
    let Some(progress) = &link.progress else {
        bar.set_message(state);
        return;
    };
    let total = progress.bytes_total.unwrap_or(0);
    match (total, progress.documents_total) {
        (0, 0) => {}
        // Without bytes, documents tell how far it is.
        (0, documents) => {
            bar.set_length(documents);
            bar.set_position(progress.documents_done);
        }
        (bytes, _) => {
            bar.set_length(bytes);
            bar.set_position(progress.bytes_received.min(bytes));
        }
    }
    let round = if progress.round > 1 { format!(", round {}", progress.round) } else { String::new() };
    let reason = if link.state == LinkState::Waiting || link.lag.last_contact_age_ms > Some(5000) {
        link.reason.as_deref().map(|reason| format!(" ({reason})"))
    } else {
        None
    };
    let reason = reason.unwrap_or_default();
    bar.set_message(format!("{state}{round}: {}{reason}", links::progress_in_words(progress)));
}

fn measured(measure: &SyncMeasure) -> String {
    let SyncMeasure { documents, bytes, of_documents, requests } = *measure;
    format!(
        "{documents} of {of_documents} documents differ; bringing them over takes about {} (found out with {requests} requests)",
        links::bytes(bytes)
    )
}

/// Checked here, sent as typed.
fn date(text: &str) -> Result<String, String> {
    let refused = |_| format!("expected a date such as 2026-01-31 or 2026-01-31T12:00:00Z, found {text:?}");
    parse_date(text).map(|_| text.to_owned()).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_in_words() {
        let measure = SyncMeasure { documents: 3, bytes: 12_345, of_documents: 8140, requests: 4 };
        assert_eq!(
            measured(&measure),
            "3 of 8140 documents differ; bringing them over takes about 12.3 kB (found out with 4 requests)"
        );
    }

    #[test]
    fn dates_are_checked_before_they_are_sent() {
        assert_eq!(date("2026-01-31").as_deref(), Ok("2026-01-31"));
        assert!(date("31.1.2026").is_err());
    }
}
