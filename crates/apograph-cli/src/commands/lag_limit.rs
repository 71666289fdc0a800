//! `apograph lag-limit`.

use apograph_client::types::{LagLimit as Limit, LagLimitView, LagReaction};
use clap::{Args, ValueEnum};

use super::links;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Show or set how far a copy may be behind before writes wait for it, or are refused
#[derive(Debug, Args)]
#[command(after_help = "\
Without a name all limits are shown, and how the copies stand to them. What is limited is what the copy has on disk.

  stall    writes wait, at most --stall, and are refused then with 503 `lagging`
  reject   writes are refused at once with 503 `lagging`
  warn     writes go on; status and metrics show it

What was refused has left no trace: it may be sent again. Writes go on by themselves when the copy has caught up. A limit
holds at once and after a restart; it belongs to the server that is told, and counts while that one is the primary.

Setting needs a token of the role admin.

Examples:
  apograph lag-limit
  apograph lag-limit replica --seconds 10 --action stall --on-lost-contact warn
  apograph lag-limit replica --entries 5000 --bytes 50000000 --action reject --on-lost-contact reject
  apograph lag-limit replica --crucial
  apograph lag-limit replica --off")]
pub(crate) struct LagLimit {
    /// Name of the copy's server
    #[arg(value_name = "NAME")]
    copy: Option<String>,
    /// Age of the oldest transaction that the copy may lack
    #[arg(long, value_name = "N", requires = "copy")]
    seconds: Option<u64>,
    /// Entries that it may lack
    #[arg(long, value_name = "N", requires = "copy")]
    entries: Option<u64>,
    /// Bytes of entries that it may lack
    #[arg(long, value_name = "N", requires = "copy")]
    bytes: Option<u64>,
    /// What happens to writes beyond one of these
    #[arg(
        long,
        value_enum,
        value_name = "stall|reject|warn",
        hide_possible_values = true,
        requires = "copy"
    )]
    action: Option<Action>,
    /// What happens to writes when the copy is not heard of
    #[arg(
        long,
        value_enum,
        value_name = "stall|reject|warn",
        hide_possible_values = true,
        requires = "copy"
    )]
    on_lost_contact: Option<Action>,
    /// After so many seconds without a word contact is lost
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    contact: u64,
    /// A write waits at most so many seconds until it is refused
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    stall: u64,
    /// Refuse writes at once whenever the copy does not follow
    #[arg(long, requires = "copy")]
    crucial: bool,
    /// Take the limit away
    #[arg(long, requires = "copy", conflicts_with_all = ["seconds", "entries", "bytes", "action", "on_lost_contact", "crucial"])]
    off: bool,
}

/// What happens to writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// They wait.
    Stall,
    /// They are refused.
    Reject,
    /// They go on.
    Warn,
}

impl LagLimit {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let limit = self.limit()?;
        let client = global.client()?;
        let limits = match &self.copy {
            None => client.lag_limits(&global.database).await?,
            Some(copy) => client.set_lag_limit(&global.database, copy, limit.as_ref()).await?,
        };
        Printer::new(global.output).value(&limits, |limits| match limits.is_empty() {
            true => "no copy has a limit: writes wait for none".to_owned(),
            false => limits.iter().map(in_words).collect::<Vec<_>>().join("\n"),
        })
    }

    /// What is to be set; `None` takes it away.
    fn limit(&self) -> Result<Option<Limit>, Failure> {
        if self.copy.is_none() || self.off {
            return Ok(None);
        }
        let is_limited = self.seconds.or(self.entries).or(self.bytes).is_some();
        if !is_limited && !self.crucial {
            return Err(Failure::Usage(
                "give --seconds, --entries or --bytes, or --crucial, or --off".into(),
            ));
        }
        // A crucial copy that lags is waited for, and one that is lost is not: `crucial` says what happens then.
        let otherwise = if self.crucial { Some(Action::Reject) } else { None };
        let missing = |name: &str| Failure::Usage(format!("give {name}: stall, reject or warn"));
        let action = self.action.or(otherwise.filter(|_| !is_limited));
        Ok(Some(Limit {
            seconds: self.seconds,
            entries: self.entries,
            bytes: self.bytes,
            action: reaction(action.ok_or_else(|| missing("--action"))?),
            on_lost_contact: reaction(
                self.on_lost_contact.or(otherwise).ok_or_else(|| missing("--on-lost-contact"))?,
            ),
            contact_seconds: self.contact,
            stall_seconds: self.stall,
            crucial: self.crucial,
        }))
    }
}

fn reaction(action: Action) -> LagReaction {
    match action {
        Action::Stall => LagReaction::Stall,
        Action::Reject => LagReaction::Reject,
        Action::Warn => LagReaction::Warn,
    }
}

/// A limit, for people, and how its copy stands.
pub(crate) fn in_words(view: &LagLimitView) -> String {
    let limit = &view.limit;
    let numbers = [
        limit.seconds.map(|seconds| format!("{seconds} s")),
        limit.entries.map(|entries| format!("{entries} entries")),
        limit.bytes.map(links::bytes),
    ];
    let numbers: Vec<_> = numbers.into_iter().flatten().collect();
    let mut text = format!("{}: ", view.server);
    if limit.crucial {
        text.push_str("crucial");
    }
    if !numbers.is_empty() {
        let comma = if limit.crucial { ", " } else { "" };
        text.push_str(&format!("{comma}{} beyond {}", name(limit.action), numbers.join(" or ")));
    }
    if !limit.crucial {
        let (lost, contact) = (name(limit.on_lost_contact), limit.contact_seconds);
        text.push_str(&format!(", {lost} when lost for {contact} s"));
    }
    text.push_str(&match (view.now, &view.reason) {
        (Some(now), Some(reason)) => format!("\n  NOW {}: {reason}", name(now)),
        _ => "\n  keeps to it".to_owned(),
    });
    text
}

pub(crate) fn name(reaction: LagReaction) -> &'static str {
    match reaction {
        LagReaction::Warn => "warn",
        LagReaction::Stall => "stall",
        LagReaction::Reject => "reject",
    }
}
