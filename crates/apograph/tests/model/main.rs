//! Random transactions on a primary against a model written from the design, with restarts, crashes and copies.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    unreachable_pub
)]

#[path = "../support/mod.rs"]
mod support;

mod checks;
mod documents;
mod steps;

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use apograph::Database;
use apograph::error::{CommitError, Refusal, TransactionRefusal};
use apograph::format::limits::CHUNK_BYTES_MAX;
use apograph::format::{Timestamp, View};
use apograph::transaction::{Action, Committed, ContentBytes, ContentChange, Transaction};
use proptest::prelude::*;

use documents::{Documents, No};
use steps::{Step, canaries_in, steps};
use support::Servers;
use support::loading::{Lone, load, loadable};

proptest! {
    // Nothing is left behind: what a failure shrinks to becomes a test of its own.
    #![proptest_config(ProptestConfig {
        cases: cases(), max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn one_partition_does_what_the_model_does(steps in steps()) {
        Run::new(1).run(steps);
    }

    #[test]
    fn three_partitions_do_what_the_model_does(steps in steps()) {
        Run::new(3).run(steps);
    }
}

/// Of each; they wait for disks and idle servers more than they compute. More by `PROPTEST_CASES`.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(32)
}

struct Run {
    servers: Servers,
    /// What the model held at the time of each commit.
    states: Vec<(Timestamp, Documents)>,
    /// Canaries of transactions that were committed.
    written: BTreeSet<String>,
    /// Canaries of versions that were live when some transaction was over.
    live: BTreeSet<String>,
}

impl Run {
    fn new(partitions: u16) -> Run {
        let servers = Servers::start(partitions);
        let states = vec![(servers.primary().visible(), Documents::default())];
        Run { servers, states, written: BTreeSet::new(), live: BTreeSet::new() }
    }

    fn run(mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Commit(transactions) => self.commit(transactions),
                Step::Follow => self.servers.follow(),
                Step::FollowSome(seed) => self.servers.follow_some(seed),
                Step::Restart(server) => self.servers.restart_one(server),
                Step::Crash(server) => self.servers.crash(server),
                Step::Check => checks::check(&self.servers.primary(), &self.states),
            }
        }
        self.finish();
    }

    /// Hands transactions over together and compares the answers.
    fn commit(&mut self, transactions: Vec<Transaction>) {
        let primary = self.servers.primary();
        let submit = |transaction: &Transaction| primary.submit(spooled(&primary, transaction)).unwrap();
        let pending: Vec<_> = transactions.iter().map(submit).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (transaction, pending) in transactions.iter().zip(pending) {
            let answer = runtime.block_on(pending);
            self.compare(transaction, answer);
        }
    }

    fn compare(&mut self, transaction: &Transaction, answer: Result<Committed, CommitError>) {
        let (last, mut documents) = self.states.last().cloned().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        let at = answer.as_ref().map_or(Timestamp(now), Committed::timestamp);
        let expected = documents.commit(transaction, at);
        let found = match answer {
            Ok(committed) => Ok(committed.results),
            Err(CommitError::Refused { index, refusal, .. }) => Err(No::Operation(index, refusal)),
            Err(CommitError::Transaction(TransactionRefusal::PurgeNotAlone)) => Err(No::PurgeNotAlone),
            Err(CommitError::Transaction(TransactionRefusal::Cursor { found, .. })) => Err(No::Cursor(found)),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found.clone().map_err(without_reason), expected, "{transaction:?}");
        if found.is_ok() {
            assert!(at > last, "timestamps grow");
            self.live.extend(documents.live().flat_map(|(_, saved)| saved.canaries()));
            self.written.extend(documents.canaries());
            self.states.push((at, documents));
        }
    }

    fn finish(mut self) {
        self.servers.check_exact();
        checks::check(&self.servers.primary(), &self.states);
        let (_, now) = self.states.last().unwrap();
        for (name, views) in
            [("primary", &View::ALL[..]), ("replica", &View::ALL[..]), ("staging", &[View::Published])]
        {
            for view in views {
                let key = support::digest_key(&self.servers.path(name), *view);
                checks::check_digests(&self.servers.database(name), *view, &key);
            }
        }
        self.check_round_trip();
        let held = |name: &str| -> BTreeSet<String> {
            let files = support::files(&self.servers.path(name));
            files.iter().flat_map(|(_, bytes)| canaries_in(bytes)).collect()
        };
        let (staged, held) = (held("staging"), &held("primary") | &held("replica"));
        let leaked: Vec<_> =
            staged.intersection(&self.written).filter(|canary| !self.live.contains(*canary)).collect();
        assert!(leaked.is_empty(), "a staging server holds what was never published: {leaked:?}");
        // Comments of transactions stay in the journal, but they are never equal to these.
        let (kept, purged) = (now.canaries(), self.purged_properties());
        let left: Vec<_> =
            purged.iter().filter(|canary| held.contains(*canary) && !kept.contains(*canary)).collect();
        assert!(left.is_empty(), "what was purged is still there: {left:?}");
    }

    /// What every server exports, loaded into an empty primary with any number of partitions and breaks, is exported by
    /// that one, and its digests are those of what it exports.
    fn check_round_trip(&self) {
        let seed = self.states.len();
        for (name, view) in [("replica", View::Full), ("staging", View::Published)] {
            let export = support::export(&self.servers.database(name), view);
            let lone = Lone::start(1 + (seed % 3) as u16);
            let loaded = load(&lone.database, &export, 1 + seed % 5, 40 + seed % 50);
            assert_eq!(loaded.left_out.len(), 1, "the document of the server: {loaded:?}");
            let found = support::export(&lone.database, view);
            assert_eq!(loadable(&found), loadable(&export), "{name}");
            for view in View::ALL {
                let key = support::digest_key(&lone.dir.path().join("lone"), view);
                checks::check_digests(&lone.database, view, &key);
            }
        }
    }

    /// Canaries in properties and contents of all versions that ever were.
    fn purged_properties(&self) -> BTreeSet<String> {
        let documents = self.states.iter().flat_map(|(_, state)| state.documents.values());
        let versions = documents.flat_map(|document| document.versions.values());
        let properties = |saved: &documents::Saved| {
            let mut found = canaries_in(saved.version.properties.as_str().as_bytes());
            found.extend(canaries_in(saved.content.as_deref().unwrap_or_default()));
            found
        };
        versions.flat_map(properties).collect()
    }
}

/// Large contents come through the spool.
fn spooled(primary: &Database, transaction: &Transaction) -> Transaction {
    let mut transaction = transaction.clone();
    for operation in &mut transaction.operations {
        if let Action::Put(put) = &mut operation.action
            && let ContentChange::Set { bytes, .. } = &mut put.content
            && let ContentBytes::Inline(inline) = bytes
            && inline.len() > CHUNK_BYTES_MAX
        {
            let mut spool = primary.spool();
            spool.write(inline).unwrap();
            *bytes = spool.finish().unwrap();
        }
    }
    transaction
}

/// The wording of reasons is no business of the model.
fn without_reason(no: No) -> No {
    match no {
        No::Operation(index, Refusal::Kind { .. }) => {
            No::Operation(index, Refusal::Kind { reason: String::new() })
        }
        no => no,
    }
}
