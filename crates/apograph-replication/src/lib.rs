//! Decisions of copies without I/O, clock or randomness: follow, views, order, lag, backoff.
