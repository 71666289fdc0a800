//! What all requests share.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use apograph::{Database, Folder, Role};
use apograph_replication::versions::Versions;

use crate::backstage::Backstage;
use crate::backups::Backups;
use crate::clock;
use crate::durability::Copies;
use crate::lag_limits::LagLimits;
use crate::limits::{BLOCKING_READS_MAX, BODIES_BYTES_MAX, WORK_HERE_BYTES_MAX};
use crate::links::{Board, Newer, Orders, Windows};
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::problem::{self, Answer, Code, Refused};
use crate::roles::Roles;
use crate::tokens::Tokens;

/// A running server. Clones share it.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) folder: Folder,
    pub(crate) tokens: Tokens,
    pub(crate) metrics: Metrics,
    /// Links into and out of this server.
    pub(crate) board: Board,
    /// What full copies of this server have on disk.
    pub(crate) copies: Copies,
    /// How far copies may be behind.
    pub(crate) lag_limits: LagLimits,
    /// The workers of links into this server.
    pub(crate) orders: Orders,
    /// When the sources of databases were asked for something newer.
    pub(crate) newer: Newer,
    /// Roles that change.
    pub(crate) roles: Roles,
    /// The last backup of each database.
    pub(crate) backups: Backups,
    /// How long this server's journals keep what copies lack.
    pub(crate) windows: Windows,
    /// What this server is and speaks.
    pub(crate) versions: Versions,
    /// Cancelled when the server stops: every stream and every link ends by it.
    pub(crate) shutdown: CancellationToken,
    /// Everything that runs beside requests.
    pub(crate) tasks: TaskTracker,
    /// Microseconds since 1970.
    pub(crate) started: i64,
    databases: RwLock<BTreeMap<String, Option<Database>>>,
    pace: Pace,
    blocking: Arc<Semaphore>,
    pub(crate) backstage: Backstage,
    memory: Arc<Semaphore>,
}

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(crate) fn new(
        folder: Folder,
        tokens: Tokens,
        databases: BTreeMap<String, Option<Database>>,
        versions: Versions,
        shutdown: CancellationToken,
    ) -> std::io::Result<App> {
        let backstage = Backstage::new()?;
        Ok(App(Arc::new(Shared {
            folder,
            tokens,
            metrics: Metrics::default(),
            board: Board::default(),
            copies: Copies::default(),
            lag_limits: LagLimits::default(),
            orders: Orders::default(),
            newer: Newer::default(),
            roles: Roles::default(),
            backups: Backups::default(),
            windows: Windows::default(),
            versions,
            shutdown,
            tasks: TaskTracker::new(),
            started: clock::now_us(),
            databases: RwLock::new(databases),
            pace: Pace::default(),
            blocking: Arc::new(Semaphore::new(BLOCKING_READS_MAX)),
            backstage,
            memory: Arc::new(Semaphore::new(BODIES_BYTES_MAX)),
        })))
    }

    /// A database by its name.
    pub(crate) fn database(&self, name: &str) -> Answer<Database> {
        let databases = self.databases.read().unwrap_or_else(PoisonError::into_inner);
        match databases.get(name) {
            Some(Some(database)) => Ok(database.clone()),
            Some(None) => {
                Err(Code::NotReady.because(format!("{name} is a copy that has not met its source yet")))
            }
            None => {
                let shown: String = name.chars().take(80).collect();
                Err(Code::NoSuchDatabase.because(format!("there is no database {shown:?}")))
            }
        }
    }

    /// A database by its name; `None` for a copy that has not met its source yet.
    pub(crate) fn database_if_met(&self, name: &str) -> Answer<Option<Database>> {
        let databases = self.databases.read().unwrap_or_else(PoisonError::into_inner);
        match databases.get(name) {
            Some(None) => Ok(None),
            Some(Some(database)) => Ok(Some(database.clone())),
            None => {
                drop(databases);
                self.database(name).map(Some)
            }
        }
    }

    /// All databases that are open.
    pub(crate) fn databases(&self) -> Vec<Database> {
        let databases = self.databases.read().unwrap_or_else(PoisonError::into_inner);
        databases.values().flatten().cloned().collect()
    }

    /// A copy met its source.
    pub(crate) fn adopted(&self, name: &str, database: Database) {
        let mut databases = self.databases.write().unwrap_or_else(PoisonError::into_inner);
        databases.insert(name.to_owned(), Some(database));
    }

    /// Names and roles of all databases, open or not.
    pub(crate) fn names(&self) -> Vec<(String, Role)> {
        let role = |name: &str, at_first| self.database(name).map_or(at_first, |open| open.role());
        let databases = self.folder.settings().databases.iter();
        databases.map(|(name, settings)| (name.clone(), role(name, settings.role))).collect()
    }

    /// Runs what blocks on a thread for it; a bounded number at once.
    pub(crate) async fn blocking<T, E, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        E: Send + 'static,
        Refused: From<E>,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        let stopping = |_| Code::ShuttingDown.because("the server stops");
        let permit = Arc::clone(&self.blocking).acquire_owned().await.map_err(stopping)?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        match done.await {
            Ok(outcome) => outcome.map_err(Refused::from),
            Err(error) => Err(problem::failed(&error)),
        }
    }

    /// Runs bulk work, behind what somebody waits for.
    pub(crate) async fn aside<T, E, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        E: Send + 'static,
        Refused: From<E>,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        match self.backstage.run(work).await {
            Ok(outcome) => outcome.map_err(Refused::from),
            Err(error) => Err(problem::failed(&error)),
        }
    }

    /// Runs what takes long only when there are many bytes to work through: here, or on a thread for it.
    pub(crate) async fn working_through<T, E, F>(&self, bytes: usize, work: F) -> Answer<T>
    where
        T: Send + 'static,
        E: Send + 'static,
        Refused: From<E>,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        if bytes <= WORK_HERE_BYTES_MAX {
            return work().map_err(Refused::from);
        }
        self.blocking(work).await
    }

    /// Looks at a few places of a store: here while that is quick, else on a thread for it.
    pub(crate) async fn looking<T, E, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        E: Send + 'static,
        Refused: From<E>,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        if !self.pace.is_quick() {
            return self.blocking(work).await;
        }
        let begun = Instant::now();
        let found = work();
        self.pace.took(begun.elapsed());
        found.map_err(Refused::from)
    }

    /// Memory for a part of a body, given back when dropped.
    pub(crate) fn share_of_memory(&self, bytes: usize) -> Answer<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let share = Arc::clone(&self.memory).try_acquire_many_owned(bytes);
        share.map_err(|_| Code::Busy.because("too many large bodies are on their way"))
    }
}
