//! Commands that have a file of their own.

mod crash_points;
mod processes;
mod soak;

pub(crate) use crash_points::CrashPoints;
pub(crate) use processes::Processes;
pub(crate) use soak::Soak;
