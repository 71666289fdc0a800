//! Links of copies: a worker for every database that follows a source, and a board that shows how all links stand.
//!
//! What to do next is decided in `apograph_replication::link`; here it is done.

mod board;
mod control;
mod follow;
mod greet;
mod order;
mod report;
mod request_file;
mod shown;
mod synchronize;
mod throttle;
mod window;
mod worker;

pub(crate) use board::Board;
pub(crate) use order::{Order, Orders, Wanted};
pub(crate) use window::Windows;

use crate::app::App;
use apograph::Role;

/// Starts the links of all copies of this server.
pub(crate) fn start(app: &App) {
    for (name, settings) in &app.folder.settings().databases {
        match (settings.role, &settings.source) {
            (Role::Primary, _) => {}
            (Role::Replica | Role::Staging, Some(source)) => {
                let orders = app.orders.register(name);
                let worker = worker::Worker::new(app.clone(), name, settings.role, source.clone(), orders);
                app.tasks.spawn(worker.run());
            }
            (Role::Replica | Role::Staging, None) => {
                tracing::warn!(database = %name, "a copy without a source follows nothing");
            }
        }
    }
}
