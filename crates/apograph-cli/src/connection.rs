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

/// The server that the options name, spoken to in another way.
pub(crate) fn client_with(
    global: &Global,
    change: impl FnOnce(ClientSettings) -> ClientSettings,
) -> Result<Client, Failure> {
    Ok(Client::new(change(settings(&global.server, global.token_file.as_deref())?))?)
}

/// The server at `url`.
pub(crate) fn client(url: &str, token_file: Option<&Path>) -> Result<Client, Failure> {
    Ok(Client::new(settings(url, token_file)?)?)
}

fn settings(url: &str, token_file: Option<&Path>) -> Result<ClientSettings, Failure> {
    let settings = ClientSettings::new(url.trim_end_matches('/'));
    Ok(match token_file {
        Some(file) => settings.with_secret(Secret::from_file(file)?),
        None => settings,
    })
}
