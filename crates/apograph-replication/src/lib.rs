//! Decisions of copies without I/O, clock or randomness: follow, views, order, lag, backoff.

pub mod backoff;
pub mod carrier;
pub mod lag;
pub mod link;

pub mod order;
pub mod published;
