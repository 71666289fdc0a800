//! Links of copies: a worker for every database that follows a source, and a board that shows how all links stand.
//!
//! What to do next is decided in `apograph_replication::link`; here it is done. A role may change at any time: each
//! database has a supervisor, which begins and ends what its role needs.

mod acknowledge;
mod board;
mod control;
mod follow;
pub(crate) mod greet;
mod herald;
mod newer;
mod order;
mod report;
mod request_file;
mod shown;
mod source;
mod synchronize;
mod takeover;
mod throttle;
mod window;
mod worker;

pub(crate) use board::Board;
pub(crate) use greet::who_is;
pub(crate) use newer::{Newer, ask_for_newer};
pub(crate) use order::{Order, Orders, Wanted};
pub(crate) use source::follow;
pub(crate) use window::Windows;

use crate::app::App;
use apograph::Role;

/// Starts the links of all databases of this server.
pub(crate) fn start(app: &App) {
    for (name, settings) in &app.folder.settings().databases {
        app.tasks.spawn(supervise(app.clone(), name.clone(), settings.role));
    }
}

/// Runs what the role of a database needs, until the server stops.
async fn supervise(app: App, name: String, at_first: Role) {
    let mut changes = app.roles.subscribe();
    let shutdown = app.shutdown.clone();
    while !shutdown.is_cancelled() {
        changes.borrow_and_update();
        let heard = changes.clone();
        let database = app.database(&name).ok();
        let role = database.as_ref().map_or(at_first, |database| database.role());
        let source = source::source_of(&app, &name);
        let run = async {
            match (role, source, database) {
                (Role::Primary, source, database) => {
                    app.orders.forget(&name);
                    app.board.forget(&name);
                    if let (Some(source), Some(database)) = (source, database) {
                        herald::tell(app.clone(), database, source).await;
                    }
                    std::future::pending().await
                }
                (Role::Replica | Role::Staging, Some(source), _) => {
                    let orders = app.orders.register(&name);
                    worker::Worker::new(app.clone(), &name, role, source, orders).run(heard).await;
                }
                (Role::Replica | Role::Staging, None, _) => {
                    tracing::warn!(database = %name, "a copy without a source follows nothing");
                    std::future::pending().await
                }
            }
        };
        if matches!(role, Role::Primary) || source::source_of(&app, &name).is_none() {
            tokio::select! {
                () = run => {}
                _ = changes.changed() => {}
                () = shutdown.cancelled() => return,
            }
        } else {
            // The worker ends by itself: what it began must come to an end first.
            run.await;
        }
    }
}
