//! `apograph status`.

use apograph_client::format::Timestamp;
use apograph_client::types::{DatabaseStatus, LinkDirection, LinkLag, LinkStatus, Status as ServerStatus};
use clap::Args;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Show where a server stands with its databases, and how every link of it stands
#[derive(Debug, Args)]
#[command(after_help = "\
Of a lag, what is not known is not shown: entries and bytes that the copy has not applied, the age of the oldest of
them, how long ago the other end was heard of, and how long ago the copy proved that it is equal.

Examples:
  apograph status
  apograph status --server http://127.0.0.1:7701 --output json | jq '.links[].lag'")]
pub(crate) struct Status {
    /// Show every partition
    #[arg(long, short)]
    partitions: bool,
}

impl Status {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
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
        text.push_str(&link_in_words(link, status.now));
    }
    text
}

fn database_in_words(database: &DatabaseStatus, partitions: bool) -> String {
    let mut text = format!(
        "database {}  {} ({} view), epoch {}, {} partition{}\n",
        database.name,
        database.role,
        database.view,
        database.epoch,
        database.partitions.len(),
        if database.partitions.len() == 1 { "" } else { "s" },
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
    if let Some(reason) = &database.stopped {
        text.push_str(&format!("  STOPPED    {reason}\n"));
    }
    for alarm in &database.alarms {
        text.push_str(&format!("  ALARM      {alarm}\n"));
    }
    text
}

fn link_in_words(link: &LinkStatus, now: i64) -> String {
    let direction = match link.direction {
        LinkDirection::In => "from",
        LinkDirection::Out => "to",
    };
    let peer = match (&link.peer.name, &link.peer.url) {
        (Some(name), Some(url)) => format!("{name} {url}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => "an unknown server".to_owned(),
    };
    let since = u64::try_from(now.saturating_sub(link.since)).unwrap_or(0) / 1000;
    let mut text = format!(
        "link {direction} {peer}  database {}, {} view\n  {} for {}\n",
        link.database,
        link.view,
        link.state,
        age(since)
    );
    if let Some(reason) = &link.reason {
        text.push_str(&format!("  reason     {reason}\n"));
    }
    text.push_str(&format!("  behind     {}\n", lag_in_words(&link.lag)));
    if let Some(at) = link.lag.last_contact_age_ms {
        text.push_str(&format!("  contact    {} ago\n", age(at)));
    }
    // The proof of a link out is at the copy.
    match (&link.last_proof, link.lag.last_proof_age_ms) {
        _ if link.direction == LinkDirection::Out => {}
        (Some(proof), Some(ms)) => text.push_str(&format!(
            "  proof      equal up to {} ({}), {} ago\n",
            proof.timestamp.to_rfc3339(),
            proof.timestamp,
            age(ms)
        )),
        _ => text.push_str("  proof      none yet\n"),
    }
    text
}

fn lag_in_words(lag: &LinkLag) -> String {
    if (lag.entries, lag.oldest_unapplied_age_ms) == (Some(0), Some(0)) {
        return "nothing".to_owned();
    }
    let parts = [
        lag.entries.map(|entries| format!("{entries} entries")),
        lag.bytes.map(|bytes| format!("{bytes} bytes")),
        lag.oldest_unapplied_age_ms.map(|ms| format!("the oldest {} old", age(ms))),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "unknown".to_owned() } else { parts.join(", ") }
}

/// Milliseconds for people: two units at most.
fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_unknown_lags() {
        assert_eq!(
            [age(0), age(999), age(61_000), age(90_000_000)],
            ["0 ms", "999 ms", "1 min 1 s", "1 d 1 h"]
        );
        assert_eq!(lag_in_words(&LinkLag::default()), "unknown");
        let lag = LinkLag { entries: Some(0), bytes: Some(0), ..LinkLag::default() };
        assert_eq!(lag_in_words(&lag), "0 entries, 0 bytes");
    }
}
