//! Looks for faults in Apograph by enumerating what can go wrong.
//!
//! - [`disk`] is a file system that writes down what is done to it, and says afterwards what a power cut at any moment could
//!   have left.
//! - [`crash`] runs a script on servers whose data is on such a disk, cuts the power at every operation, and checks what
//!   comes up again.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "whatever is unexpected here is a fault that was looked for: it ends the run with its place"
)]

pub mod crash;
pub mod disk;
