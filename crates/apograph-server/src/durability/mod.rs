//! Writes that are answered only when other servers have them on disk.
//!
//! A write is committed here as always; nothing of this file touches the committer. Then its answer waits, as a task of
//! its own, until enough full copies acknowledged its time ([`Copies`]), or until it knows that it waits in vain
//! ([`Waiter`]).

mod copies;
mod waiter;
mod wanted;

pub(crate) use copies::{Copies, Word};
pub(crate) use waiter::Waiter;
pub(crate) use wanted::Wanted;
