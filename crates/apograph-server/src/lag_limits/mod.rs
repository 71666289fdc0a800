//! How far copies may be behind before writes wait for them or are refused.
//!
//! The limits of a database are kept in its folder ([`file`]); a keeper watches the copies of every primary and closes or
//! opens the database's gate ([`keeper`]). Limits of a server that is not the primary wait until it is.

mod file;
mod keeper;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use apograph::Database;
use apograph::database::GateMode;
use apograph::folder::FolderError;
use apograph_client::types::{GateView, LagLimit, LagLimitView, LagReaction};

use crate::app::App;
use crate::limits::LAG_LIMITS_MAX;

/// Limits of copies, and how they stand to them.
#[derive(Debug, Default)]
pub(crate) struct LagLimits {
    databases: Mutex<BTreeMap<String, Of>>,
    changes: watch::Sender<u64>,
}

/// Of one database, by the names of servers.
#[derive(Debug, Default, Clone)]
struct Of {
    limits: BTreeMap<String, LagLimit>,
    standing: BTreeMap<String, (LagReaction, String)>,
    /// The file is there and could not be understood.
    unreadable: Option<String>,
}

/// Why a limit was not set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LimitError {
    /// There are as many as may be.
    #[error("there are {LAG_LIMITS_MAX} limits already")]
    TooMany,
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// Starts the keepers.
pub(crate) fn start(app: &App) {
    for name in app.folder.settings().databases.keys() {
        app.tasks.spawn(keeper::run(app.clone(), name.clone()));
    }
}

impl LagLimits {
    /// Sets a limit, or takes it away. Durable on return. Blocks.
    pub(crate) fn set(
        &self,
        app: &App,
        database: &str,
        server: &str,
        limit: Option<LagLimit>,
    ) -> Result<(), LimitError> {
        let mut databases = self.locked();
        let of = databases.entry(database.to_owned()).or_default();
        let mut limits = of.limits.clone();
        match limit {
            Some(limit) => drop(limits.insert(server.to_owned(), limit)),
            None => drop(limits.remove(server)),
        }
        if limits.len() > LAG_LIMITS_MAX {
            return Err(LimitError::TooMany);
        }
        file::write(&app.folder.database_path(database), &limits)?;
        tracing::info!(database, server, limit = ?limits.get(server), "the lag limit of a copy changed");
        of.standing.retain(|server, _| limits.contains_key(server));
        (of.limits, of.unreadable) = (limits, None);
        drop(databases);
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// All limits of a database, and how its copies stand.
    pub(crate) fn list(&self, database: &str) -> Vec<LagLimitView> {
        let databases = self.locked();
        let Some(of) = databases.get(database) else { return Vec::new() };
        let view = |(server, limit): (&String, &LagLimit)| {
            let (now, reason) = of.standing.get(server).cloned().unzip();
            LagLimitView { server: server.clone(), limit: limit.clone(), now, reason }
        };
        of.limits.iter().map(view).collect()
    }

    /// What somebody should look at.
    pub(crate) fn alarm(&self, database: &str) -> Option<String> {
        let reason = self.locked().get(database)?.unreadable.clone()?;
        Some(format!("no copy has a lag limit, because they cannot be read: {reason}"))
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Of>> {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why writes of a database are kept back, if they are.
pub(crate) fn gate(database: &Database) -> Option<GateView> {
    let gate = database.gate()?;
    let action = match gate.mode {
        GateMode::Stall { .. } => LagReaction::Stall,
        GateMode::Reject => LagReaction::Reject,
    };
    let waiting = database.waiting_writes() as u64;
    Some(GateView { link: gate.link, reason: gate.reason, action, waiting })
}
