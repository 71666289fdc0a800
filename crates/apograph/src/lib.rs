//! The engine of Apograph, without HTTP: open a [`Folder`], open a [`Database`] in it, commit, read, follow.
//!
//! One worker thread per database owns journals and stores ([`Database`]). Edits on a primary and entries that arrive
//! at a copy take the same way there: append, sync, apply in timestamp order, publish the visible timestamp, answer.

pub mod error;
pub mod read;
pub mod spool;
pub mod status;
pub mod transaction;

mod role;

pub use role::Role;
pub use transaction::{Action, Committed, Operation, Transaction};
