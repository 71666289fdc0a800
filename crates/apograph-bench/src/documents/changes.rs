//! Scattered changes of documents that are there already.

use apograph_client::types::TransactionRequest;
use apograph_client::types::transaction::{Move, Operation, Publish, Put, Target};

use super::Documents;
use crate::random::Random;

/// A number of changes, scattered over all documents: edits, publications, moves, withdrawals, trash, new documents,
/// and a purge in a hundred. Each is a transaction of its own.
#[derive(Debug)]
pub struct Changes<'a> {
    documents: &'a Documents,
    /// Tells one series of changes from another.
    series: u64,
    stride: u64,
}

impl Documents {
    /// Changes of `count` different documents. Every series changes them in other ways, but later series may meet what
    /// earlier ones moved or purged, so a series is for documents as they came.
    pub fn changes(&self, series: u64, count: u64) -> Changes<'_> {
        assert!(count <= self.count, "there are not so many documents");
        Changes { documents: self, series, stride: self.count / count }
    }
}

impl Changes<'_> {
    /// Change `number`; none of a document that it cannot be done to is refused.
    pub fn transaction(&self, number: u64) -> TransactionRequest {
        let mut random = Random::new(self.series, number);
        let document = number * self.stride + random.below(self.stride);
        let target = Target::of(self.documents.uri(document));
        let version = 100 + self.series;
        let edit = || {
            let put = self.documents.put(document, version);
            // A document may be in the trash; what is written is there again.
            Operation::Put(Put { target: target.clone(), ..put })
        };
        let operations = match random.below(100) {
            0..55 => vec![edit()],
            55..85 => vec![edit(), Operation::Publish(Publish { target: target.clone(), version: None })],
            85..90 => vec![edit(), Operation::Trash(target)],
            90..95 => {
                let to = format!("/moved/{}/{document}", self.series);
                vec![edit(), Operation::Move(Move { target, to })]
            }
            95..99 => {
                let uri = format!("/new/{}/{document}", self.series);
                let put = self.documents.put(document, version);
                vec![Operation::Put(Put { target: Target::of(uri), ..put })]
            }
            _ => vec![Operation::Purge(target)],
        };
        TransactionRequest {
            operations,
            comment: format!("change {number}"),
            ..TransactionRequest::default()
        }
    }
}
