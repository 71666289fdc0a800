//! Back to the state of an earlier time.

use reqwest::Method;

use super::request::{segment, waiting};
use super::{ByteStream, Client, ClientError, LineStream};
use crate::types::{RollbackAnswer, RollbackQuery, RollbackRequest};

impl Client {
    /// What a rollback would do, document by document; nothing is changed.
    pub async fn rollback_preview(
        &self,
        database: &str,
        query: &RollbackQuery,
    ) -> Result<RollbackAnswers, ClientError> {
        let request = self.request(Method::GET, &route(database)).query(query);
        self.rollback_answers(request).await
    }

    /// Rolls a database back; answered while it is done. It goes on when nobody reads the answers.
    pub async fn roll_back(
        &self,
        database: &str,
        request: &RollbackRequest,
    ) -> Result<RollbackAnswers, ClientError> {
        let request = self.request(Method::POST, &route(database)).json(request);
        self.rollback_answers(request).await
    }

    async fn rollback_answers(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<RollbackAnswers, ClientError> {
        let response = self.send(request, &waiting()).await?;
        let stream = ByteStream::new(self, response, None);
        Ok(RollbackAnswers { client: self.clone(), lines: LineStream::new(stream), is_over: false })
    }
}

/// Says what a rollback would do, or how far it is.
#[derive(Debug)]
pub struct RollbackAnswers {
    client: Client,
    lines: LineStream,
    /// The last line came.
    is_over: bool,
}

impl RollbackAnswers {
    /// The next answer; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<RollbackAnswer>, ClientError> {
        let Some(line) = self.lines.next().await? else {
            let early = || self.client.unclear("it ended before everything was told; ask again".to_owned());
            return if self.is_over { Ok(None) } else { Err(early()) };
        };
        let answer = serde_json::from_slice(&line);
        let answer = answer.map_err(|error| self.client.unclear(error.to_string()))?;
        self.is_over = matches!(answer, RollbackAnswer::Done(_) | RollbackAnswer::Refused(_));
        Ok(Some(answer))
    }
}

fn route(database: &str) -> String {
    format!("/v1/databases/{}/rollback", segment(database))
}
