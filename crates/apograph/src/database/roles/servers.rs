//! The server documents under `/_system/servers/`: who is there, with which key, where, and what it is.

use serde_json::{Value, json};

use apograph_format::{Epoch, Kind, Properties, ServerKey, State, Uri};

use super::super::state::Shared;
use super::{Database, RoleError};
use crate::Role;
use crate::error::CommitError;
use crate::status::ServerIdentity;
use crate::transaction::{Action, Operation, Precondition, Put, Transaction};

/// A server document.
struct Known {
    uri: Uri,
    properties: Value,
}

impl Known {
    fn text(&self, name: &str) -> Option<&str> {
        self.properties.get(name)?.as_str()
    }

    fn is_of(&self, key: &ServerKey) -> bool {
        self.text("key").is_some_and(|text| text == key.to_string())
    }
}

impl Shared {
    fn servers(&self) -> impl Iterator<Item = Known> + '_ {
        let at = self.visible();
        self.stores.iter().flat_map(move |store| {
            let heads = store.documents(Uri::SERVERS, None, at).filter_map(Result::ok);
            heads.filter_map(move |(uri, head)| {
                let is_current =
                    head.kind == Kind::Server && head.state != State::Purged && head.is_visible();
                let version = head.working.or(head.live).filter(|_| is_current)?;
                let record = store.version(&uri, version.number, at).ok()??;
                let body = store.payload(&record.id).ok()??;
                let properties = apograph_format::Version::decode(&body).ok()?.properties.to_value();
                Some(Known { uri, properties })
            })
        })
    }

    /// The server with this key, if a document of the database names it.
    pub(super) fn server_of(&self, key: &ServerKey) -> Option<ServerIdentity> {
        let named = self.servers().find(|known| known.is_of(key)).and_then(|known| {
            let name = known.text("name").map(str::to_owned)?;
            Some(ServerIdentity { name, key: *key, url: known.text("url").map(str::to_owned) })
        });
        // A copy of some partitions may not have the document, and was told.
        named.or_else(|| self.file().servers.iter().find(|told| told.key == *key).cloned())
    }

    /// Where edits go: what the document of the newest epoch's primary says, or what was said when it became known.
    pub(crate) fn primary_url(&self) -> Option<String> {
        let primary = self.file().primary.clone();
        self.server_of(&primary.key).and_then(|known| known.url).or(primary.url)
    }
}

impl Database {
    /// All servers that a document of the database names, as far as this server knows.
    pub fn known_servers(&self) -> Vec<ServerIdentity> {
        let servers = self.shared.servers().filter_map(|known| {
            let (name, key) = (known.text("name")?.to_owned(), known.text("key")?.parse().ok()?);
            Some(ServerIdentity { name, key, url: known.text("url").map(str::to_owned) })
        });
        let mut servers: Vec<ServerIdentity> = servers.collect();
        for told in &self.shared.file().servers {
            if !servers.iter().any(|known| known.key == told.key) {
                servers.push(told.clone());
            }
        }
        servers
    }

    /// Makes `/_system/servers/NAME` say who this primary is, if it does not yet, and that nobody else is one. Published,
    /// so that staging servers know it, too. Blocks.
    pub(in crate::database) fn announce(&self, server: &ServerIdentity) -> Result<(), RoleError> {
        let epoch = self.epoch();
        let mut documents = vec![(uri_of(&server.name)?, describe(server, Role::Primary, epoch))];
        for known in self.shared.servers() {
            if known.text("role") == Some("primary") && !known.is_of(&server.key) {
                let mut properties = known.properties.clone();
                if let Some(properties) = properties.as_object_mut() {
                    properties.insert("role".to_owned(), json!("replica"));
                    properties.remove("epoch");
                }
                documents.push((known.uri, properties));
            }
        }
        self.write_servers(documents, &server.name, "this server became the primary of the database")
    }

    /// Makes `/_system/servers/NAME` name a copy, so that all others know its key before it becomes a primary. On a
    /// primary only. A name that belongs to another key is not taken away. Blocks.
    pub fn announce_copy(&self, server: &ServerIdentity, role: Role) -> Result<(), RoleError> {
        if self.role() != Role::Primary {
            return Err(RoleError::NotPrimary { role: self.role() });
        }
        let uri = uri_of(&server.name)?;
        let known = self.shared.servers().find(|known| known.uri == uri);
        if known.is_some_and(|known| !known.is_of(&server.key)) || server.key == self.shared.server.key {
            return Err(RoleError::NameTaken { name: server.name.clone() });
        }
        let document = (uri, describe(server, role, Epoch::FIRST));
        self.write_servers(vec![document], &self.shared.server.name, "a copy of the database")
    }

    fn write_servers(
        &self,
        documents: Vec<(Uri, Value)>,
        author: &str,
        comment: &str,
    ) -> Result<(), RoleError> {
        let known: Vec<Known> = self.shared.servers().collect();
        let mut operations = Vec::new();
        for (uri, properties) in documents {
            if known.iter().any(|known| known.uri == uri && known.properties == properties) {
                continue;
            }
            let properties = Properties::parse(&properties.to_string())
                .map_err(|error| RoleError::Stopped { reason: format!("the server document: {error}") })?;
            let put = Put { kind: Some(Kind::Server), properties: Some(properties), ..Put::default() };
            for action in [Action::Put(put), Action::Publish { version: None }] {
                operations.push(Operation { uri: uri.clone(), precondition: Precondition::None, action });
            }
        }
        if operations.is_empty() {
            return Ok(());
        }
        let transaction = Transaction {
            author: author.to_owned(),
            comment: comment.to_owned(),
            operations,
            privileged: true,
            ..Transaction::default()
        };
        self.commit(transaction).map(drop).map_err(|error: CommitError| error.into())
    }
}

fn describe(server: &ServerIdentity, role: Role, epoch: Epoch) -> Value {
    let mut properties =
        json!({ "key": server.key, "name": server.name, "role": role.to_string(), "url": server.url });
    if let Some(properties) = properties.as_object_mut().filter(|_| epoch > Epoch::FIRST) {
        properties.insert("epoch".to_owned(), json!(epoch));
    }
    properties
}

fn uri_of(name: &str) -> Result<Uri, RoleError> {
    Uri::parse(&format!("{}{name}", Uri::SERVERS))
        .map_err(|error| RoleError::Stopped { reason: format!("the server document: {error}") })
}
