//! Backups that a server makes.

use super::request::segment;
use super::{Client, ClientError};
use crate::types::{BackupOrder, BackupStatus};

impl Client {
    /// Has the server make a backup on its machine; answers at once. The server goes on by itself.
    pub async fn backup(&self, database: &str, order: &BackupOrder) -> Result<BackupStatus, ClientError> {
        self.post(&route(database), order).await
    }

    /// How far the last backup is.
    pub async fn backup_status(&self, database: &str) -> Result<BackupStatus, ClientError> {
        self.get(&route(database), &()).await
    }
}

fn route(database: &str) -> String {
    format!("/v1/databases/{}/backup", segment(database))
}
