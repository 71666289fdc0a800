//! From global options to a client.

use std::path::Path;

use apograph_client::{Client, ClientSettings, Secret};

use crate::arguments::Global;
use crate::failure::Failure;

impl Global {
    /// The server that the options name. Without a token it is asked without one, and says so itself.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        client(&self.server, self.token_file.as_deref())
    }
}

/// The server at `url`.
pub(crate) fn client(url: &str, token_file: Option<&Path>) -> Result<Client, Failure> {
    let mut settings = ClientSettings::new(url.trim_end_matches('/'));
    if let Some(file) = token_file {
        settings = settings.with_secret(Secret::from_file(file)?);
    }
    Ok(Client::new(settings)?)
}
