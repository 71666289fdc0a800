//! The wait of an answer for replicas.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use apograph::database::Fate;
use apograph::{Database, Role};
use apograph_client::types::{DurabilityAnswer, DurabilityMissed};
use apograph_format::{Durability, Epoch, ServerKey, Token};

use super::Wanted;
use crate::app::App;
use crate::problem::{Answer, Code, Refused};

/// How often a waiter looks whether the server is primary still: news of that come rarely.
const LOOK: Duration = Duration::from_millis(250);

/// Waits for replicas on behalf of one request.
pub(crate) struct Waiter {
    app: App,
    database: Database,
    wanted: Wanted,
    /// A place among those who wait. Taken before anything is committed: who finds none is told so, and nothing is done.
    _place: Option<OwnedSemaphorePermit>,
}

impl Waiter {
    /// Prepares to wait as wanted; refused when too many do.
    pub(crate) fn new(app: &App, database: &Database, wanted: Wanted) -> Answer<Waiter> {
        let place = match wanted.durability {
            Durability::Local => None,
            Durability::Replicas(_) => {
                let place = app.copies.place();
                let full = || Code::Busy.because("too many writes wait for replicas");
                app.copies.want(database.name());
                Some(place.ok_or_else(full)?)
            }
        };
        Ok(Waiter { app: app.clone(), database: database.clone(), wanted, _place: place })
    }

    /// Waits until a committed write is as durable as wanted, or no longer than since it was `submitted`. `None`: nothing
    /// but `local` was wanted. Refused only if the write is known not to be part of the history any more.
    pub(crate) async fn wait(&self, token: Token, submitted: Instant) -> Answer<Option<DurabilityAnswer>> {
        let replicas = match self.wanted.durability {
            Durability::Local => return Ok(None),
            asked @ Durability::Replicas(_) => asked.replicas(),
        };
        let name = self.database.name();
        self.app.copies.want(name);
        let begun = Instant::now();
        let deadline = submitted + self.wanted.within;
        let mut changes = self.app.copies.subscribe();
        loop {
            changes.borrow_and_update();
            // First the role, then who has it: whoever took the role over acknowledged before.
            let is_primary = self.database.role() == Role::Primary && self.database.fenced().is_none();
            let reached = self.reached(token)?;
            let missed = if reached.len() >= replicas {
                None
            } else if !is_primary {
                Some(DurabilityMissed::RoleMoved)
            } else if self.app.shutdown.is_cancelled() {
                Some(DurabilityMissed::ShuttingDown)
            } else if Instant::now() >= deadline {
                Some(DurabilityMissed::Deadline)
            } else {
                tokio::select! {
                    _ = changes.changed() => {}
                    () = tokio::time::sleep_until(deadline.min(Instant::now() + LOOK)) => {}
                    () = self.app.shutdown.cancelled() => {}
                }
                continue;
            };
            self.app.metrics.waited(missed.is_none());
            let mut names: Vec<String> = reached.values().cloned().collect();
            names.sort();
            return Ok(Some(DurabilityAnswer {
                asked: self.wanted.durability,
                reached: Durability::of(reached.len().min(replicas)),
                replicas: names,
                waited_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                missed,
            }));
        }
    }

    /// Who has it for certain. Who became primary with it has it, whether or not it still acknowledges.
    fn reached(&self, token: Token) -> Answer<BTreeMap<ServerKey, String>> {
        let mut reached = self.app.copies.reached(self.database.name(), token);
        match self.database.fate(token) {
            Fate::Kept { by } => reached.extend(by.into_iter().map(|server| (server.key, server.name))),
            Fate::CutOff { epoch, primary } => return Err(cut_off(token, epoch, &primary.name, primary.url)),
        }
        Ok(reached)
    }
}

fn cut_off(token: Token, epoch: Epoch, primary: &str, url: Option<String>) -> Refused {
    let detail = format!(
        "it was committed here as {token}, and {primary} began epoch {epoch} without it: it is kept here as an orphan"
    );
    Code::CutOff
        .because(detail)
        .with("token", token.to_string())
        .with("epoch", epoch.to_string())
        .with_some("primary_url", url)
}
