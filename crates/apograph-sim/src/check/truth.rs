//! What happened, as the journals of the primaries say, replayed: the order of all transactions, and what each left.

use std::collections::{BTreeMap, BTreeSet};

use apograph::database::roles::EpochStart;
use apograph::format::{
    Change, Entry, EntryKind, Facts, Hash, Head, Operation, Participants, PartitionId, Position, State,
    Timestamp, Uri,
};

/// A transaction.
#[derive(Debug, Clone, Default)]
pub struct Happened {
    /// In which epoch.
    pub epoch: u64,
    /// What its author said.
    pub comment: String,
    /// What it did.
    pub changes: Vec<Change>,
    participants: Participants,
    seen: Participants,
}

/// What happened.
#[derive(Debug, Default)]
pub struct Truth {
    by_time: BTreeMap<Timestamp, Happened>,
    ends: BTreeMap<PartitionId, Vec<(Timestamp, Position)>>,
    epochs: Vec<EpochStart>,
    /// Everything up to here is known.
    pub visible: Timestamp,
}

impl Truth {
    /// Where a partition's journal ends, as far as it is known.
    pub fn end(&self, partition: PartitionId) -> Option<Position> {
        self.ends.get(&partition)?.last().map(|(_, position)| *position)
    }

    /// The next visible entry of a partition.
    pub fn take(&mut self, partition: PartitionId, entry: &Entry) -> Result<(), String> {
        let header = entry.header();
        self.ends.entry(partition).or_default().push((header.timestamp, entry.position()));
        if header.kind == EntryKind::Contents {
            return Ok(());
        }
        let happened = self.by_time.entry(header.timestamp).or_default();
        if happened.participants != Participants::default() && happened.participants != header.participants {
            return Err(format!("two transactions have the timestamp {}", header.timestamp));
        }
        happened.participants = header.participants;
        happened.epoch = header.epoch;
        if happened.seen.iter().any(|seen| seen == partition) {
            return Err(format!(
                "two entries of partition {partition} have the timestamp {}",
                header.timestamp
            ));
        }
        happened.seen = happened.seen.iter().chain([partition]).collect();
        if let Facts::Transaction(facts) = entry.facts().map_err(|error| error.to_string())? {
            happened.comment = facts.comment;
            happened.changes.extend(facts.changes);
        }
        Ok(())
    }

    /// Everything visible was taken: is every transaction whole?
    pub fn reached(&mut self, visible: Timestamp) -> Result<(), String> {
        for (at, happened) in self.by_time.range(self.visible..=visible) {
            if happened.seen != happened.participants {
                return Err(format!("half of the transaction at {at} is visible"));
            }
        }
        self.visible = visible;
        Ok(())
    }

    /// An epoch began: what is later than its base did not happen.
    pub fn begin(&mut self, start: EpochStart) {
        let base = start.base;
        self.epochs.push(start);
        self.by_time.retain(|at, _| *at <= base);
        for ends in self.ends.values_mut() {
            ends.retain(|(at, _)| *at <= base);
        }
        self.visible = self.visible.min(base);
    }

    /// Did a later epoch cut off what was written in `epoch` at `at`?
    pub fn is_cut(&self, epoch: u64, at: Timestamp) -> bool {
        self.epochs.iter().any(|start| start.epoch > epoch && at > start.base)
    }

    /// All transactions in their order.
    pub fn transactions(&self) -> impl Iterator<Item = (Timestamp, &Happened)> {
        self.by_time.iter().map(|(at, happened)| (*at, happened))
    }

    /// What the document was at a time.
    pub fn head(&self, uri: &Uri, at: Timestamp) -> Option<&Head> {
        let mut before = self.by_time.range(..=at).rev();
        before.find_map(|(_, happened)| {
            happened.changes.iter().rev().find(|change| change.uri == *uri).map(|change| &change.head)
        })
    }

    /// Was it purged, or written anew, after this time? What was before is gone then.
    pub fn is_purged_after(&self, uri: &Uri, at: Timestamp) -> bool {
        let is_purge = |change: &Change| change.operation == Operation::Purge && change.uri == *uri;
        self.by_time.range(at..).any(|(_, happened)| happened.changes.iter().any(is_purge))
    }

    /// Every document that ever was.
    pub fn uris(&self) -> BTreeSet<Uri> {
        self.by_time
            .values()
            .flat_map(|happened| &happened.changes)
            .map(|change| change.uri.clone())
            .collect()
    }

