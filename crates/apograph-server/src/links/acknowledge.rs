//! A full copy that follows tells its source what it has on disk: as soon as it has it, if somebody waits for that.
//!
//! One message at a time, always of the newest state: while one is on its way, what becomes durable shares the next.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use apograph::Database;
use apograph::database::Durable;
use apograph_client::Client;
use apograph_client::types::{AcknowledgedPartition, Acknowledgement, ServerIdentity};

use crate::limits::SOURCE_TIMEOUT;

/// Messages are this far apart while nobody waits for one. The first after a silence is never held back.
const UNWANTED_GAP: Duration = Duration::from_millis(50);
/// After a message that was not taken.
const RETRY: Duration = Duration::from_millis(500);

/// Tells until `closed`: as long as the streams of this link are open.
pub(super) async fn run(
    database: Database,
    client: Client,
    there: String,
    server: ServerIdentity,
    closed: CancellationToken,
) {
    tokio::select! {
        () = tell(&database, &client, &there, &server) => {}
        () = closed.cancelled() => {}
    }
}

async fn tell(database: &Database, client: &Client, there: &str, server: &ServerIdentity) {
    let mut visible = database.watch_visible();
    loop {
        visible.borrow_and_update();
        let begun = Instant::now();
        let mut pause = Duration::ZERO;
        if database.may_acknowledge() {
            let said = acknowledgement(server.clone(), database.durable());
            match timeout(SOURCE_TIMEOUT, client.acknowledge(there, &said)).await {
                Ok(Ok(answer)) if answer.wanted => {}
                Ok(Ok(_)) => pause = UNWANTED_GAP,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the source did not take an acknowledgement");
                    sleep_until(begun + RETRY).await;
                    continue;
                }
                Err(_) => continue,
            }
        } else {
            // It becomes sound without a new time, too.
            pause = RETRY;
        }
        let is_sound = pause != RETRY;
        sleep_until(begun + pause).await;
        if is_sound && visible.changed().await.is_err() {
            return;
        }
    }
}

fn acknowledgement(server: ServerIdentity, durable: Durable) -> Acknowledgement {
    let partitions = durable.partitions.into_iter().map(|(partition, end, appended)| AcknowledgedPartition {
        partition,
        durable: end,
        journal_bytes_appended: appended,
    });
    Acknowledgement { server, epoch: durable.epoch, durable: durable.up_to, partitions: partitions.collect() }
}
