//! Commands that have a file of their own.

mod processes;
mod soak;

pub(crate) use processes::Processes;
pub(crate) use soak::Soak;
