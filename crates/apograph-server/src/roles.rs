//! Roles that change while the server runs: who waits for news of them, and which switchovers are under way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use apograph_format::ServerKey;
use apograph_replication::switchover::{Act, End, Event, Failure, Giving, State};

use crate::tokens::{self, TokenError, TokenRole, token_path};

/// Roles that change while the server runs.
#[derive(Debug, Default)]
pub(crate) struct Roles {
    changes: watch::Sender<u64>,
    switchovers: Mutex<BTreeMap<String, Switchover>>,
}

/// A primary that is to give its role to a copy.
#[derive(Debug)]
struct Switchover {
    /// To whom.
    to: ServerKey,
    begun: Instant,
    giving: Giving,
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
    pub(crate) fn begin(&self, database: &str, to: ServerKey, timeout: Duration) -> bool {
        let mut switchovers = self.locked();
        if switchovers.contains_key(database) {
            return false;
        }
        let switchover = Switchover { to, begun: Instant::now(), giving: Giving::new(timeout) };
        switchovers.insert(database.to_owned(), switchover);
        true
    }

    /// Is this server to ask for the role?
    pub(crate) fn is_wanted(&self, database: &str, by: &ServerKey) -> bool {
        let switchovers = self.locked();
        switchovers.get(database).is_some_and(|wanted| wanted.to == *by && wanted.giving.is_open())
    }

    /// Did this server step down for the one it is to give its role to?
    pub(crate) fn is_given(&self, database: &str) -> bool {
        let switchovers = self.locked();
        switchovers.get(database).is_some_and(|of| matches!(of.giving.state(), State::Given { .. }))
    }

    /// Something happened to the switchover of a database: what to do, in order; nothing if there is none.
    pub(crate) fn on(&self, database: &str, event: Event) -> Vec<Act> {
        let mut switchovers = self.locked();
        let under_way = switchovers.get_mut(database);
        under_way.map(|of| of.giving.on(event, of.begun.elapsed())).unwrap_or_default()
    }

    /// How the switchover of a database ended, if it did. One that nobody knows any more failed.
    pub(crate) fn end(&self, database: &str) -> Option<End> {
        let switchovers = self.locked();
        switchovers.get(database).map_or(Some(End::Failed(Failure::Stopping)), |of| of.giving.end())
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
    use std::time::Duration;

    use apograph_format::ServerKey;

    use super::Roles;

    #[test]
    fn a_switchover_that_fails_in_any_way_is_not_under_way_any_more() {
        let (roles, timeout) = (Roles::default(), Duration::from_secs(60));
        assert!(roles.begin("main", ServerKey([1; 32]), timeout));
        assert!(!roles.begin("main", ServerKey([2; 32]), timeout), "one at a time");
        assert!(
            roles.is_wanted("main", &ServerKey([1; 32])) && !roles.is_wanted("main", &ServerKey([2; 32]))
        );
        let fails = || -> Result<(), &str> {
            let _under_way = roles.under_way("main");
            Err("the epoch that was given is not known")
        };
        fails().unwrap_err();
        assert!(!roles.is_wanted("main", &ServerKey([1; 32])));
        assert!(roles.begin("main", ServerKey([2; 32]), timeout));
    }
}
