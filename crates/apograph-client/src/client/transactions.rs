//! Transactions, and the cursors of importers.

use reqwest::Method;

use super::request::{segment, waiting};
use super::{Client, ClientError};
use crate::types::{CursorAnswer, TransactionAnswer, TransactionRequest};

impl Client {
    /// Commits one transaction.
    pub async fn commit(
        &self,
        database: &str,
        transaction: &TransactionRequest,
    ) -> Result<TransactionAnswer, ClientError> {
        let request = self.write(Method::POST, &transactions_path(database)).json(transaction);
        self.json(self.send(request, &waiting()).await?).await
    }

    /// Where a cursor stands.
    pub async fn cursor(&self, database: &str, name: &str) -> Result<CursorAnswer, ClientError> {
        let route = format!("/v1/databases/{}/cursors/{}", segment(database), segment(name));
        self.get(&route, &()).await
    }
}

pub(super) fn transactions_path(database: &str) -> String {
    format!("/v1/databases/{}/transactions", segment(database))
}
