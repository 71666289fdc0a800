//! What the verbs share that do one thing to one document.

use apograph_client::format::{Hash, Uri};
use apograph_client::types::{Operation, Precondition, Target, TransactionAnswer, TransactionRequest};
use clap::Args;

use crate::arguments::Global;
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
}

impl Subject {
    pub(crate) fn target(&self) -> Target {
        let precondition = Precondition { if_version: self.if_version, if_id: self.if_id, if_absent: false };
        Target { uri: self.uri.to_string(), precondition }
    }
}

/// Commits one operation and prints what became of it.
pub(crate) async fn commit(global: &Global, operation: Operation, comment: &str) -> Result<(), Failure> {
    let transaction = TransactionRequest {
        operations: vec![operation],
        comment: comment.to_owned(),
        ..TransactionRequest::default()
    };
    let answer = global.client()?.commit(&global.database, &transaction).await?;
    print(global, &answer)
}

/// Prints what became of a transaction, one line per document.
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
        text
    })
}
