//! A primary writes its own server document, so that every copy knows who it is and where.

use serde_json::json;

use apograph_format::{Kind, Properties, Uri};

use super::Database;
use super::open::OpenError;
use crate::read::Which;
use crate::status::ServerIdentity;
use crate::transaction::{Action, Operation, Precondition, Put, Transaction};

impl Database {
    /// Makes `/_system/servers/NAME` say who this server is, if it does not yet. Published, so that staging servers
    /// know it, too.
    pub(super) fn announce(&self, server: &ServerIdentity) -> Result<(), OpenError> {
        let failed =
            |reason: String| OpenError::Recovery { reason: format!("the server document: {reason}") };
        let uri = Uri::parse(&format!("/_system/servers/{}", server.name))
            .map_err(|error| failed(error.to_string()))?;
        let properties =
            json!({ "key": server.key, "name": server.name, "role": "primary", "url": server.url });
        let properties =
            Properties::parse(&properties.to_string()).map_err(|error| failed(error.to_string()))?;
        if let Ok(known) = self.document(&uri, Which::Live, None)
            && known.version.properties == properties
        {
            return Ok(());
        }
        let put = Put { kind: Some(Kind::Server), properties: Some(properties), ..Put::default() };
        let operation = |action| Operation { uri: uri.clone(), precondition: Precondition::None, action };
        let transaction = Transaction {
            author: server.name.clone(),
            comment: "this server became the primary of the database".into(),
            operations: vec![operation(Action::Put(put)), operation(Action::Publish { version: None })],
            privileged: true,
            ..Transaction::default()
        };
        self.commit(transaction).map(|_| ()).map_err(|error| failed(error.to_string()))
    }
}
