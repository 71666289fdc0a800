//! Documents of real text, in any number, the same in every run: document *n* is a function of the seed and *n*, and so
//! is transaction *k* that brings a hundred of them.
//!
//! A document is some 2 KiB of paragraphs, mostly of one chapter; a few are large. Most have one version, some have up
//! to five, which arrive later, among other documents. Most are published, some with changes since, a few withdrawn or
//! in the trash.

mod changes;
mod corpus;

use apograph_client::types::transaction::{Operation, Publish, Put, Target};
use apograph_client::types::{CursorMove, TransactionRequest};

pub use changes::Changes;
pub use corpus::Corpus;

use crate::random::Random;

/// Documents that one transaction brings.
pub const TRANSACTION_DOCUMENTS: u64 = 100;
/// Transactions between two versions of a document.
const VERSION_GAP: u64 = 7;
/// Versions of the document that has most.
const VERSIONS_MAX: u64 = 5;
/// Bytes of a usual document's text.
const TEXT_BYTES: std::ops::Range<u64> = 1024..3072;
/// One document in so many is large.
const LARGE_IN: u64 = 20_000;
/// Above a chunk, so that it is kept and sent in pieces.
const LARGE_BYTES: u64 = 3 << 19;
/// The cursor that remembers how many transactions arrived.
pub const CURSOR: &str = "documents";

const TYPES: [&str; 5] = ["article", "proposal", "note", "reference", "report"];
const AUTHORS: [&str; 8] = ["ann", "bela", "carla", "dmitri", "ebru", "farah", "goran", "hana"];

/// Many documents.
#[derive(Debug)]
pub struct Documents {
    corpus: Corpus,
    seed: u64,
    count: u64,
}

/// What becomes of a document in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Saved,
    Published,
    PublishedThenChanged,
    Withdrawn,
    Trashed,
}

