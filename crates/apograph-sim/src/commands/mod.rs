//! Commands that have a file of their own.

mod soak;

pub(crate) use soak::Soak;
