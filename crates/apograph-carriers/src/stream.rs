//! Journals over HTTP: one endless answer per partition.

use std::error::Error;

use bytes::Bytes;

use apograph_client::types::SnapshotRequest;
use apograph_format::synchronize::Snapshot;
use apograph_format::{PartitionId, SyncQuestion, Timestamp, View};

use apograph_client::client::{ByteStream, JournalRequest as Asked};
use apograph_client::{Client, ClientError};
use apograph_replication::carrier::{Carrier, Chunks, Cut, JournalRequest, Refusal, RefusalKind};

/// Opens journal streams of one database of the server that a client speaks to.
#[derive(Debug, Clone)]
pub struct StreamCarrier {
    client: Client,
    database: String,
}

/// The body of one answer.
#[derive(Debug)]
pub struct StreamChunks(ByteStream);

impl StreamCarrier {
    /// Streams of the database of this name, as the source calls it.
    pub fn new(client: Client, database: impl Into<String>) -> StreamCarrier {
        StreamCarrier { client, database: database.into() }
    }
}

impl StreamCarrier {
    /// The newest state of the source that is above what the copy shows.
    pub async fn snapshot(&self, view: View, above: Timestamp) -> Result<Snapshot, Refusal> {
        let asked = SnapshotRequest { view, above, at: None };
        self.client.snapshot(&self.database, &asked).await.map_err(|error| refusal_of(&error))
    }

    /// The state of the source at a time that the copy names.
    pub async fn snapshot_as_of(&self, view: View, at: Timestamp) -> Result<Snapshot, Refusal> {
        let asked = SnapshotRequest { view, above: Timestamp::ZERO, at: Some(at) };
        self.client.snapshot(&self.database, &asked).await.map_err(|error| refusal_of(&error))
    }

    /// One question about a snapshot.
    pub async fn ask(
        &self,
        partition: PartitionId,
        question: &SyncQuestion,
    ) -> Result<StreamChunks, Refusal> {
        let asked = self.client.ask(&self.database, partition, question).await;
        asked.map(StreamChunks).map_err(|error| refusal_of(&error))
    }
}

impl Carrier for StreamCarrier {
    type Chunks = StreamChunks;

    async fn open(&self, request: &JournalRequest) -> Result<StreamChunks, Refusal> {
        let JournalRequest { partition, view, from, source } = *request;
        let asked = Asked { partition, view, from, source };
        let opened = self.client.journal(&self.database, &asked).await;
        opened.map(StreamChunks).map_err(|error| refusal_of(&error))
    }
}

impl Chunks for StreamChunks {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        self.0.next().await.map_err(|error| Cut { reason: with_causes(&error) })
    }
}

/// What a failed request means for a link.
pub fn refusal_of(error: &ClientError) -> Refusal {
    let kind = match error {
        ClientError::Problem(problem) => kind_of(&problem.code),
        ClientError::NotApograph { .. } | ClientError::Answer { .. } | ClientError::Url { .. } => {
            RefusalKind::NotApograph
        }
        ClientError::Unreachable { source, .. } if speaks_no_http(source) => RefusalKind::NotApograph,
        ClientError::Unreachable { .. }
        | ClientError::Silent { .. }
        | ClientError::Truncated { .. }
        | ClientError::Local(_) => RefusalKind::Unavailable,
    };
    Refusal::new(kind, with_causes(error))
}

/// What a problem's code means for a link. What is not known here may pass.
fn kind_of(code: &str) -> RefusalKind {
    match code {
        "out-of-window" => RefusalKind::OutOfWindow,
        "snapshot-expired" => RefusalKind::SnapshotExpired,
        "unknown-position" => RefusalKind::UnknownPosition,
        "unauthenticated" | "forbidden" => RefusalKind::Denied,
        "no-such-database" | "no-such-view" | "no-such-partition" | "no-such-route" => {
            RefusalKind::NoSuchDatabase
        }
        "protocol-newer" => RefusalKind::ProtocolNewer,
        _ => RefusalKind::Unavailable,
    }
}

/// Somebody answers, and it is no HTTP.
fn speaks_no_http(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
