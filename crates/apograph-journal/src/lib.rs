//! The journal of one partition: an append-only chain of entries in segment files of one folder.
//!
//! - [`Journal`] is the one writer: append, sync, acknowledge, cut, retire, erase.
//! - [`JournalReader`] reads what was synced, concurrently with the writer; [`Entries`] follows it.
//! - [`verify`](fn@verify) and [`list`](fn@list) work on a folder that nobody has open, or that somebody has.
//!
//! What never happens here: nothing is shown to a reader before it is durable; nothing but a torn tail is ever cut;
//! nothing unchecked is returned; reading, listing and verifying never write. No threads, no async, no clock.
//! Files and byte tables: `docs/formats/journal.md`.

mod acknowledged;
mod disk;
mod entries;
mod erasing;
mod error;
mod folder;
mod inspect;
mod journal;
mod list;
mod locate;
mod options;
mod reader;
mod seek;
mod segment;
mod shared;
mod tail;
mod torn;
mod verify;
mod walk;

#[cfg(test)]
extern crate self as apograph_journal;
#[cfg(test)]
mod tests;

pub use entries::{Entries, ReadError};
pub use error::{Damage, DamageReason, IoFailure};
pub use inspect::{Recovery, TornTail};
pub use journal::Journal;
pub use journal::append::AppendError;
pub use journal::cut::CutError;
pub use journal::erase::{EraseError, Erased};
pub use journal::open::{CreateError, OpenError};
pub use journal::retire::{Retention, RetireError};
pub use journal::sync::{AcknowledgeError, SyncError};
pub use list::list;
pub use locate::LocateError;
pub use options::{Beginning, Identity, Options};
pub use reader::{JournalReader, Subscription};
pub use shared::SegmentSummary;
pub use verify::{Progress, Report, VerifyError, verify};
