//! Who is primary, and how that changes.

use apograph_format::Timestamp;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method};

use super::request::{segment, waiting};
use super::{ByteStream, Client, ClientError, LineStream};
use crate::media_type;
use crate::types::{
    EpochAnswer, EpochNotice, FollowRequest, HandoverAnswer, HandoverRequest, OrphanRestored,
    OrphanVersionView, OrphanView, OrphansGone, PromoteRequest, PromotionAnswer, RestoreAnswer,
    RestoreRequest, SwitchoverAnswer, SwitchoverRequest,
};

impl Client {
    /// Makes a copy the primary, or asks what that would mean.
    pub async fn promote(
        &self,
        database: &str,
        request: &PromoteRequest,
    ) -> Result<PromotionAnswer, ClientError> {
        self.post(&route(database, "promote"), request).await
    }

    /// Has the primary give its role to a copy; answers when that is done, or given up.
    pub async fn switchover(
        &self,
        database: &str,
        request: &SwitchoverRequest,
    ) -> Result<SwitchoverAnswer, ClientError> {
        self.post(&route(database, "switchover"), request).await
    }

    /// Has a copy follow another server.
    pub async fn follow(&self, database: &str, request: &FollowRequest) -> Result<EpochAnswer, ClientError> {
        let request = self.request(Method::PUT, &route(database, "source")).json(request);
        let response = self.send(request, &waiting()).await?;
        self.json(response).await
    }

    /// What a later epoch cut off and a former primary kept, behind a timestamp, oldest first.
    pub async fn orphans(
        &self,
        database: &str,
        after: u64,
        limit: u64,
    ) -> Result<Vec<OrphanView>, ClientError> {
        self.get(&route(database, "orphans"), &[("after", after), ("limit", limit)]).await
    }

    /// The versions that one of them had added.
    pub async fn orphan(
        &self,
        database: &str,
        timestamp: Timestamp,
    ) -> Result<Vec<OrphanVersionView>, ClientError> {
        self.get(&route(database, &format!("orphans/{timestamp}")), &()).await
    }

    /// Has a server bring back to the primary what it kept; answered orphan by orphan.
    pub async fn restore_orphans(
        &self,
        database: &str,
        request: &RestoreRequest,
    ) -> Result<RestoreAnswers, ClientError> {
        let route = route(database, "orphans/restore");
        let response = self.send(self.request(Method::POST, &route).json(request), &waiting()).await?;
        let stream = ByteStream::new(self, response, None);
        Ok(RestoreAnswers { client: self.clone(), lines: LineStream::new(stream), is_over: false })
    }

    /// Gives the primary one orphan: its label as a line of JSON, then its entries.
    pub async fn give_orphan(
        &self,
        database: &str,
        pieces: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<OrphanRestored, ClientError> {
        let request = self.request(Method::POST, &route(database, "restorations"));
        let progress = waiting();
        let moved = progress.clone();
        let pieces = pieces.map(move |piece| {
            moved.moved();
            piece
        });
        let request = request.header(CONTENT_TYPE, media_type::ORPHAN).body(Body::wrap_stream(pieces));
        let response = self.send(request, &progress).await?;
        self.json(response).await
    }

    /// Removes all of them, for ever.
    pub async fn discard_orphans(&self, database: &str) -> Result<OrphansGone, ClientError> {
        let request = self.request(Method::DELETE, &route(database, "orphans"));
        let response = self.send(request, &waiting()).await?;
        self.json(response).await
    }

    /// A copy asks its source for the role of primary.
    pub async fn handover(
        &self,
        database: &str,
        request: &HandoverRequest,
    ) -> Result<HandoverAnswer, ClientError> {
        self.post(&route(database, "handover"), request).await
    }

    /// A primary tells another server that it is one.
    pub async fn epoch_notice(
        &self,
        database: &str,
        notice: &EpochNotice,
    ) -> Result<EpochAnswer, ClientError> {
        self.post(&route(database, "epoch"), notice).await
    }
}

/// Says what became of orphans, one after the other.
#[derive(Debug)]
pub struct RestoreAnswers {
    client: Client,
    lines: LineStream,
    /// The last line came.
    is_over: bool,
}

impl RestoreAnswers {
    /// The next answer; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<RestoreAnswer>, ClientError> {
        let Some(line) = self.lines.next().await? else {
            let early = || self.client.unclear("it ended before everything was told; ask again".to_owned());
            return if self.is_over { Ok(None) } else { Err(early()) };
        };
        let answer = serde_json::from_slice(&line);
        let answer = answer.map_err(|error| self.client.unclear(error.to_string()))?;
        self.is_over = !matches!(answer, RestoreAnswer::Orphan(_));
        Ok(Some(answer))
    }
}

fn route(database: &str, what: &str) -> String {
    format!("/v1/databases/{}/{what}", segment(database))
}
