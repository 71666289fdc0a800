//! A copy of this copy needs something newer than all that is here, or more room below it: this server's source is asked for a
//! snapshot as that copy asked, and that one's source, up to the primary, which writes a checkpoint that is newer. What it
//! answers is of no use here; the checkpoint comes as all entries do, and the copy asks again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use apograph::Database;
use apograph_client::types::SnapshotRequest;
use apograph_format::Timestamp;
use tokio::time::timeout;

use super::{greet, source};
use crate::app::App;
use crate::limits::SOURCE_TIMEOUT;

/// The source is asked for each database once in so long, however many copies ask.
const GAP: Duration = Duration::from_secs(1);

/// When sources were asked.
#[derive(Debug, Default)]
pub(crate) struct Newer {
    asked: Mutex<BTreeMap<String, Instant>>,
}

impl Newer {
    /// Is it time to ask the source of a database?
    fn is_due(&self, database: &str) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = asked.get(database).is_none_or(|at| at.elapsed() >= GAP);
        if is_due {
            asked.insert(database.to_owned(), Instant::now());
        }
        is_due
    }
}

/// Asks the source of `database` for something newer than `above`, with room. Nobody waits for it.
pub(crate) fn ask_for_newer(app: &App, database: Database, above: Timestamp) {
    let Some(source) = source::source_of(app, database.name()) else { return };
    if !app.newer.is_due(database.name()) {
        return;
    }
    let asking = app.clone();
    app.tasks.spawn(async move {
        let there = source.database.clone().unwrap_or_else(|| database.name().to_owned());
        let asked = SnapshotRequest { view: database.view(), above, at: None };
        let answer = async {
            let client = greet::client(asking.folder.path(), &source).map_err(|refusal| refusal.detail)?;
            client.snapshot(&there, &asked).await.map_err(|error| error.to_string())
        };
        tokio::select! {
            answered = timeout(SOURCE_TIMEOUT, answer) => if let Ok(Err(reason)) = answered {
                tracing::debug!(database = database.name(), reason, "the source has nothing newer");
            },
            () = asking.shutdown.cancelled() => {}
        }
    });
}
