//! `apograph journal list`.

use std::path::Path;

use apograph_client::format::Timestamp;
use serde_json::json;

use super::folders::journals;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// One line per segment; damaged ones say so, and make the exit status.
pub(super) fn run(global: &Global, dir: &Path) -> Result<(), Failure> {
    let printer = Printer::new(global.output);
    let mut damaged = 0_u64;
    for journal in journals(dir)? {
        if !printer.is_json() {
            printer.line(&format!("{}", journal.display()))?;
        }
        for segment in apograph::journal::list(&journal)? {
            let segment = match segment {
                Ok(segment) => segment,
                Err(damage) => {
                    damaged += 1;
                    printer.value(&json!({ "file": damage.file, "damage": damage.to_string() }), |_| {
                        format!("  DAMAGED {damage}")
                    })?;
                    continue;
                }
            };
            let value = json!({
                "file": segment.path, "first": segment.first, "last": segment.last, "bytes": segment.bytes,
                "open": segment.open, "first_timestamp": segment.first_timestamp,
                "last_timestamp": segment.last_timestamp,
            });
            printer.value(&value, |_| {
                let name = segment.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let time =
                    |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), Timestamp::to_rfc3339);
                format!(
                    "  {name:<30} entries {} to {}  {} bytes  {} to {}{}",
                    segment.first,
                    segment.last,
                    segment.bytes,
                    time(segment.first_timestamp),
                    time(Some(segment.last_timestamp).filter(|time| *time != Timestamp::ZERO)),
                    if segment.open { "  open" } else { "" }
                )
            })?;
        }
    }
    match damaged {
        0 => Ok(()),
        _ => Err(Failure::Damaged { what: format!("{damaged} segments cannot be read to their ends") }),
    }
}
