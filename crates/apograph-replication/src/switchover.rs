//! A switchover: two state machines, one at the primary that gives its role ([`Giving`]) and one at the copy that takes it
//! ([`Taking`]).
//!
//! ```text
//! primary   called ─▶ behind ─▶ holding ─▶ given ─▶ over          copy   ask ─▶ wait  ─▶ ask
//!              └──────────┴────────┴─▶ releasing ─▶ over                     ├─▶ reach ─▶ ask
//!                                                                            └─▶ begin
//! ```
//!
//! They have no clock, no sockets and no disk: whoever drives them says what happened and when, and does what comes out, in order.
//! `tests/switchover.transcript` is their specification.
//!
//! - Writes are held only for a copy that is near, and never longer than [`HOLD_MAX`] without a word of it.
//! - The role is given only while writes are held and both end at the same places; who gives it has stepped down, durably, before
//!   it says so.
//! - Whatever happens, it comes to an end: given, or the primary is who it was and writes go on.

mod giving;
mod taking;
mod target;

use std::time::Duration;

use apograph_format::Position;

pub use giving::{Act, End, Event, Failure, Giving, State};
pub use taking::{Answer, Step, Taking};
pub use target::{Candidate, TargetRefusal, target};

/// Entries that a copy may lack when writes are held for it: it takes them in well under a second.
pub const NEAR_ENTRIES: u64 = 2_000;
/// Writes are held at most so long without a word of the copy.
pub const HOLD_MAX: Duration = Duration::from_secs(5);
/// A switchover is given up after so long, if nothing else is said.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that may be said: whoever asked waits for the answer.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(50);
/// How long a copy tries; a primary gives up before.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between questions while a copy is far behind.
pub const BEHIND_PAUSE: Duration = Duration::from_millis(100);
/// A primary that holds its writes is asked again after so long, so that it knows that somebody still wants the role.
pub const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How many entries a copy that ends `there` lacks of what is `here`; `None` if they have not the same partitions.
pub fn lacks(here: &[Position], there: &[Position]) -> Option<u64> {
    let pairs = here.iter().zip(there);
    let lacks = pairs.map(|(here, there)| here.sequence.saturating_sub(there.sequence)).sum();
    (here.len() == there.len()).then_some(lacks)
}
