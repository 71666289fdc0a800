//! `apograph links`, and a link in words wherever one is shown.

use apograph_client::types::{LinkDirection, LinkForecast, LinkLag, LinkProgress, LinkState, LinkStatus};
use clap::Args;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Width of a bar in text.
const BAR: u64 = 24;

/// Show how every link of a server stands: into it, and out of it
#[derive(Debug, Args)]
#[command(after_help = "\
A link is connecting, following, planning, transferring, installing, waiting, paused or stopped; of all but following it
says why, and what to do if it needs a person. `window` says how long the copy may be away until it has to synchronize,
and what catching up would then cost.

Examples:
  apograph links
  apograph links --output json | jq '.[].progress'")]
pub(crate) struct Links {}

impl Links {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let status = global.client()?.status().await?;
        Printer::new(global.output).value(&status.links, |links| match links.is_empty() {
            true => "no link runs into this server, and no copy has reported to it".to_owned(),
            false => links.iter().map(|link| at(link, status.now)).collect::<Vec<_>>().join("\n"),
        })
    }
}

/// A link, for people, as it was answered just now.
pub(crate) fn in_words(link: &LinkStatus) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    at(link, i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

/// A link, for people, at a time in microseconds since 1970.
pub(crate) fn at(link: &LinkStatus, now: i64) -> String {
    let direction = match link.direction {
        LinkDirection::In => "from",
        LinkDirection::Out => "to",
    };
    let peer = match (&link.peer.name, &link.peer.url) {
        (Some(name), Some(url)) => format!("{name} {url}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => "an unknown server".to_owned(),
    };
    let mut text = format!(
        "link {direction} {peer}  database {}, {} view\n  {}\n",
        link.database,
        link.view,
        state(link, now)
    );
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<9}  {value}\n"));
    if let Some(reason) = &link.reason {
        line("reason", reason);
    }
    if let Some(progress) = &link.progress {
        line("progress", &format!("{}{}", bar(progress), progress_in_words(progress)));
        line("round", &round_in_words(progress));
    }
    line("behind", &lag_in_words(&link.lag));
    if let Some(forecast) = &link.forecast {
        line("window", &forecast_in_words(forecast, link.state));
    }
    if let Some(bound) = link.throttle_bytes_per_second {
        line("throttle", &format!("{}/s", bytes(bound)));
    }
    if let Some(at) = link.lag.last_contact_age_ms {
        line("contact", &format!("{} ago", age(at)));
    }
    // The proof of a link out is at the copy.
    match (&link.last_proof, link.lag.last_proof_age_ms) {
        _ if link.direction == LinkDirection::Out => {}
        (Some(proof), Some(ms)) => {
            let at = proof.timestamp.to_rfc3339();
            line("proof", &format!("equal up to {at} ({}), {} ago", proof.timestamp, age(ms)));
        }
        _ => line("proof", "none yet"),
    }
    text
}

fn state(link: &LinkStatus, now: i64) -> String {
    let since = u64::try_from(now.saturating_sub(link.since)).unwrap_or(0) / 1000;
    format!("{} for {}", link.state, age(since))
}

/// `[=====>      ] 42 % `, if a total is known.
fn bar(progress: &LinkProgress) -> String {
    let (done, total) = match progress.bytes_total {
        Some(total) if total > 0 => (progress.bytes_received, total),
        _ => (progress.documents_done, progress.documents_total),
    };
    if total == 0 {
        return String::new();
    }
    let of = |whole: u64| done.min(total).saturating_mul(whole) / total;
    let full = usize::try_from(of(BAR)).unwrap_or(0);
    let width = usize::try_from(BAR).unwrap_or(0);
    let arrow = if full < width { ">" } else { "" };
    format!("[{:<width$}] {} %  ", "=".repeat(full) + arrow, of(100))
}

/// Documents, bytes, rate and estimate.
pub(crate) fn progress_in_words(progress: &LinkProgress) -> String {
    if progress.requests == 0 {
        return "not begun yet".to_owned();
    }
    let mut parts = vec![format!("{} of {} documents", progress.documents_done, progress.documents_total)];
    parts.push(match progress.bytes_total {
        Some(total) => format!("{} of {}", bytes(progress.bytes_received), bytes(total)),
        None => bytes(progress.bytes_received),
    });
    if progress.bytes_per_second > 0.0 {
        parts.push(format!("{}/s", bytes(whole(progress.bytes_per_second))));
    }
    if progress.documents_per_second > 0.0 {
        parts.push(format!("{} documents/s", whole(progress.documents_per_second)));
    }
    if let Some(left) = progress.seconds_left {
        parts.push(format!("{} left", age(left.saturating_mul(1000))));
    }
    parts.join(", ")
}

fn round_in_words(progress: &LinkProgress) -> String {
    let snapshot = progress.snapshot.map(|at| format!(", brings the state of {}", at.to_rfc3339()));
    let snapshot = snapshot.unwrap_or_default();
    let requests = match progress.requests {
        1 => "1 request".to_owned(),
        requests => format!("{requests} requests"),
    };
    format!("{}{snapshot}, {requests}", progress.round)
}

fn forecast_in_words(forecast: &LinkForecast, state: LinkState) -> String {
    let about = if forecast.is_estimate { "about " } else { "" };
    let missing = format!("{about}{}", bytes(forecast.missing_bytes));
    if forecast.is_out {
        return format!("left: the source's journal begins later; it changed by {missing} since");
    }
    let Some(leaves) = forecast.leaves_in_s else {
        return format!("does not end at the rate of now; {missing} missing");
    };
    let limit = match forecast.limit.as_deref() {
        Some("bytes") => " (the source's retention in bytes)",
        Some("age") => " (the source's retention by age)",
        _ => "",
    };
    let stands = if state == LinkState::Following { "may be away for" } else { "ends in" };
    let leaves = age(leaves.saturating_mul(1000));
    format!("{stands} {leaves}{limit}; catching up then costs {about}{}", bytes(forecast.cost_bytes))
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

/// Bytes for people, in thousands, with three digits or so.
pub(crate) fn bytes(bytes: u64) -> String {
    let mut unit = 1_000;
    for name in ["kB", "MB", "GB", "TB"] {
        let next = unit * 1_000;
        if (unit..next).contains(&bytes) || (name == "TB" && bytes >= unit) {
            return format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit);
        }
        unit = next;
    }
    format!("{bytes} bytes")
}

/// Milliseconds for people: two units at most.
pub(crate) fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        86_400..315_360_000 => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
        _ => "more than ten years".to_owned(),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts from floats saturate")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_unknown_lags() {
        assert_eq!(
            [age(0), age(999), age(61_000), age(90_000_000), age(u64::MAX)],
            ["0 ms", "999 ms", "1 min 1 s", "1 d 1 h", "more than ten years"]
        );
        assert_eq!(lag_in_words(&LinkLag::default()), "unknown");
        let lag = LinkLag { entries: Some(0), bytes: Some(0), ..LinkLag::default() };
        assert_eq!(lag_in_words(&lag), "0 entries, 0 bytes");
    }

    #[test]
    fn bytes_have_a_unit() {
        assert_eq!(
            [0, 999, 1000, 12_345, 5_999_999, u64::MAX].map(bytes),
            ["0 bytes", "999 bytes", "1.0 kB", "12.3 kB", "5.9 MB", "18446744.0 TB"]
        );
    }

    fn progress() -> LinkProgress {
        LinkProgress {
            phase: "transferring".to_owned(),
            reason: "out-of-window".to_owned(),
            round: 1,
            snapshot: None,
            documents_done: 520,
            documents_total: 1000,
            bytes_received: 5_000_000,
            bytes_total: Some(20_000_000),
            documents_per_second: 120.4,
            bytes_per_second: 1_500_000.0,
            seconds_left: Some(10),
            requests: 14,
            since: 0,
        }
    }

    #[test]
    fn a_progress_shows_what_is_known_of_it() {
        let known = progress();
        assert_eq!(bar(&known), "[======>                 ] 25 %  ");
        assert_eq!(
            progress_in_words(&known),
            "520 of 1000 documents, 5.0 MB of 20.0 MB, 1.5 MB/s, 120 documents/s, 10 s left"
        );
        let planning = LinkProgress {
            bytes_total: None,
            documents_total: 0,
            documents_done: 0,
            bytes_received: 0,
            documents_per_second: 0.0,
            bytes_per_second: 0.0,
            seconds_left: None,
            ..progress()
        };
        assert_eq!(
            (bar(&planning).as_str(), progress_in_words(&planning).as_str()),
            ("", "0 of 0 documents, 0 bytes")
        );
        let done = LinkProgress { bytes_received: 21_000_000, ..progress() };
        assert_eq!(bar(&done), format!("[{}] 100 %  ", "=".repeat(24)));
    }

    #[test]
    fn a_forecast_says_what_it_is() {
        let follows = LinkForecast {
            is_out: false,
            leaves_in_s: Some(3 * 3600),
            limit: Some("bytes".to_owned()),
            missing_bytes: 0,
            cost_bytes: 240_000_000,
            is_estimate: false,
            written_bytes_per_second: 1.0,
        };
        assert_eq!(
            forecast_in_words(&follows, LinkState::Following),
            "may be away for 3 h 0 min (the source's retention in bytes); catching up then costs 240.0 MB"
        );
        let paused = LinkForecast { is_estimate: true, ..follows.clone() };
        assert_eq!(
            forecast_in_words(&paused, LinkState::Paused),
            "ends in 3 h 0 min (the source's retention in bytes); catching up then costs about 240.0 MB"
        );
        let never = LinkForecast { leaves_in_s: None, limit: None, ..follows };
        assert_eq!(
            forecast_in_words(&never, LinkState::Paused),
            "does not end at the rate of now; 0 bytes missing"
        );
        let out = LinkForecast { is_out: true, missing_bytes: 5000, ..paused };
        assert_eq!(
            forecast_in_words(&out, LinkState::Waiting),
            "left: the source's journal begins later; it changed by about 5.0 kB since"
        );
    }
}
