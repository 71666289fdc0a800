//! Drives one synchronization: asks the source, hands what comes to the engine, tells the worker how far it is.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use apograph::Database;
use apograph_carriers::stream::StreamCarrier;
use apograph_client::Client;
use apograph_replication::carrier::{Refusal, RefusalKind};
use apograph_replication::link::Event;
use apograph_replication::sync::{SyncFailure, SyncMeasure, SyncProgress, SyncReason, SyncRequest};

use super::follow::News;
use super::throttle::Throttle;
use crate::clock;

/// One synchronization of a copy, or what is left of one.
pub(super) struct Synchronization {
    pub(super) database: Database,
    pub(super) carrier: StreamCarrier,
    pub(super) client: Client,
    /// Name of the database at the source.
    pub(super) there: String,
    pub(super) request: SyncRequest,
    pub(super) why: SyncReason,
    /// Which attempt to reach equality this is, from one.
    pub(super) round: u32,
    pub(super) throttle: Throttle,
    pub(super) news: mpsc::Sender<News>,
    /// The link is paused, or the server stops: it goes on another time where it was.
    pub(super) closed: CancellationToken,
}

impl Synchronization {
    /// Runs until it is installed, fails, or is closed. The last news is `Installed` or `SyncFailed`, unless it was
    /// closed.
    pub(super) async fn run(self) {
        let Synchronization { database, carrier, client, there, request, why, round, throttle, news, closed } =
            self;
        drop((database, carrier, client, request, throttle, closed));
        let progress = SyncProgress::begun(why, round, clock::now_us());
        let _ = news.send(News::Sync(progress)).await;
        let detail = format!("the transfer of {there} is not driven yet");
        let _ = news.send(News::Event(Event::SyncFailed(SyncFailure::Cut), Some(detail))).await;
    }

    /// What it would bring over, without bringing it.
    pub(super) async fn measure(self) -> Result<SyncMeasure, Refusal> {
        let detail = format!("the transfer of {} is not driven yet", self.there);
        Err(Refusal::new(RefusalKind::Unavailable, detail))
    }
}
