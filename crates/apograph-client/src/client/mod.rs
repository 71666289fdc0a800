//! The client: one method per route.
//!
//! - every answer must carry the header [`crate::header::APOGRAPH`]; others come from something else and are refused;
//! - reads are tried again a few times when the server cannot be reached, writes never;
//! - nothing waits for ever: each wait ends when no byte moved for [`ClientSettings::idle_timeout`];
//! - no content, export or journal is ever whole in memory.

mod backup;
mod bulk;
mod contents;
mod documents;
mod error;
mod exchange;
mod import;
mod journal;
mod lines;
mod links;
mod patience;
mod request;
mod roles;
mod rollback;
mod secret;
mod server;
mod stream;
mod synchronize;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use apograph_format::Durability;
use reqwest::Url;

pub use bulk::{BULK_IN_FLIGHT_MAX, BulkAnswers, BulkClosed, BulkSender};
pub use contents::{ByteRange, ContentStream, PutContent};
pub use documents::{ListFilter, Match};
pub use error::ClientError;
pub use import::{ImportAnswers, ImportSender};
pub use journal::JournalRequest;
pub use lines::LineStream;
pub use roles::RestoreAnswers;
pub use rollback::RollbackAnswers;
pub use secret::{Secret, SecretError};
pub use server::{Part, Scope};
pub use stream::ByteStream;

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Where it answers, such as `http://127.0.0.1:7700`.
    pub url: String,
    /// The bearer token; none for the health probes only.
    pub secret: Option<Secret>,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// How long nothing may move, in either direction, while an answer is owed.
    pub idle_timeout: Duration,
    /// How often a read is tried again.
    pub retries: u32,
    /// How durable every write must be before it is answered; without it, as the database's settings say.
    pub durability: Option<Durability>,
    /// How long an answer may wait for that; without it, as the settings say.
    pub within: Option<Duration>,
}

impl ClientSettings {
    /// Settings for people at a terminal.
    pub fn new(url: impl Into<String>) -> ClientSettings {
        ClientSettings {
            url: url.into(),
            secret: None,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            retries: 2,
            durability: None,
            within: None,
        }
    }

    /// With this bearer token.
    pub fn with_secret(mut self, secret: Secret) -> ClientSettings {
        self.secret = Some(secret);
        self
    }

    /// Writes are answered when they are this durable, or after so long.
    pub fn with_durability(
        mut self,
        durability: Option<Durability>,
        within: Option<Duration>,
    ) -> ClientSettings {
        (self.durability, self.within) = (durability, within);
        self
    }
}

/// Speaks to one server. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<Url>,
    settings: Arc<ClientSettings>,
}

impl Client {
    /// Prepares a client; nothing is sent yet.
    pub fn new(settings: ClientSettings) -> Result<Client, ClientError> {
        let refused = |reason: String| ClientError::Url { url: settings.url.clone(), reason };
        let base = Url::parse(&settings.url).map_err(|error| refused(error.to_string()))?;
        if base.scheme() != "http" || base.host().is_none() {
            return Err(refused("expected something like http://127.0.0.1:7700".to_owned()));
        }
        if base.path() != "/" || base.query().is_some() || base.fragment().is_some() {
            return Err(refused("expected scheme, host and port only".to_owned()));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("apograph/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        Ok(Client { http, base: Arc::new(base), settings: Arc::new(settings) })
    }

    /// Where the server answers, as given.
    pub fn url(&self) -> &str {
        &self.settings.url
    }
}

#[cfg(test)]
mod tests;
