//! The first words of every contact: who the source is, and what a copy makes of it.

use std::path::Path;
use std::time::Duration;

use apograph::settings::SourceSettings;
use apograph::status::ServerIdentity;
use apograph::{Database, Handshake};
use apograph_carriers::stream::refusal_of;
use apograph_client::client::{ClientSettings, Secret};
use apograph_client::{Client, types};
use apograph_format::limits::PARTITIONS_MAX;
use apograph_format::{Participants, Partitioning, View};
use apograph_replication::carrier::{Refusal, RefusalKind};
use apograph_replication::link::{Greeting, Held};
use apograph_replication::versions::{self, Offered, Versions};

use crate::limits::SOURCE_TIMEOUT;
use crate::routes::shape;

/// Speaks to the source. The token's file is read anew every time: whoever replaced it has nothing to restart.
pub(crate) fn client(folder: &Path, source: &SourceSettings) -> Result<Client, Refusal> {
    let denied = |error: &dyn std::error::Error| Refusal::new(RefusalKind::Denied, error.to_string());
    let secret = Secret::from_file(&folder.join(&source.token_file)).map_err(|error| denied(&error))?;
    client_of(&source.url, secret)
}

/// Speaks to a server at `url`.
fn client_of(url: &str, secret: Secret) -> Result<Client, Refusal> {
    let settings = ClientSettings {
        secret: Some(secret),
        connect_timeout: Duration::from_secs(5),
        idle_timeout: SOURCE_TIMEOUT,
        // Attempts are the link's business.
        retries: 0,
        ..ClientSettings::new(url.trim_end_matches('/'))
    };
    Client::new(settings).map_err(|error| refusal_of(&error))
}

/// Asks the source who it is.
pub(crate) async fn greet(client: &Client, database: &str, view: View) -> Result<types::Handshake, Refusal> {
    match tokio::time::timeout(SOURCE_TIMEOUT, client.handshake(database, view)).await {
        Ok(answer) => answer.map_err(|error| refusal_of(&error)),
        Err(_) => Err(Refusal::new(RefusalKind::Unavailable, "the source did not answer in time")),
    }
}

/// Who answers at `url`, for somebody who holds this token.
pub(crate) async fn who_is(url: &str, token: &str, database: &str, view: View) -> Result<Handshake, Refusal> {
    let denied = |error: &dyn std::error::Error| Refusal::new(RefusalKind::Denied, error.to_string());
    let secret = Secret::new(token).map_err(|error| denied(&error))?;
    let handshake = greet(&client_of(url, secret)?, database, view).await?;
    let nobody = || Refusal::new(RefusalKind::NotApograph, "it does not say who signs");
    for_engine(handshake).ok_or_else(nobody)
}

/// What the link decides by.
pub(crate) fn greeting(handshake: &types::Handshake) -> Greeting {
    Greeting {
        offered: offered(handshake),
        database: handshake.database,
        view: handshake.view,
        partitions: handshake.partitions,
        held: there(handshake),
        primary: handshake.primary.as_ref().map(|primary| primary.key),
        epoch: handshake.epochs.iter().map(|start| start.epoch).max().unwrap_or(handshake.epoch),
    }
}

/// The partitions that the source holds.
fn there(handshake: &types::Handshake) -> Participants {
    match &handshake.held {
        Some(held) => held.iter().copied().filter(|held| held.0 < PARTITIONS_MAX).collect(),
        None => Partitioning::new(handshake.partitions).map(Partitioning::everyone).unwrap_or_default(),
    }
}

fn offered(handshake: &types::Handshake) -> Offered {
    let software = handshake.software.parse().ok();
    Offered { software, protocol: handshake.protocol, format: handshake.format }
}

/// What a source says that does not fit what a copy is or holds, with the facts.
pub(crate) fn misfit(greeting: &Greeting, versions: &Versions, held: Option<&Held>) -> Option<String> {
    if versions::fits(versions, &greeting.offered).is_err() {
        return Some(format!("the source runs {}, this server {versions}", greeting.offered));
    }
    let held = held?;
    if greeting.database != held.database {
        return Some(format!(
            "the source has database {}, this copy is of {}",
            greeting.database, held.database
        ));
    }
    if greeting.partitions != held.partitions {
        let (there, here) = (greeting.partitions, held.partitions);
        return Some(format!("the source has {there} partitions, this copy {here}"));
    }
    if !greeting.held.covers(held.held) {
        let (there, here) = (greeting.held, held.held);
        return Some(format!("the source holds partitions {there} only, this copy {here}"));
    }
    let (found, pinned) = (greeting.primary?, held.primary?);
    (found != pinned && greeting.epoch == held.epoch)
        .then(|| format!("the primary's key is {found}, this copy knows {pinned}"))
}

/// What a copy holds.
pub(super) fn held(database: &Database) -> Held {
    Held {
        database: database.id(),
        partitions: database.partitioning().count(),
        held: database.held_partitions(),
        primary: Some(database.primary().key),
        epoch: database.epoch_seen(),
    }
}

/// As the engine takes it; `None` if the source does not say who signs.
pub(crate) fn for_engine(handshake: types::Handshake) -> Option<Handshake> {
    let identity = |identity: types::ServerIdentity| ServerIdentity {
        name: identity.name,
        key: identity.key,
        url: identity.url,
    };
    Some(Handshake {
        protocol: handshake.protocol,
        software: handshake.software,
        format: handshake.format,
        database: handshake.database,
        name: handshake.name,
        partitions: handshake.partitions,
        epoch: handshake.epoch,
        view: handshake.view,
        digest_keys: handshake.digest_keys,
        primary: identity(handshake.primary?),
        server: identity(handshake.server),
        visible: handshake.visible,
        epochs: shape::engine_epochs(handshake.epochs),
        held: handshake.held,
        servers: handshake.servers.map(shape::engine_signed_servers),
        handover: handshake.handover.map(shape::engine_handover),
    })
}
