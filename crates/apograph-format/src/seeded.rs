//! Deliberate faults, to see that whoever looks for faults finds them.
//!
//! Without the feature `seeded-bugs`, which only `apograph-sim` asks for, and only when it is told to, there are none:
//! [`is`] is the constant `false` then.

/// A fault that can be put into this software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seeded {
    /// Entries are acknowledged that no sync made durable.
    SyncLeftOut,
    /// A sync that failed is taken for one that did not.
    SyncFailureIgnored,
    /// The names of new segments are not synced.
    FolderSyncLeftOut,
    /// A transaction is shown when a part of it is there.
    PartsNotAwaited,
    /// Transactions are shown in another order than that of their timestamps.
    OrderNotKept,
    /// A transaction does not say that one of its partitions takes part.
    ParticipantDropped,
    /// A timestamp is what the clock says, wherever the last one was.
    ClockBelieved,
    /// What a power cut left of a transaction is not cut off.
    TailNotCut,
    /// What the disk refused stays in the journal.
    RefusedKept,
    /// A staging server is sent what was not published.
    DraftLeaked,
    /// Purged bytes stay in the journals.
    PurgeForgotten,
    /// A primary that heard of a later epoch goes on.
    FenceIgnored,
    /// What arrives, or is read from a journal, is not compared with its checksums.
    DamageTaken,
    /// A primary gives its role to a copy that lacks something.
    GivenTooEarly,
}

impl Seeded {
    /// All of them.
    pub const ALL: [Seeded; 14] = [
        Seeded::SyncLeftOut,
        Seeded::SyncFailureIgnored,
        Seeded::FolderSyncLeftOut,
        Seeded::PartsNotAwaited,
        Seeded::OrderNotKept,
        Seeded::ParticipantDropped,
        Seeded::ClockBelieved,
        Seeded::TailNotCut,
        Seeded::RefusedKept,
        Seeded::DraftLeaked,
        Seeded::PurgeForgotten,
        Seeded::FenceIgnored,
        Seeded::DamageTaken,
        Seeded::GivenTooEarly,
    ];
}

/// Is this fault in the software that this thread runs?
#[cfg(not(feature = "seeded-bugs"))]
#[must_use]
#[inline(always)]
pub const fn is(_: Seeded) -> bool {
    false
}

#[cfg(feature = "seeded-bugs")]
pub use switch::{is, put};

#[cfg(feature = "seeded-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Seeded;

    thread_local! {
        static PUT: Cell<Option<Seeded>> = const { Cell::new(None) };
    }

    /// Is this fault in the software that this thread runs?
    #[must_use]
    pub fn is(fault: Seeded) -> bool {
        PUT.get() == Some(fault)
    }

    /// From here on what this thread runs has this fault, or none.
    pub fn put(fault: Option<Seeded>) {
        PUT.set(fault);
    }
}
