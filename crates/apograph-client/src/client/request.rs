//! One request and the beginning of its answer.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::patience::Progress;
use super::stream::ByteStream;
use super::{Client, ClientError};
use crate::header;
use crate::types::Problem;

/// Largest JSON answer: a status of thousands of links, or the results of the largest transaction.
const JSON_BYTES_MAX: usize = 64 << 20;
/// Largest problem: it is text for people and a few facts.
const PROBLEM_BYTES_MAX: usize = 256 << 10;
/// The pause before the second attempt; it doubles with each one.
const RETRY_PAUSE: Duration = Duration::from_millis(150);

/// What stays as it is in a path; `/` separates segments here and in URIs alike.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// One segment of a path.
const SEGMENT: &AsciiSet = &PATH.add(b'/');

/// `text` as one segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A URI as the rest of a path, without its first `/`.
pub(super) fn path(uri: &apograph_format::Uri) -> String {
    utf8_percent_encode(uri.as_str().trim_start_matches('/'), PATH).to_string()
}

/// `name` in quotes, as `If-Match` wants it.
pub(super) fn quoted(name: impl std::fmt::Display) -> String {
    format!("\"{name}\"")
}

impl Client {
    /// A request to `path`, which is encoded already and starts with `/`.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = (*self.base).clone();
        url.set_path(path);
        let request = self.http.request(method, url);
        match &self.settings.secret {
            Some(secret) => request.bearer_auth(secret.expose()),
            None => request,
        }
    }

    /// A write to `path`, as durable as the settings want it.
    pub(super) fn write(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.request(method, path);
        if let Some(durability) = self.settings.durability {
            request = request.header(header::DURABILITY, durability.to_string());
        }
        if let Some(within) = self.settings.within {
            request = request.header(header::WITHIN, within.as_secs_f64().to_string());
        }
        request
    }

    /// Reads JSON, trying again when nobody is there.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, ClientError> {
        let mut attempt = 0;
        loop {
            let answer = async { self.json(self.get_once(path, query).await?).await };
            match answer.await {
                Err(error) if error.is_transient() && attempt < self.settings.retries => {
                    tokio::time::sleep(RETRY_PAUSE * 2_u32.saturating_pow(attempt)).await;
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Sends JSON, once, and reads what is answered.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let response = self.send(self.request(Method::POST, path).json(body), &waiting()).await?;
        self.json(response).await
    }

    /// Reads something long, trying again only while nothing of it came.
    pub(super) async fn get_stream(
        &self,
        path: &str,
        query: &impl Serialize,
        headers: HeaderMap,
    ) -> Result<Response, ClientError> {
        let mut attempt = 0;
        loop {
            let request = self.request(Method::GET, path).query(query).headers(headers.clone());
            match self.send(request, &waiting()).await {
                Err(error) if error.is_transient() && attempt < self.settings.retries => {
                    tokio::time::sleep(RETRY_PAUSE * 2_u32.saturating_pow(attempt)).await;
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Sends, once, and answers what came if it is a success of Apograph.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        progress: &Progress,
    ) -> Result<Response, ClientError> {
        let response = self.send_raw(request, progress).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    /// Sends, once, and answers what came if it is from Apograph, whatever its status.
    pub(super) async fn send_raw(
        &self,
        request: RequestBuilder,
        progress: &Progress,
    ) -> Result<Response, ClientError> {
        // A server that waits for replicas is not silent.
        let idle = self.settings.idle_timeout + self.settings.within.unwrap_or_default();
        let response = progress
            .wait(idle, request.send())
            .await
            .map_err(|_| ClientError::Silent { url: self.url().to_owned(), waited: idle })?
            .map_err(|error| self.unsent(error))?;
        if response.headers().contains_key(header::APOGRAPH) {
            return Ok(response);
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let found = format!("it answers {} with {}", response.status(), kind.unwrap_or("no media type"));
        Err(ClientError::NotApograph { url: self.url().to_owned(), found })
    }

    /// The whole answer, as a value.
    pub(super) async fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let bytes = self.whole(response, JSON_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.unclear(error.to_string()))
    }

    /// Why the server refused.
    pub(super) async fn refusal(&self, response: Response) -> ClientError {
        let status = response.status();
        let bytes = match self.whole(response, PROBLEM_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(error) => return error,
        };
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => ClientError::Problem(Box::new(problem)),
            Err(_) => self.unclear(format!("it refuses with {status}, without a problem")),
        }
    }

    /// The answer is from Apograph, but something is wrong with it.
    pub(super) fn unclear(&self, reason: String) -> ClientError {
        ClientError::Answer { url: self.url().to_owned(), reason }
    }

    async fn get_once(&self, path: &str, query: &impl Serialize) -> Result<Response, ClientError> {
        self.send(self.request(Method::GET, path).query(query), &waiting()).await
    }

    async fn whole(&self, response: Response, bytes_max: usize) -> Result<Vec<u8>, ClientError> {
        let mut stream = ByteStream::new(self, response, None);
        let mut whole = Vec::new();
        while let Some(bytes) = stream.next().await? {
            if whole.len() + bytes.len() > bytes_max {
                return Err(self.unclear(format!("it is larger than {bytes_max} bytes")));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    fn unsent(&self, error: reqwest::Error) -> ClientError {
        if error.is_builder() || error.is_request() && is_local(&error) {
            return self.local(error);
        }
        ClientError::Unreachable { url: self.url().to_owned(), source: error.without_url() }
    }

    fn local(&self, error: reqwest::Error) -> ClientError {
        ClientError::Local(std::io::Error::other(error.without_url()))
    }
}

/// The reader of the body that was to be sent failed, not the network.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct LocalRead(pub(super) std::io::Error);

fn is_local(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LocalRead>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A wait in which the server owes an answer from the start.
pub(super) fn waiting() -> Progress {
    let progress = Progress::default();
    progress.owe();
    progress
}
