//! Apograph over HTTP: routes, tokens, problems, streams.
//!
//! [`serve()`] runs a server on a data folder. Every route stands in one table with the roles that may use it
//! ([`routes::decisions`]); every refusal is a problem with a stable code ([`problem::Code`]); every limit stands in
//! [`limits`]. Several servers may run in one process: there is no global state.

pub mod hold;
pub mod limits;
mod pace;
pub mod problem;
pub mod routes;
pub mod serve;
pub mod tokens;

mod app;
mod backstage;
mod backups;
mod clock;
mod durability;
mod lag_limits;
mod links;
mod metrics;
mod request;
mod roles;
mod stream;

pub use apograph_replication::versions::{Release, Versions};
pub use serve::{ServeError, ServeOptions, serve};
