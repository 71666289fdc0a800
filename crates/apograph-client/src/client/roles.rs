//! Who is primary, and how that changes.

use reqwest::Method;

use super::request::{segment, waiting};
use super::{Client, ClientError};
use crate::types::{
    EpochAnswer, EpochNotice, FollowRequest, HandoverAnswer, HandoverRequest, PromoteRequest,
    PromotionAnswer, SwitchoverAnswer, SwitchoverRequest,
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
