//! `apograph journal show`.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use apograph::format::header::{EntryHeader, HEADER_BYTES};
use apograph::format::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use apograph::format::{Entry, Facts};
use clap::Args;
use serde_json::{Value, json};

use super::folders::journals;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Show the entries of journals: what was changed, by whom, when
#[derive(Debug, Args)]
pub(super) struct Show {
    /// A journal folder, or a folder above some
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Only entries from this sequence on
    #[arg(long, value_name = "N", default_value_t = 1)]
    from: u64,
    /// At most this many of each journal
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl Show {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let printer = Printer::new(global.output);
        for journal in journals(&self.dir)? {
            if !printer.is_json() {
                printer.line(&format!("{}", journal.display()))?;
            }
            self.journal(printer, &journal)?;
        }
        Ok(())
    }

    fn journal(&self, printer: Printer, journal: &Path) -> Result<(), Failure> {
        let mut left = self.limit.unwrap_or(u64::MAX);
        for segment in apograph::journal::list(journal)? {
            let segment = segment.map_err(|damage| Failure::Damaged { what: damage.to_string() })?;
            if segment.last < self.from || segment.last < segment.first {
                continue;
            }
            let mut file = Segment::open(&segment.path)?;
            for _ in segment.first..=segment.last {
                let Some(header) = file.header()? else { break };
                if header.sequence < self.from {
                    file.skip(&header)?;
                    continue;
                }
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                let entry = file.entry(&header)?;
                let facts = entry.facts().map_err(|error| file.damaged(&error))?;
                printer.value(&value(journal, &header, &facts), |_| in_words(&header, &facts))?;
            }
        }
        Ok(())
    }
}

/// A segment file, read from its front.
struct Segment {
    path: PathBuf,
    reader: BufReader<File>,
    front: Vec<u8>,
}

impl Segment {
    fn open(path: &Path) -> Result<Segment, Failure> {
        let file = File::open(path).map_err(Failure::file(path))?;
        let mut segment = Segment { path: path.to_owned(), reader: BufReader::new(file), front: Vec::new() };
        segment.fill(SEGMENT_HEADER_BYTES as u64)?;
        SegmentHeader::decode(&segment.front).map_err(|error| segment.damaged(&error))?;
        Ok(segment)
    }

    /// The header of the next entry; `None` at the end of the file.
    fn header(&mut self) -> Result<Option<EntryHeader>, Failure> {
        self.fill(HEADER_BYTES as u64)?;
        if self.front.is_empty() {
            return Ok(None);
        }
        EntryHeader::decode(&self.front).map(Some).map_err(|error| self.damaged(&error))
    }

    /// The entry of the header just read.
    fn entry(&mut self, header: &EntryHeader) -> Result<Entry, Failure> {
        let mut whole = std::mem::take(&mut self.front);
        self.fill(header.entry_bytes() - HEADER_BYTES as u64)?;
        whole.append(&mut self.front);
        Entry::decode(&mut whole.into()).map_err(|error| self.damaged(&error))
    }

    /// Past the entry of the header just read.
    fn skip(&mut self, header: &EntryHeader) -> Result<(), Failure> {
        let rest = header.entry_bytes() - HEADER_BYTES as u64;
        let mut rest = (&mut self.reader).take(rest);
        std::io::copy(&mut rest, &mut std::io::sink()).map(drop).map_err(Failure::file(&self.path))
    }

    /// Reads up to `bytes` into `front`; fewer at the end of the file.
    fn fill(&mut self, bytes: u64) -> Result<(), Failure> {
        self.front.clear();
        let read = (&mut self.reader).take(bytes).read_to_end(&mut self.front);
        read.map(drop).map_err(Failure::file(&self.path))
    }

    fn damaged(&self, error: &dyn std::error::Error) -> Failure {
        Failure::Damaged { what: format!("{}: {error}", self.path.display()) }
    }
}

fn value(journal: &Path, header: &EntryHeader, facts: &Facts) -> Value {
    json!({
        "journal": journal,
        "position": header.position(),
        "partition": header.partition,
        "timestamp": header.timestamp,
        "time": header.timestamp.to_rfc3339(),
        "bytes": header.entry_bytes(),
        "payloads": header.payloads,
        "facts": facts_value(facts),
    })
}

fn facts_value(facts: &Facts) -> Value {
    match facts {
        Facts::Transaction(transaction) => json!({
            "kind": "transaction",
            "author": transaction.author,
            "comment": transaction.comment,
            "author_time": apograph::format::timestamp::rfc3339(transaction.time),
            "cursor": transaction.cursor.as_ref().map(|cursor| json!({ cursor.name.as_str(): cursor.position })),
            "changes": transaction.changes.iter().map(|change| json!({
                "op": operation(&change.operation),
                "uri": change.uri,
                "state": change.head.state,
                "versions": change.versions,
            })).collect::<Vec<_>>(),
        }),
        Facts::Contents(_) => json!({ "kind": "contents" }),
        Facts::Checkpoint(checkpoint) => json!({
            "kind": "checkpoint",
            "at": checkpoint.at,
            "signer": checkpoint.signer,
            "digests": checkpoint.digests.iter().map(|digest| json!({
                "view": digest.view, "digest": digest.digest, "documents": digest.documents,
            })).collect::<Vec<_>>(),
        }),
        Facts::Epoch(facts) => json!({
            "kind": "epoch",
            "previous_epoch": facts.previous_epoch,
            "base": facts.base,
            "primary": facts.primary,
            "reason": facts.reason,
        }),
    }
}

fn in_words(header: &EntryHeader, facts: &Facts) -> String {
    let mut text = format!(
        "{:>8}  {}  {} bytes  ",
        header.sequence,
        header.timestamp.to_rfc3339(),
        header.entry_bytes()
    );
    match facts {
        Facts::Transaction(transaction) => {
            let comment = transaction.comment.lines().next().unwrap_or_default();
            text.push_str(&format!("{}: {comment}\n", transaction.author));
            for change in &transaction.changes {
                text.push_str(&format!("            {} {}\n", operation(&change.operation), change.uri));
            }
        }
        Facts::Contents(_) => text.push_str(&format!("contents, {} payloads\n", header.payloads)),
        Facts::Checkpoint(checkpoint) => {
            text.push_str("checkpoint\n");
            for digest in &checkpoint.digests {
                text.push_str(&format!(
                    "            {} view, {} documents, digest {}\n",
                    digest.view, digest.documents, digest.digest
                ));
            }
        }
        Facts::Epoch(facts) => text.push_str(&format!(
            "epoch {} begins after {}: {}\n            primary {}\n",
            header.epoch,
            facts.base.to_rfc3339(),
            facts.reason,
            facts.primary
        )),
    }
    text
}

/// The name of an operation, as in requests where it has one there.
fn operation(operation: &apograph::format::Operation) -> &'static str {
    use apograph::format::Operation;
    match operation {
        Operation::Put => "put",
        Operation::Publish => "publish",
        Operation::Withdraw => "withdraw",
        Operation::Trash => "trash",
        Operation::Restore => "restore",
        Operation::Purge => "purge",
        Operation::MoveAway => "move-away",
        Operation::MoveHere => "move-here",
        Operation::Lock => "lock",
        Operation::Unlock => "unlock",
        Operation::Retract => "retract",
    }
}
