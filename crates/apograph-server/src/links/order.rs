//! What operators tell a link, on its way from a route to the link's worker.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use apograph_client::types::LinkStatus;
use apograph_replication::carrier::Refusal;
use apograph_replication::sync::{SyncMeasure, SyncRequest};

use crate::problem::{Answer, Code, Refused};

/// Orders that wait for one worker: operators are few.
const ORDERS_MAX: usize = 16;

/// What an operator tells a link.
#[derive(Debug)]
pub(crate) enum Order {
    /// Do nothing until resumed.
    Pause,
    /// Go on.
    Resume,
    /// Let this much in, in a second.
    Throttle(Option<NonZeroU64>),
    /// Synchronize, within bounds; what is absent is as the settings say.
    Synchronize(Wanted),
}

/// Bounds of a synchronization, as far as the operator gave them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) since: Option<apograph_format::Timestamp>,
    pub(crate) max_versions: Option<u64>,
    pub(crate) full: bool,
}

/// What a worker gets.
#[derive(Debug)]
pub(super) enum Asked {
    /// To do, and how the link stands then.
    Order(Order, oneshot::Sender<Answer<LinkStatus>>),
    /// What a synchronization would bring.
    Measure(Wanted, oneshot::Sender<Result<SyncMeasure, Refusal>>),
}

/// The workers of all links, by database.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<BTreeMap<String, mpsc::Sender<Asked>>>);

impl Orders {
    pub(super) fn register(&self, database: &str) -> mpsc::Receiver<Asked> {
        let (sender, receiver) = mpsc::channel(ORDERS_MAX);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(database.to_owned(), sender);
        receiver
    }

    /// No link brings this database any more.
    pub(super) fn forget(&self, database: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(database);
    }

    /// Tells a link. The order is durable when this returns.
    pub(crate) async fn give(&self, database: &str, order: Order) -> Answer<LinkStatus> {
        let (answer, answered) = oneshot::channel();
        self.send(database, Asked::Order(order, answer)).await?;
        answered.await.map_err(|_| stopping())?
    }

    /// What a synchronization would bring.
    pub(crate) async fn measure(&self, database: &str, wanted: Wanted) -> Answer<SyncMeasure> {
        let (answer, answered) = oneshot::channel();
        self.send(database, Asked::Measure(wanted, answer)).await?;
        let measured = answered.await.map_err(|_| stopping())?;
        measured.map_err(|refusal| Code::SourceUnavailable.because(refusal.to_string()))
    }

    async fn send(&self, database: &str, asked: Asked) -> Answer<()> {
        let worker = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(database).cloned();
        let Some(worker) = worker else {
            let detail = format!("no link brings {database} to this server");
            return Err(Code::NotACopy.because(detail));
        };
        worker.send(asked).await.map_err(|_| stopping())
    }
}

fn stopping() -> Refused {
    Code::ShuttingDown.because("the server stops")
}

impl Wanted {
    /// With what the settings say of the rest.
    pub(super) fn bounded(self, source: &apograph::settings::SourceSettings) -> SyncRequest {
        let default = SyncRequest::default();
        SyncRequest {
            // What is brought anew as a whole leaves nothing out by age.
            since: self.since.or(source.since.filter(|_| !self.full)),
            max_versions: self.max_versions.or(source.max_versions).unwrap_or(default.max_versions),
            full: self.full,
        }
    }

    /// As the settings say.
    pub(super) fn of_settings() -> Wanted {
        Wanted { since: None, max_versions: None, full: false }
    }
}
