//! The data folders of the three, made once.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use apograph::settings::{DatabaseSettings, ServerSettings};
use apograph::{Folder, Role};
use apograph_client::Client;
use apograph_server::tokens::{TokenRole, token_path};

use crate::commands::init;
use crate::connection;
use crate::failure::Failure;

/// The three servers.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) dir: PathBuf,
    /// Primary, replica, staging.
    pub(super) servers: [Place; 3],
}

/// One server.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) role: Role,
    pub(super) dir: PathBuf,
    pub(super) address: SocketAddr,
}

impl Layout {
    /// Makes what is not there yet, and checks that the ports are free.
    pub(super) fn prepare(
        dir: &Path,
        port_base: Option<u16>,
        port_default: u16,
        database: &str,
    ) -> Result<Layout, Failure> {
        let base = port_base.unwrap_or(port_default);
        let place = |role: Role, offset: u16| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, base.saturating_add(offset)));
            Place { role, dir: dir.join(role.to_string()), address }
        };
        let servers = [place(Role::Primary, 0), place(Role::Replica, 1), place(Role::Staging, 2)];
        let mut layout = Layout { dir: dir.to_owned(), servers };
        let is_made = |place: &Place| place.dir.join("FORMAT").exists();
        for place in layout.servers.iter_mut().filter(|place| is_made(place)) {
            place.continue_with(port_base.is_some())?;
        }
        // Before anything is made: a folder remembers its ports.
        layout.servers.iter().try_for_each(Place::check_port)?;
        let source = layout.primary().address;
        for place in layout.servers.iter().filter(|place| !is_made(place)) {
            place.make(dir, source, database)?;
        }
        Ok(layout)
    }

    pub(super) fn primary(&self) -> &Place {
        let [primary, ..] = &self.servers;
        primary
    }

    /// The server that takes edits comes first. Roles may have changed since the folders were made; names stay.
    pub(super) async fn put_primary_first(&mut self, database: &str) -> Result<(), Failure> {
        let status = self.primary().admin()?.status().await?;
        let url = status.databases.into_iter().find(|of| of.name == database).and_then(|of| of.primary_url);
        let [first, second, _] = &mut self.servers;
        if url == Some(second.url()) {
            std::mem::swap(first, second);
        }
        Ok(())
    }
}

impl Place {
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn token_file(&self, role: TokenRole) -> PathBuf {
        token_path(&self.dir, role)
    }

    /// A client that may do everything there.
    pub(super) fn admin(&self) -> Result<Client, Failure> {
        connection::client(&self.url(), Some(&self.token_file(TokenRole::Admin)))
    }

    fn make(&self, dir: &Path, primary: SocketAddr, database: &str) -> Result<(), Failure> {
        let mut settings = DatabaseSettings::new(self.role);
        let link = match self.role {
            Role::Primary => None,
            Role::Replica => Some(TokenRole::LinkReplica),
            Role::Staging => Some(TokenRole::LinkStaging),
        };
        if let Some(link) = link {
            let token_file = token_path(&dir.join(Role::Primary.to_string()), link);
            settings.source = Some(init::source(&format!("http://{primary}"), &token_file)?);
        }
        let settings = ServerSettings {
            name: self.role.to_string(),
            listen: self.address.to_string(),
            url: None,
            backup_folder: None,
            databases: BTreeMap::from([(database.to_owned(), settings)]),
        };
        init::make(&self.dir, &settings).map(drop)
    }

    /// The folder says where it listens; another port that was asked for would cut the copies off.
    fn continue_with(&mut self, asked: bool) -> Result<(), Failure> {
        let folder = Folder::open(&self.dir)?;
        let listen = &folder.settings().listen;
        let found = listen.parse().map_err(|_| {
            Failure::Usage(format!("{listen:?} in {}/server.json is no address", self.dir.display()))
        })?;
        if asked && found != self.address {
            return Err(Failure::Usage(format!(
                "{} was made for {found}; leave --port-base away, or choose another --dir",
                self.dir.display()
            )));
        }
        self.address = found;
        Ok(())
    }

    fn check_port(&self) -> Result<(), Failure> {
        TcpListener::bind(self.address).map(drop).map_err(|error| Failure::Local {
            what: format!("port {} for the {} server cannot be used", self.address.port(), self.role),
            source: error.into(),
            next: Some(
                "stop what listens there, or choose three other ports with --port-base PORT and a new --dir"
                    .to_owned(),
            ),
        })
    }
}
