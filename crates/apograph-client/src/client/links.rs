//! What operators tell the link of a copy.

use reqwest::Method;

use super::request::{segment, waiting};
use super::{Client, ClientError};
use crate::types::{
    LagLimit, LagLimitView, LinkStatus, SyncMeasure, SyncRemark, SyncReport, SyncRequest, ThrottleRequest,
};

impl Client {
    /// Synchronizes a copy with its source; answers how its link stands then. The server goes on by itself.
    pub async fn synchronize(
        &self,
        database: &str,
        request: &SyncRequest,
    ) -> Result<LinkStatus, ClientError> {
        self.post(&route(database, "sync"), &SyncRequest { dry_run: false, ..request.clone() }).await
    }

    /// What a synchronization would bring over; nothing is changed.
    pub async fn measure(&self, database: &str, request: &SyncRequest) -> Result<SyncMeasure, ClientError> {
        self.post(&route(database, "sync"), &SyncRequest { dry_run: true, ..request.clone() }).await
    }

    /// Pauses the link of a copy, until it is resumed: also across restarts of the server.
    pub async fn pause(&self, database: &str) -> Result<LinkStatus, ClientError> {
        self.tell(Method::POST, database, "pause", None).await
    }

    /// Lets the link of a copy go on.
    pub async fn resume(&self, database: &str) -> Result<LinkStatus, ClientError> {
        self.tell(Method::POST, database, "resume", None).await
    }

    /// Bounds what the link of a copy lets in; `None` takes the bound away.
    pub async fn throttle(
        &self,
        database: &str,
        bytes_per_second: Option<u64>,
    ) -> Result<LinkStatus, ClientError> {
        self.tell(Method::PUT, database, "throttle", Some(ThrottleRequest { bytes_per_second })).await
    }

    /// Limits of copies, and how they stand to them.
    pub async fn lag_limits(&self, database: &str) -> Result<Vec<LagLimitView>, ClientError> {
        self.get(&route(database, "lag-limits"), &()).await
    }

    /// Limits how far a copy may be behind; `None` takes the limit away. Answers all limits.
    pub async fn set_lag_limit(
        &self,
        database: &str,
        server: &str,
        limit: Option<&LagLimit>,
    ) -> Result<Vec<LagLimitView>, ClientError> {
        let path = route(database, &format!("lag-limits/{}", segment(server)));
        let request = match limit {
            Some(limit) => self.request(Method::PUT, &path).json(limit),
            None => self.request(Method::DELETE, &path),
        };
        let response = self.send(request, &waiting()).await?;
        self.json(response).await
    }

    /// How the last synchronization of a copy ended, and what it could not take.
    pub async fn sync_report(&self, database: &str) -> Result<SyncReport, ClientError> {
        self.get(&route(database, "synchronization"), &()).await
    }

    /// Says something of it; answers what is listed then.
    pub async fn remark(&self, database: &str, remark: &SyncRemark) -> Result<SyncReport, ClientError> {
        self.post(&route(database, "synchronization"), remark).await
    }

    async fn tell(
        &self,
        method: Method,
        database: &str,
        what: &str,
        body: Option<ThrottleRequest>,
    ) -> Result<LinkStatus, ClientError> {
        let request = self.request(method, &route(database, what));
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = self.send(request, &waiting()).await?;
        self.json(response).await
    }
}

fn route(database: &str, what: &str) -> String {
    format!("/v1/databases/{}/{what}", segment(database))
}
