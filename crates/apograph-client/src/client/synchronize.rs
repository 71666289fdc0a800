//! What copies ask to synchronize.

use apograph_format::synchronize::Snapshot;
use apograph_format::{PartitionId, SyncQuestion};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::request::{segment, waiting};
use super::{ByteStream, Client, ClientError};
use crate::media_type;
use crate::types::SnapshotRequest;

impl Client {
    /// The newest state of the server, to be copied.
    pub async fn snapshot(&self, database: &str, asked: &SnapshotRequest) -> Result<Snapshot, ClientError> {
        let route = format!("/v1/databases/{}/snapshot", segment(database));
        self.post(&route, asked).await
    }

    /// One question about a snapshot: the answer is a sequence of frames.
    pub async fn ask(
        &self,
        database: &str,
        partition: PartitionId,
        question: &SyncQuestion,
    ) -> Result<ByteStream, ClientError> {
        let route = format!("/v1/databases/{}/partitions/{}/synchronize", segment(database), partition.0);
        let asked = self.request(Method::POST, &route).header(CONTENT_TYPE, media_type::SYNCHRONIZE);
        let response = self.send(asked.body(question.encode()), &waiting()).await?;
        Ok(ByteStream::new(self, response, None))
    }
}
