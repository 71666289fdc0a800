//! Decisions of copies without I/O, clock or randomness: follow, synchronize, views, order, lag, backoff.

pub mod acknowledged;
pub mod backoff;
pub mod batch;
pub mod carrier;
pub mod epochs;
pub mod forecast;
pub mod lag;
pub mod lag_limit;
pub mod link;
pub mod order;
pub mod published;
pub mod switchover;
pub mod sync;
pub mod throttle;
pub mod versions;
