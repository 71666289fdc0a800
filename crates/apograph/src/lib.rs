//! The engine of Apograph, without HTTP: open a [`Folder`], open a [`Database`] in it, commit, read, follow.
//!
//! One worker thread per database owns journals and stores ([`Database`]). Edits on a primary and entries that arrive
//! at a copy take the same way there: append, sync, apply in timestamp order, publish the visible timestamp, answer.

pub mod backup;
pub mod database;
pub mod error;
pub mod evidence;
pub mod folder;
pub mod import;
pub mod read;
pub mod sealed;
pub mod settings;
pub mod spool;
pub mod status;
pub mod transaction;

mod priority;
mod role;

pub use apograph_format as format;
pub use apograph_journal as journal;
pub use database::open::OpenError;
pub use database::stages;
pub use database::synchronize;
pub use database::{
    ContentReader, Database, Export, Feed, Handshake, Import, ImportProgress, ImportRequest, Imported,
    PendingCommit,
};
pub use folder::Folder;
pub use priority::stand_back;
pub use role::Role;
pub use transaction::{Action, Committed, Operation, Transaction};
