//! How far behind a copy is: separate numbers, unknown until known.

use std::collections::BTreeMap;

use apograph_format::{Heartbeat, PartitionId, Position, Timestamp};

/// How far behind a copy is. `None` is *not known yet*, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// Entries of the source's journals that are not applied here, over all partitions.
    pub entries: Option<u64>,
    /// Bytes of the source's journals that are not applied here. Not known of a derived view that is behind.
    pub bytes: Option<u64>,
    /// Age of the oldest transaction known of and not applied, in microseconds; zero when nothing is missing.
    pub oldest_unapplied_us: Option<u64>,
    /// When the source was last heard, microseconds since 1970.
    pub last_contact: Option<i64>,
    /// When the source last proved that nothing was missing here: a signed heartbeat or checkpoint that this copy
    /// had reached, microseconds since 1970.
    pub last_proof: Option<i64>,
}

/// Where a copy is, in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Which partition.
    pub partition: PartitionId,
    /// The last entry applied; of a derived view the source entry that it stands for.
    pub applied: Position,
    /// Entry bytes ever appended; `None` for a derived view, whose bytes are not those of the source.
    pub bytes: Option<u64>,
}

/// Collects what is heard from a source, and compares it with where the copy is.
#[derive(Debug, Clone, Default)]
pub struct LagMeter {
    heartbeats: BTreeMap<PartitionId, Heard>,
    pending: Option<Timestamp>,
    newest: Timestamp,
    last_contact: Option<i64>,
    last_proof: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    visible: Timestamp,
    end: Position,
    bytes: u64,
}

impl LagMeter {
    /// Anything at all came from the source.
    pub fn heard(&mut self, now_us: i64) {
        self.last_contact = Some(now_us);
    }

    /// An entry of this commit time came, and waits to be applied.
    pub fn entry(&mut self, timestamp: Timestamp) {
        self.pending = Some(self.pending.map_or(timestamp, |pending| pending.min(timestamp)));
        self.newest = self.newest.max(timestamp);
    }

    /// A heartbeat came whose signature was found good, when the copy could show everything up to `visible`.
    pub fn heartbeat(
        &mut self,
        partition: PartitionId,
        heartbeat: &Heartbeat,
        visible: Timestamp,
        now_us: i64,
    ) {
        let heard = Heard { visible: heartbeat.visible, end: heartbeat.end, bytes: heartbeat.bytes };
        self.heartbeats.insert(partition, heard);
        if heartbeat.visible <= visible {
            self.last_proof = Some(now_us);
        } else {
            self.entry(heartbeat.visible);
        }
    }

    /// The numbers, for a copy that can show everything up to `visible`.
    pub fn measure(&mut self, own: &[Own], visible: Timestamp, now_us: i64) -> Lag {
        if self.pending.is_some_and(|pending| pending <= visible) {
            self.pending = (self.newest > visible).then_some(self.newest);
        }
        let known = !own.is_empty() && own.iter().all(|own| self.heartbeats.contains_key(&own.partition));
        let distances = |of: fn(&Own, &Heard, bool) -> Option<u64>| {
            let each = own.iter().map(|own| {
                let heard = self.heartbeats.get(&own.partition)?;
                of(own, heard, visible >= heard.visible)
            });
            each.sum::<Option<u64>>().filter(|_| known)
        };
        let age = |since: Timestamp| u64::try_from(now_us).unwrap_or(0).saturating_sub(since.0);
        Lag {
            entries: distances(entries_behind),
            bytes: distances(bytes_behind),
            oldest_unapplied_us: self.pending.map(age).or(known.then_some(0)),
            last_contact: self.last_contact,
            last_proof: self.last_proof,
        }
    }
}

fn entries_behind(own: &Own, heard: &Heard, reached: bool) -> Option<u64> {
    // A derived view gets no entry for what it may not see: its timestamp tells that it has everything.
    if reached { Some(0) } else { Some(heard.end.sequence.saturating_sub(own.applied.sequence)) }
}

fn bytes_behind(own: &Own, heard: &Heard, reached: bool) -> Option<u64> {
    if reached { Some(0) } else { own.bytes.map(|bytes| heard.bytes.saturating_sub(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apograph_format::{Hash, ServerKey};

    fn heartbeat(visible: u64, sequence: u64, bytes: u64) -> Heartbeat {
        let end = Position { epoch: apograph_format::Epoch::FIRST, sequence, hash: Hash([7; 32]) };
        let (signer, signature) = (ServerKey([0; 32]), [0; 64]);
        Heartbeat { visible: Timestamp(visible), end, bytes, clock: 0, signer, signature, sent: None }
    }

    fn own(partition: u16, sequence: u64, bytes: Option<u64>) -> Own {
        let applied = Position { epoch: apograph_format::Epoch::FIRST, sequence, hash: Hash([7; 32]) };
        Own { partition: PartitionId(partition), applied, bytes }
    }

    #[test]
    fn nothing_is_known_before_every_partition_was_heard() {
        let mut meter = LagMeter::default();
        let own = [own(0, 0, Some(0)), own(1, 0, Some(0))];
        assert_eq!(meter.measure(&own, Timestamp(0), 10), Lag::default());
        meter.heard(5);
        meter.heartbeat(PartitionId(0), &heartbeat(0, 0, 0), Timestamp(0), 5);
        let lag = meter.measure(&own, Timestamp(0), 10);
        assert_eq!((lag.entries, lag.bytes, lag.oldest_unapplied_us), (None, None, None));
        assert_eq!(lag.last_contact, Some(5));
    }

    #[test]
    fn the_age_is_that_of_the_oldest_unapplied_transaction() {
        let mut meter = LagMeter::default();
        meter.entry(Timestamp(100));
        meter.entry(Timestamp(300));
        meter.heartbeat(PartitionId(0), &heartbeat(900, 9, 90), Timestamp(50), 1000);
        let lag = meter.measure(&[own(0, 2, Some(20))], Timestamp(50), 1000);
        assert_eq!((lag.entries, lag.bytes, lag.oldest_unapplied_us), (Some(7), Some(70), Some(900)));
        assert_eq!(lag.last_proof, None);
        let lag = meter.measure(&[own(0, 5, Some(50))], Timestamp(300), 1000);
        assert_eq!(lag.oldest_unapplied_us, Some(100), "the heartbeat spoke of a transaction at 900");
        let lag = meter.measure(&[own(0, 9, Some(90))], Timestamp(900), 2000);
        assert_eq!((lag.entries, lag.bytes, lag.oldest_unapplied_us), (Some(0), Some(0), Some(0)));
    }

    #[test]
    fn a_derived_view_that_reached_the_timestamp_lacks_nothing() {
        let mut meter = LagMeter::default();
        meter.heartbeat(PartitionId(0), &heartbeat(900, 9, 90), Timestamp(900), 1000);
        let lag = meter.measure(&[own(0, 2, None)], Timestamp(900), 1000);
        assert_eq!((lag.entries, lag.bytes, lag.last_proof), (Some(0), Some(0), Some(1000)));
        let lag = meter.measure(&[own(0, 2, None)], Timestamp(800), 1000);
        assert_eq!((lag.entries, lag.bytes), (Some(7), None));
    }
}
