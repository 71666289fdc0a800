//! `apograph throttle`.

use std::str::FromStr;

use clap::Args;

use super::links;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Bound the bytes per second that the link of a copy lets in
#[derive(Debug, Args)]
#[command(after_help = "\
The bound holds for following and for synchronizing, at once, and after a restart. It is instead of
`throttle_bytes_per_second` in server.json, also `off`.

Needs a token of the role admin, and is told to the server of the copy.

Examples:
  apograph throttle 500k --server http://127.0.0.1:7701
  apograph throttle off --server http://127.0.0.1:7701")]
pub(crate) struct Throttle {
    /// A number, with k, M or G for thousands, millions or milliards; or off
    #[arg(value_name = "BYTES_PER_SECOND|off")]
    bound: Bound,
}

/// What can be typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound(Option<u64>);

impl Throttle {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let link = global.client()?.throttle(&global.database, self.bound.0).await?;
        Printer::new(global.output).value(&link, links::in_words)
    }
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Bound, String> {
        if text == "off" {
            return Ok(Bound(None));
        }
        let refused = || format!("{text:?} is not a number of bytes such as 250000, 500k or 2M, nor `off`");
        let (digits, factor) = match text.char_indices().last() {
            Some((at, 'k' | 'K')) => (text.get(..at), 1_000),
            Some((at, 'M')) => (text.get(..at), 1_000_000),
            Some((at, 'G')) => (text.get(..at), 1_000_000_000),
            _ => (Some(text), 1),
        };
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let number: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(refused)?;
        let bytes = number.checked_mul(factor).ok_or_else(refused)?;
        if bytes == 0 {
            Err("nothing would come any more: `pause` says that".to_owned())
        } else {
            Ok(Bound(Some(bytes)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_typed_with_suffixes() {
        let table = [
            ("off", None),
            ("1", Some(1)),
            ("500k", Some(500_000)),
            ("2M", Some(2_000_000)),
            ("3G", Some(3_000_000_000)),
        ];
        for (text, bytes) in table {
            assert_eq!(text.parse(), Ok(Bound(bytes)), "{text}");
        }
        for bad in [
            "",
            "0",
            "0M",
            "k",
            "-1",
            "+1",
            "1.5M",
            "1m",
            "1 k",
            "99999999999999999999",
            "99999999999G",
            "kk",
            "ék",
        ] {
            assert!(bad.parse::<Bound>().is_err(), "{bad}");
        }
    }
}
