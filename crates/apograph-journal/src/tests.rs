//! Tests that reach behind the public surface: a failing disk, and crashes between two writes.

pub(crate) mod faults;
