//! HTTP of Apograph: requests and answers as types ([`types`]), and a [`Client`] that speaks them.
//!
//! The server builds its answers from the same types, so both sides agree by construction. Requests refuse unknown
//! fields; answers take them, so that an older client reads a newer server.

pub mod client;
pub mod header;
pub mod media_type;
pub mod together;
pub mod types;
pub mod why;

/// The values that requests and answers are made of.
pub use apograph_format as format;
pub use client::{Client, ClientError, ClientSettings, Secret};