impl Documents {
    /// So many documents of this text.
    pub fn new(corpus: Corpus, seed: u64, count: u64) -> Documents {
        Documents { corpus, seed, count }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many transactions bring them all.
    pub fn transactions(&self) -> u64 {
        self.count.div_ceil(TRANSACTION_DOCUMENTS) + VERSIONS_MAX * VERSION_GAP
    }

    /// One transaction. It moves the cursor, so that a load that was interrupted goes on where it was.
    pub fn transaction(&self, number: u64) -> TransactionRequest {
        let mut operations = Vec::new();
        for age in 0..=VERSIONS_MAX {
            let Some(first) = number.checked_sub(age * VERSION_GAP) else { break };
            let documents = first * TRANSACTION_DOCUMENTS..(first + 1) * TRANSACTION_DOCUMENTS;
            for document in documents.take_while(|document| *document < self.count) {
                self.change(document, age, &mut operations);
            }
        }
        let cursor = CursorMove {
            name: CURSOR.to_owned(),
            previous: number.checked_sub(1).map(|previous| previous.to_string()),
            position: number.to_string(),
        };
        TransactionRequest {
            operations,
            comment: format!("delivery {number}"),
            author: Some(AUTHORS[number as usize % AUTHORS.len()].to_owned()),
            cursor: Some(cursor),
            ..TransactionRequest::default()
        }
    }

    /// Where document `number` is.
    pub fn uri(&self, number: u64) -> String {
        let mut random = Random::new(self.seed, number);
        let chapter = &self.corpus.chapters[random.index(self.corpus.chapters.len())];
        let heading = &chapter.headings[random.index(chapter.headings.len())];
        format!("/{}/{}/{heading}-{number}", section(random.below(4)), chapter.slug)
    }

    /// What happens to a document this long after it came, if something does.
    fn change(&self, number: u64, age: u64, operations: &mut Vec<Operation>) {
        let mut random = Random::new(self.seed ^ 0xfa7e, number);
        let fate = fate(&mut random);
        let versions = versions(&mut random);
        let target = || Target::of(self.uri(number));
        let is_last = age + 1 == versions;
        if age < versions {
            operations.push(Operation::Put(self.put(number, age)));
            let is_live = match fate {
                Fate::Saved => false,
                Fate::PublishedThenChanged => age == 0 || !is_last,
                Fate::Published | Fate::Withdrawn | Fate::Trashed => true,
            };
            if is_live {
                operations.push(Operation::Publish(Publish { target: target(), version: None }));
            }
        }
        if age == versions {
            match fate {
                Fate::Withdrawn => operations.push(Operation::Withdraw(target())),
                Fate::Trashed => operations.push(Operation::Trash(target())),
                Fate::Saved | Fate::Published | Fate::PublishedThenChanged => {}
            }
        }
    }

    /// A version of a document; the first is 0.
    fn put(&self, number: u64, version: u64) -> Put {
        let mut random = Random::new(self.seed ^ number.rotate_left(24), version);
        let bytes = match Random::new(self.seed ^ 0xb16, number).once_in(LARGE_IN) {
            true => LARGE_BYTES + random.below(LARGE_BYTES),
            false => TEXT_BYTES.start + random.below(TEXT_BYTES.end - TEXT_BYTES.start),
        };
        let uri = self.uri(number);
        let body = self.text(number, version, bytes as usize, &mut random);
        let tags: Vec<&str> = (0..random.below(4)).map(|_| TYPES[random.index(TYPES.len())]).collect();
        let properties = serde_json::json!({
            "title": uri.rsplit('/').next(),
            "number": number,
            "tags": tags,
            "words": body.split_whitespace().count(),
            "priority": random.below(10),
        });
        let kind = TYPES[Random::new(self.seed ^ 0x7e, number).index(TYPES.len())];
        Put {
            target: Target::of(uri),
            r#type: Some(kind.to_owned()),
            properties: Some(serde_json::value::to_raw_value(&properties).unwrap()),
            body: Some(body),
            media_type: Some("text/markdown; charset=utf-8".to_owned()),
            ..Put::default()
        }
    }

    /// Whole paragraphs, four of five from the document's own chapter; about so many bytes, and never the same twice.
    fn text(&self, number: u64, version: u64, bytes: usize, random: &mut Random) -> String {
        let chapters = &self.corpus.chapters;
        let own = &chapters[Random::new(self.seed, number).index(chapters.len())];
        let mut text = format!("# {} ({number}.{version})\n", own.slug);
        while text.len() < bytes {
            let chapter = if random.once_in(5) { &chapters[random.index(chapters.len())] } else { own };
            text.push('\n');
            text.push_str(&chapter.paragraphs[random.index(chapter.paragraphs.len())]);
            text.push('\n');
        }
        text
    }
}

fn section(number: u64) -> &'static str {
    ["text", "drafts", "archive", "notes"][number as usize % 4]
}

fn fate(random: &mut Random) -> Fate {
    match random.below(100) {
        0..25 => Fate::Saved,
        25..33 => Fate::PublishedThenChanged,
        33..34 => Fate::Withdrawn,
        34..35 => Fate::Trashed,
        _ => Fate::Published,
    }
}

fn versions(random: &mut Random) -> u64 {
    match random.below(100) {
        0..82 => 1,
        82..92 => 2,
        92..98 => 3,
        _ => VERSIONS_MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_distinct_and_the_same_every_time() {
        let documents = Documents::new(Corpus::load(), 7, 3000);
        let (mut uris, mut texts, mut bytes, mut puts) = (HashSet::new(), HashSet::new(), 0, 0);
        let again = Documents::new(Corpus::load(), 7, 3000);
        for number in 0..documents.transactions() {
            let transaction = documents.transaction(number);
            let same = serde_json::to_string(&again.transaction(number)).unwrap();
            assert_eq!(serde_json::to_string(&transaction).unwrap(), same);
            for operation in transaction.operations {
                let Operation::Put(put) = operation else { continue };
                let body = put.body.unwrap();
                puts += 1;
                bytes += body.len();
                assert!(texts.insert(body), "two versions with one text");
                uris.insert(put.target.uri);
            }
        }
        assert_eq!(uris.len(), 3000);
        assert!(puts > 3500, "some documents have several versions: {puts}");
        let mean = bytes / puts;
        assert!((1500..3500).contains(&mean), "about 2 KiB each: {mean}");
    }
    use std::collections::HashSet;
}
