//! Looks for faults in Apograph before others find them. Nothing of it ships.
//!
//! - [`world`]: a simulation. Servers as they are, on disks, lines and clocks that a seed decides about.
//! - [`crash`]: the power is cut at every operation of a script.
//! - [`damage`]: files are altered, cut off, lost and confused, and what a server then says is looked at.
//! - [`processes`]: servers as processes, while networks, disks and processes fail.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a run fails by panicking"
)]

pub mod check;
pub mod crash;
#[cfg(test)]
mod cuts;
pub mod damage;
pub mod disk;
pub mod os;
pub mod processes;
pub mod random;
pub mod run;
mod scene;
mod script;
pub mod soak;
pub mod world;
