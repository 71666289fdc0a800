//! Who is primary, and how that changes.

use apograph_format::Timestamp;
use reqwest::Method;

use super::request::{segment, waiting};
use super::{Client, ClientError};
use crate::types::{
    EpochAnswer, EpochNotice, FollowRequest, HandoverAnswer, HandoverRequest, OrphanVersionView, OrphanView,
    OrphansGone, PromoteRequest, PromotionAnswer, SwitchoverAnswer, SwitchoverRequest,
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

fn route(database: &str, what: &str) -> String {
    format!("/v1/databases/{}/{what}", segment(database))
}
