//! What copies ask of their source.

use apograph_format::{PartitionId, Position, SourcePoint, View};
use reqwest::header::HeaderMap;
use serde::Serialize;

use super::request::segment;
use super::{ByteStream, Client, ClientError};
use crate::types::{Acknowledgement, AcknowledgementAnswer, Handshake, LinkReport, ReportAnswer};

/// Where a copy wants to go on.
#[derive(Debug, Clone, Serialize)]
pub struct JournalRequest {
    /// The partition; part of the path.
    #[serde(skip)]
    pub partition: PartitionId,
    /// End of the copy's journal.
    pub from: Position,
    /// The view.
    pub view: View,
    /// In a derived view: where the copy stands in the source's journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourcePoint>,
}

impl Client {
    /// What a copy must know before it follows.
    pub async fn handshake(&self, database: &str, view: View) -> Result<Handshake, ClientError> {
        let route = format!("/v1/databases/{}/handshake", segment(database));
        self.get(&route, &[("view", view)]).await
    }

    /// Entries after a position, and heartbeats between them, for as long as both sides live.
    pub async fn journal(&self, database: &str, request: &JournalRequest) -> Result<ByteStream, ClientError> {
        let route = format!("/v1/databases/{}/partitions/{}/journal", segment(database), request.partition.0);
        let response = self.get_stream(&route, request, HeaderMap::new()).await?;
        Ok(ByteStream::new(self, response, None))
    }

    /// Tells the source how the copy stands, and learns how long the source keeps what it lacks.
    pub async fn report(&self, database: &str, report: &LinkReport) -> Result<ReportAnswer, ClientError> {
        let route = format!("/v1/databases/{}/report", segment(database));
        self.post(&route, report).await
    }

    /// Tells the source what a full copy has on disk.
    pub async fn acknowledge(
        &self,
        database: &str,
        acknowledgement: &Acknowledgement,
    ) -> Result<AcknowledgementAnswer, ClientError> {
        let route = format!("/v1/databases/{}/acknowledge", segment(database));
        self.post(&route, acknowledgement).await
    }
}