    /// Is this what a server may show of a document at a time, of all it holds?
    pub fn compare(&self, uri: &Uri, at: Timestamp, found: Option<&Head>) -> Result<(), String> {
        let expected = self.head(uri, at);
        let is_gone = |head: Option<&Head>| head.is_none_or(|head| head.state == State::Purged);
        if expected == found || (is_gone(expected) && is_gone(found)) {
            return Ok(());
        }
        Err(format!("{uri} at {at} is {}, and was {}", brief(found), brief(expected)))
    }

    /// The same, of a server that holds what is published.
    pub fn compare_live(&self, uri: &Uri, at: Timestamp, found: Option<&Head>) -> Result<(), String> {
        let expected = self.head(uri, at).and_then(|head| head.live);
        let live = found.and_then(|head| head.live);
        if expected == live {
            return Ok(());
        }
        let number = |of: Option<apograph::format::VersionRef>| of.map_or(0, |version| version.number);
        Err(format!("version {} of {uri} is live at {at}, and {} was", number(live), number(expected)))
    }

    /// Versions by who wrote them, where `secret_of` names what only they say; and those that were live once.
    pub fn secrets(&self, secret_of: impl Fn(&str, &Uri) -> String) -> Secrets {
        let mut secrets = Secrets::default();
        let base = self.epochs.last().map(|start| start.base);
        for (at, happened) in &self.by_time {
            for change in &happened.changes {
                // What was written before an epoch began may have been published in a history that it cut off.
                let is_known = base.is_none_or(|base| *at > base);
                secrets.take(change, &happened.comment, is_known, &secret_of);
            }
        }
        secrets
    }
}

fn brief(head: Option<&Head>) -> String {
    let number = |of: Option<apograph::format::VersionRef>| of.map_or(0, |version| version.number);
    head.map_or("not there".to_owned(), |head| {
        format!(
            "{}, working {}, live {}, changed at {}",
            head.state.as_str(),
            number(head.working),
            number(head.live),
            head.changed
        )
    })
}

/// What only certain versions say.
#[derive(Debug, Default)]
pub struct Secrets {
    by_version: BTreeMap<Hash, BTreeSet<String>>,
    by_uri: BTreeMap<Uri, OfDocument>,
    live: BTreeSet<String>,
    purged: BTreeSet<String>,
}

/// What is known of a document.
#[derive(Debug, Default)]
struct OfDocument {
    /// Its working version, and its live one.
    versions: BTreeSet<Hash>,
    secrets: BTreeSet<String>,
}

impl Secrets {
    fn take(
        &mut self,
        change: &Change,
        comment: &str,
        is_known: bool,
        secret_of: &impl Fn(&str, &Uri) -> String,
    ) {
        let secrets: BTreeSet<String> = match (change.operation, &change.counterpart) {
            (Operation::Put, _) => [secret_of(comment, &change.uri)].into(),
            // Its live version came along with its working one.
            (Operation::MoveHere, Some(counterpart)) => {
                let before = self.by_uri.get(counterpart).into_iter().flat_map(|of| &of.versions);
                before.filter_map(|id| self.by_version.get(id)).flatten().cloned().collect()
            }
            _ => BTreeSet::new(),
        };
        let of = self.by_uri.entry(change.uri.clone()).or_default();
        if change.operation == Operation::Purge {
            self.purged.append(&mut of.secrets);
        }
        of.secrets.extend(secrets.iter().cloned());
        for version in &change.versions {
            self.by_version.insert(version.id, secrets.clone());
        }
        // Whoever comes to the new URI looks at the old one.
        if change.operation != Operation::MoveAway {
            let versions = [change.head.working, change.head.live];
            of.versions = versions.into_iter().flatten().map(|version| version.id).collect();
        }
        if !is_known {
            self.live.extend(secrets);
        }
        if let Some(live) = change.head.live {
            self.live.extend(self.by_version.get(&live.id).into_iter().flatten().cloned());
        }
    }

    /// What was never published: no staging server has it.
    pub fn never_live(&self) -> BTreeSet<&str> {
        let all = self.by_version.values().flatten().map(String::as_str);
        all.filter(|secret| !self.live.contains(*secret)).collect()
    }

    /// What was purged, everywhere: nobody has it.
    pub fn purged(&self) -> BTreeSet<&str> {
        let kept: BTreeSet<&String> = self.by_uri.values().flat_map(|of| &of.secrets).collect();
        self.purged.iter().filter(|secret| !kept.contains(secret)).map(String::as_str).collect()
    }
}
