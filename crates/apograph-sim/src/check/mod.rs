//! Judges of a run: what was promised, and what is there.
//!
//! None of them asks the code that it judges: [`truth`] is what the journal of the primary says, replayed by its own few
//! lines, and [`history`] is what clients and operators were told.

pub mod history;
pub mod truth;
