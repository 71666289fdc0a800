//! Retention: deleting the oldest segments.

use std::time::Duration;

use apograph_format::Timestamp;

use crate::acknowledged::Record;
use crate::error::IoFailure;
use crate::journal::Journal;
use crate::shared::{SegmentSummary, Slot, State};

/// What has to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The oldest segment goes while all files together are larger than this.
    pub bytes_max: u64,
    /// It also goes when all of it is older than this.
    pub age_max: Option<Duration>,
    /// The time now, for `age_max`.
    pub now: Timestamp,
    /// Entries beyond this sequence are needed, whatever the budget says: the store would replay them.
    pub not_beyond: u64,
}

/// Why segments could not be deleted. Those that are left follow each other without a gap.
#[derive(Debug, Clone, thiserror::Error)]
#[error("retention failed")]
pub struct RetireError(#[from] pub IoFailure);

impl Journal {
    /// Deletes the oldest closed segments as far as `retention` wants and allows; never the open one, never
    /// entries that are not acknowledged. Answers what is gone, oldest first. Durable on return.
    pub fn retire(&mut self, retention: &Retention) -> Result<Vec<SegmentSummary>, RetireError> {
        let acknowledged = self.acknowledged.record.position.sequence;
        let going = going(&self.shared.state(), retention, acknowledged);
        let Some(last) = going.last() else {
            return Ok(Vec::new());
        };
        let bytes_before = self.bytes_before + going.iter().map(Slot::entry_bytes).sum::<u64>();
        let record = Record { kept_after: last.last, bytes_before, ..self.acknowledged.record };
        // Both slots, before the first file goes: whichever is read, it does not miss what is deleted.
        self.acknowledged.write(&self.disk, record)?;
        self.acknowledged.write(&self.disk, record)?;
        self.acknowledged.sync(&self.disk)?;
        self.bytes_before = bytes_before;
        self.shared.state().slots.drain(..going.len());
        for slot in &going {
            self.disk.remove(&slot.segment.path())?;
        }
        self.disk.sync_folder(&self.dir)?;
        Ok(going.iter().map(Slot::summary).collect())
    }

    /// Is something kept beyond the budget only because the store would replay it? Writing the store out lets it go.
    pub fn is_held_back(&self, retention: &Retention) -> bool {
        let acknowledged = self.acknowledged.record.position.sequence;
        let state = self.shared.state();
        let unheld = Retention { not_beyond: u64::MAX, ..*retention };
        going(&state, &unheld, acknowledged).len() > going(&state, retention, acknowledged).len()
    }
}

fn going(state: &State, retention: &Retention, acknowledged: u64) -> Vec<Slot> {
    let mut bytes: u64 = state.slots.iter().map(|slot| slot.bytes).sum();
    let mut going = Vec::new();
    for slot in state.slots.iter().filter(|slot| !slot.open) {
        let age = Duration::from_micros(retention.now.0.saturating_sub(slot.last_timestamp.0));
        let wanted = bytes > retention.bytes_max || retention.age_max.is_some_and(|age_max| age > age_max);
        if !wanted || slot.last > retention.not_beyond.min(acknowledged) {
            break;
        }
        bytes -= slot.bytes;
        going.push(slot.clone());
    }
    going
}
