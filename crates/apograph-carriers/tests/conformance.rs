//! Every carrier passes the same checks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod web;

use apograph_carriers::conformance;
use apograph_carriers::memory::Memory;

#[tokio::test]
async fn memory() {
    conformance::all(async || Memory::default()).await;
}

#[tokio::test]
async fn stream() {
    conformance::all(web::WebSource::start).await;
}
