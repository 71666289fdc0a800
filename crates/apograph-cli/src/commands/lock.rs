//! `apograph lock`.

use apograph_client::types::{self, Operation};
use clap::Args;

use super::operation::{Subject, commit};
use crate::arguments::Global;
use crate::failure::Failure;

/// Keep others from changing a document, for a while
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apograph lock /news/opening
  apograph lock /news/opening --for 8h --owner 'Ada Lovelace'")]
pub(crate) struct Lock {
    #[command(flatten)]
    subject: Subject,
    /// For how long: a number with s, m, h or d
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = seconds)]
    seconds: u64,
    /// Who works on it; without it, the name of the token
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
}

impl Lock {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let lock = types::Lock { target: self.subject.target(), owner: self.owner, seconds: self.seconds };
        commit(global, Operation::Lock(lock), &self.subject).await
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let parsed = units.into_iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds)
    });
    parsed.filter(|seconds| *seconds > 0).ok_or_else(|| "expected something like 30m, 2h or 1d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("2h"), Ok(7200));
        for bad in ["", "5", "0s", "-1h", "1w", "h", "99999999999999999999d"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
