//! Roles that change while the server runs: who waits for news of them, and which switchovers are under way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use apograph_format::ServerKey;

use crate::tokens::{self, TokenError, TokenRole, token_path};

/// Roles that change while the server runs.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    changes: watch::Sender<u64>,
    switchovers: Mutex<BTreeMap<String, Switchover>>,
}

/// A primary that is to give its role to a copy.
#[derive(Debug, Clone)]
pub(crate) struct Switchover {
    /// To whom.
    pub(crate) to: ServerKey,
    /// Given up then.
    pub(crate) until: Instant,
    /// The copy asked for the role.
    pub(crate) asked: bool,
    /// Since when writes are held.
    pub(crate) held: Option<Instant>,
}

/// A switchover under way.
pub(crate) struct UnderWay<'a> {
    roles: &'a Roles,
    database: &'a str,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.roles.locked().remove(self.database);
    }
}

impl Roles {
    /// A role, or whom a copy follows, changed: links look anew.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Begins a switchover; `false` while another one is under way.
    pub(crate) fn begin(&self, database: &str, to: ServerKey, until: Instant) -> bool {
        let mut switchovers = self.locked();
        if switchovers.contains_key(database) {
            return false;
        }
        let switchover = Switchover { to, until, asked: false, held: None };
        switchovers.insert(database.to_owned(), switchover);
        true
    }

    /// How the switchover of a database stands.
    pub(crate) fn switchover(&self, database: &str) -> Option<Switchover> {
        self.locked().get(database).cloned()
    }

    /// The switchover to this server, if that is wanted.
    pub(crate) fn wanted(&self, database: &str, by: &ServerKey) -> Option<Switchover> {
        self.switchover(database)
            .filter(|switchover| switchover.to == *by && switchover.until > Instant::now())
    }

    pub(crate) fn change(&self, database: &str, change: impl FnOnce(&mut Switchover)) {
        if let Some(switchover) = self.locked().get_mut(database) {
            change(switchover);
        }
    }

    /// The switchover of a database is over when this is dropped, however that comes: the next one finds nothing under way.
    pub(crate) fn under_way<'a>(&'a self, database: &'a str) -> UnderWay<'a> {
        UnderWay { roles: self, database }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Switchover>> {
        self.switchovers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token of this server with which another full copy may follow it: the one of the first start, or a new one if that
/// is not there any more. Blocks.
pub(crate) fn own_link_token(folder: &Path) -> Result<String, TokenError> {
    let path = token_path(folder, TokenRole::LinkReplica);
    if let Ok(text) = std::fs::read_to_string(&path) {
        return Ok(text.trim().to_owned());
    }
    let text = tokens::add(folder, TokenRole::LinkReplica, "role-changes", None)?;
    tokens::keep(&path, &text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use apograph_format::ServerKey;

    use super::Roles;

    #[test]
    fn a_switchover_that_fails_in_any_way_is_not_under_way_any_more() {
        let (roles, until) = (Roles::default(), Instant::now() + Duration::from_secs(60));
        assert!(roles.begin("main", ServerKey([1; 32]), until));
        assert!(!roles.begin("main", ServerKey([2; 32]), until), "one at a time");
        let fails = || -> Result<(), &str> {
            let _under_way = roles.under_way("main");
            Err("the epoch that was given is not known")
        };
        fails().unwrap_err();
        assert!(roles.switchover("main").is_none());
        assert!(roles.begin("main", ServerKey([2; 32]), until));
    }
}
