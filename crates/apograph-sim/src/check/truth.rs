//! What happened, as the journals of the primaries say, replayed: the order of all transactions, and what each left.

use std::collections::{BTreeMap, BTreeSet};

use apograph::database::roles::EpochStart;
use apograph::format::{
    Change, Entry, EntryKind, Epoch, Facts, Hash, Head, Operation, Participants, PartitionId, Position,
    State, Timestamp, Uri,
};

/// A transaction.
#[derive(Debug, Clone, Default)]
pub struct Happened {
    /// In which epoch.
    pub epoch: Epoch,
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
    pub fn is_cut(&self, epoch: Epoch, at: Timestamp) -> bool {
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

    /// Versions by who wrote them, where `marks_of` names what is found wherever they are; and those that were live once.
    pub fn secrets(&self, marks_of: impl Fn(&str, &Uri) -> BTreeSet<String>) -> Secrets {
        let mut secrets = Secrets::default();
        let base = self.epochs.last().map(|start| start.base);
        for (at, happened) in &self.by_time {
            for change in &happened.changes {
                // What was written before an epoch began may have been published in a history that it cut off.
                let is_known = base.is_none_or(|base| *at > base);
                secrets.take(change, &happened.comment, is_known, &marks_of);
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
        marks_of: &impl Fn(&str, &Uri) -> BTreeSet<String>,
    ) {
        let secrets: BTreeSet<String> = match (change.operation, &change.counterpart) {
            (Operation::Put, _) => marks_of(comment, &change.uri),
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

#[cfg(test)]
pub(super) mod tests {
    use apograph::format::{EntryHeader, Kind, TransactionFacts, VersionRef};

    use super::*;

    pub(in crate::check) fn uri(text: &str) -> Uri {
        Uri::parse(text).unwrap()
    }

    /// The version of this number, live or not.
    pub(in crate::check) fn change(at: &str, operation: Operation, number: u64, is_live: bool) -> Change {
        let version = VersionRef { number, id: Hash::of(format!("{at} {number}").as_bytes()) };
        let is_gone = operation == Operation::Purge;
        let state = match operation {
            Operation::Purge => State::Purged,
            _ if is_live => State::Published,
            _ => State::Working,
        };
        let head = Head {
            kind: Kind::Document,
            state,
            working: Some(version).filter(|_| !is_gone),
            live: Some(version).filter(|_| is_live && !is_gone),
            lock: None,
            history: Head::NO_HISTORY,
            versions: number,
            moved_to: None,
            changed: Timestamp(number),
            r#type: String::new(),
            ever_live: is_live,
        };
        let versions = Some(version).filter(|_| operation == Operation::Put).into_iter().collect();
        Change {
            operation,
            uri: uri(at),
            head,
            versions,
            erased: Vec::new(),
            counterpart: None,
            was_live: false,
        }
    }

    fn entry(partition: u16, timestamp: u64, participants: u64, changes: Vec<Change>) -> Entry {
        let facts = Facts::Transaction(TransactionFacts { changes, ..TransactionFacts::default() });
        let header = EntryHeader {
            kind: EntryKind::Transaction,
            starts_segment: false,
            facts_bytes: 0,
            payloads: 0,
            payloads_bytes: 0,
            epoch: Epoch::FIRST,
            sequence: timestamp,
            timestamp: Timestamp(timestamp),
            previous_timestamp: Timestamp(timestamp - 1),
            synced: 0,
            participants: Participants(participants),
            partition: PartitionId(partition),
            previous_hash: Hash([0; 32]),
            hash: Hash([0; 32]),
        };
        Entry::seal(header, &facts.encode(), &[])
    }

    /// What happened, of comments and changes.
    pub(in crate::check) fn truth(happened: &[(u64, &str, Vec<Change>)]) -> Truth {
        let mut truth = Truth::default();
        for (at, comment, changes) in happened {
            let one = Happened {
                epoch: Epoch::FIRST,
                comment: (*comment).to_owned(),
                changes: changes.clone(),
                ..Happened::default()
            };
            truth.by_time.insert(Timestamp(*at), one);
        }
        truth.visible = Timestamp(u64::MAX);
        truth
    }

    #[test]
    fn a_whole_transaction_is_well_and_half_of_one_is_found() {
        let mut truth = Truth::default();
        truth.take(PartitionId(0), &entry(0, 5, 3, Vec::new())).unwrap();
        assert!(truth.reached(Timestamp(4)).is_ok(), "it is not visible");
        assert_eq!(truth.reached(Timestamp(5)).unwrap_err(), "half of the transaction at 5 is visible");
        truth.take(PartitionId(1), &entry(1, 5, 3, Vec::new())).unwrap();
        truth.reached(Timestamp(5)).unwrap();
    }

    #[test]
    fn a_timestamp_that_is_used_twice_is_found() {
        let mut truth = Truth::default();
        truth.take(PartitionId(0), &entry(0, 5, 1, Vec::new())).unwrap();
        assert!(truth.take(PartitionId(0), &entry(0, 5, 1, Vec::new())).unwrap_err().contains("two entries"));
        assert!(
            truth.take(PartitionId(1), &entry(1, 5, 2, Vec::new())).unwrap_err().contains("two transactions")
        );
    }

    #[test]
    fn a_read_of_another_time_is_found() {
        let (first, second) = (change("/a", Operation::Put, 1, false), change("/a", Operation::Put, 2, true));
        let truth = truth(&[(5, "", vec![first.clone()]), (9, "", vec![second.clone()])]);
        let of = |at, found: Option<&Head>| truth.compare(&uri("/a"), Timestamp(at), found).is_ok();
        assert!(
            of(4, None) && of(5, Some(&first.head)) && of(8, Some(&first.head)) && of(9, Some(&second.head))
        );
        assert!(!of(4, Some(&first.head)), "too early");
        assert!(!of(5, None), "missing");
        assert!(!of(8, Some(&second.head)), "of the future");
        assert!(!of(9, Some(&first.head)), "stale");
        let live = |at, found: Option<&Head>| truth.compare_live(&uri("/a"), Timestamp(at), found).is_ok();
        assert!(live(5, None) && live(9, Some(&second.head)));
        assert!(!live(9, None), "not shown");
        assert!(!live(5, Some(&second.head)), "shown too early");
    }

    #[test]
    fn what_an_epoch_cut_off_did_not_happen() {
        let first = change("/a", Operation::Put, 1, false);
        let mut truth =
            truth(&[(5, "", vec![first.clone()]), (9, "", vec![change("/a", Operation::Put, 2, false)])]);
        let primary = apograph::status::ServerIdentity {
            name: "b".to_owned(),
            key: apograph::format::ServerKey([0; 32]),
            url: None,
        };
        truth.begin(EpochStart { epoch: Epoch::plain(2), previous: None, base: Timestamp(7), primary });
        assert_eq!(truth.head(&uri("/a"), Timestamp(9)), Some(&first.head));
        assert!(
            truth.is_cut(Epoch::FIRST, Timestamp(8))
                && !truth.is_cut(Epoch::FIRST, Timestamp(7))
                && !truth.is_cut(Epoch::plain(2), Timestamp(8))
        );
    }

    #[test]
    fn drafts_and_purged_texts_are_known_by_their_secrets() {
        let secret = |comment: &str, uri: &Uri| [format!("{comment} {uri}")].into();
        let mut moved = change("/b", Operation::MoveHere, 1, false);
        moved.counterpart = Some(uri("/a"));
        moved.versions = moved.head.working.into_iter().collect();
        let truth = truth(&[
            (1, "draft", vec![change("/a", Operation::Put, 1, false)]),
            (2, "published", vec![change("/c", Operation::Put, 1, true)]),
            (3, "moved", vec![moved]),
            (4, "gone", vec![change("/d", Operation::Put, 1, true)]),
            (5, "purge", vec![change("/d", Operation::Purge, 1, false)]),
            (6, "purge", vec![change("/a", Operation::Purge, 1, false)]),
        ]);
        let secrets = truth.secrets(secret);
        assert_eq!(secrets.never_live(), ["draft /a"].into());
        assert_eq!(secrets.purged(), ["gone /d"].into(), "what was moved away is still at its new place");
    }
}
