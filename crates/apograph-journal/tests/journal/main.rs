//! A journal as its users see it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod ahead;
mod cut;
mod damage;
mod erase;
mod fixture;
mod follow;
mod model;
mod open;
mod retire;
mod rotate;
mod seek;
mod support;
mod torn;
