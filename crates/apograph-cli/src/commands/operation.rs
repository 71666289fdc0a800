//! What the verbs share that do one thing to one document.

use std::time::Duration;

use apograph_client::Client;
use apograph_client::format::{Durability, Hash, Uri};
use apograph_client::types::{
    DurabilityAnswer, Operation, Precondition, Target, TransactionAnswer, TransactionRequest,
};
use clap::Args;

use super::links;
use crate::arguments::Global;
use crate::connection;
use crate::failure::Failure;
use crate::printer::Printer;

/// The document, and what must be true of it.
#[derive(Debug, Args)]
pub(crate) struct Subject {
    /// The document, such as /news/2026/opening
    #[arg(value_name = "URI")]
    pub(crate) uri: Uri,
    /// Only if the working version has this number
    #[arg(long, value_name = "N", conflicts_with = "if_id")]
    pub(crate) if_version: Option<u64>,
    /// Only if the working version has this id
    #[arg(long, value_name = "ID")]
    pub(crate) if_id: Option<Hash>,
    /// Why; kept with the change
    #[arg(long, short = 'm', value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) comment: String,
    #[command(flatten)]
    pub(crate) durable: Durable,
}

/// How durable a write must be.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Durable {
    /// How many replicas must have it on disk before the answer
    #[arg(long, value_name = "local|replicas=N")]
    pub(crate) durability: Option<Durability>,
    /// How long to wait for that, such as 5s or 500ms
    #[arg(long, value_name = "TIME", value_parser = within)]
    pub(crate) within: Option<Duration>,
}

impl Durable {
    /// A client whose writes are this durable.
    pub(crate) fn client(&self, global: &Global) -> Result<Client, Failure> {
        connection::client_with(global, |settings| settings.with_durability(self.durability, self.within))
    }
}

impl Subject {
    pub(crate) fn target(&self) -> Target {
        let precondition = Precondition { if_version: self.if_version, if_id: self.if_id, if_absent: false };
        Target { uri: self.uri.to_string(), precondition }
    }
}

/// Commits one operation and prints what became of it.
pub(crate) async fn commit(global: &Global, operation: Operation, subject: &Subject) -> Result<(), Failure> {
    let transaction = TransactionRequest {
        operations: vec![operation],
        comment: subject.comment.clone(),
        ..TransactionRequest::default()
    };
    let answer = subject.durable.client(global)?.commit(&global.database, &transaction).await?;
    print(global, &answer)
}

/// Prints what became of a transaction, one line per document. It is done; a failure says that fewer servers than asked
/// for had it in time.
pub(crate) fn print(global: &Global, answer: &TransactionAnswer) -> Result<(), Failure> {
    Printer::new(global.output).value(answer, |answer| {
        let mut text = String::new();
        // Several operations on one document end in one state.
        let mut results: Vec<_> = answer.results.iter().rev().collect();
        results.dedup_by(|a, b| a.uri == b.uri);
        for result in results.into_iter().rev() {
            let version = result.version.map_or_else(String::new, |number| format!("  version {number}"));
            text.push_str(&format!("{}{version}  {}\n", result.uri, result.state));
        }
        text.push_str(&format!("token {}", answer.token));
        if let Some(durability) = &answer.durability {
            text.push_str(&format!("\n{}", durability_in_words(durability)));
        }
        text
    })?;
    match &answer.durability {
        Some(durability) if !durability.is_reached() => {
            Err(Failure::NotDurable { asked: durability.asked, reached: durability.reached })
        }
        _ => Ok(()),
    }
}

fn durability_in_words(durability: &DurabilityAnswer) -> String {
    let waited = links::age(durability.waited_ms);
    let on = match durability.replicas.as_slice() {
        [] => "no replica".to_owned(),
        names => names.join(", "),
    };
    match durability.missed {
        None => format!("durable here and on {on}, after {waited}"),
        Some(missed) => format!(
            "COMMITTED, but durable here and on {on} only: {} was asked for, and {} after {waited}",
            durability.asked,
            missed.in_words()
        ),
    }
}

fn within(text: &str) -> Result<Duration, String> {
    let parsed = text
        .strip_suffix("ms")
        .and_then(|number| number.parse().ok().map(Duration::from_millis))
        .or_else(|| text.strip_suffix('s').and_then(|number| number.parse().ok().map(Duration::from_secs)));
    parsed.ok_or_else(|| "expected something like 5s or 500ms".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use apograph_client::types::DurabilityMissed;

    #[test]
    fn times_to_wait() {
        assert_eq!(within("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(within("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "5", "s", "ms", "-1s", "1m", "0.5s"] {
            assert!(within(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_was_reached_is_said() {
        let mut durability = DurabilityAnswer {
            asked: Durability::of(1),
            reached: Durability::of(1),
            replicas: vec!["replica".to_owned()],
            waited_ms: 12,
            missed: None,
        };
        assert_eq!(durability_in_words(&durability), "durable here and on replica, after 12 ms");
        durability.missed = Some(DurabilityMissed::Deadline);
        (durability.asked, durability.waited_ms) = (Durability::of(2), 5000);
        assert_eq!(
            durability_in_words(&durability),
            "COMMITTED, but durable here and on replica only: replicas=2 was asked for, and the time for it is over after 5 s"
        );
    }
}
