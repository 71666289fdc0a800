//! Runs a server on a data folder, until it is told to stop.

mod accept;
mod error;
pub(crate) mod patience;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use apograph::{Database, Folder};
use apograph_replication::versions::Versions;

use crate::app::App;
use crate::limits::DRAIN_TIMEOUT;
use crate::tokens::{self, Tokens};
use crate::{lag_limits, links, routes};

pub use error::ServeError;

/// What the caller of [`serve`] decides.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// Where to listen, instead of what the settings say. Port 0 takes any free port.
    pub listen: Option<SocketAddr>,
    /// The versions that this server says to have. Another one's are for tests of servers of different versions.
    pub versions: Versions,
}

/// Opens the data folder and serves it. `ready` is called once, with the address, when requests are taken. Returns when
/// `shutdown` is cancelled and everything is closed: streams end at once, requests get a few seconds.
pub async fn serve(
    directory: &Path,
    options: ServeOptions,
    shutdown: CancellationToken,
    ready: impl FnOnce(SocketAddr) + Send,
) -> Result<(), ServeError> {
    let opened = open(directory).await?;
    let listener = listen(&opened.folder, &options).await?;
    let address = listener.local_addr().map_err(|error| ServeError::Listen { error })?;
    // Streams end with the server; a caller's token may live on.
    let stopping = shutdown.child_token();
    let app = App::new(opened.folder, opened.tokens, opened.databases, options.versions, stopping.clone());
    let app = app.map_err(|error| ServeError::Threads { error })?;
    links::start(&app);
    lag_limits::start(&app);
    let router = routes::router(&app);
    tracing::info!(%address, "serving");
    ready(address);
    accept::run(listener, router, &app).await;
    app.tasks.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, app.tasks.wait()).await.is_err() {
        tracing::warn!("something did not end in time");
    }
    close(app.databases()).await;
    tracing::info!(%address, "stopped");
    Ok(())
}

struct Opened {
    folder: Folder,
    tokens: Tokens,
    databases: BTreeMap<String, Option<Database>>,
}

async fn open(directory: &Path) -> Result<Opened, ServeError> {
    let directory = directory.to_owned();
    let open = move || {
        let folder = Folder::open(&directory)?;
        tokens::create(folder.path())?;
        let tokens = Tokens::load(folder.path())?;
        let names: Vec<_> = folder.settings().databases.keys().cloned().collect();
        let open = |name: String| match folder.database(&name) {
            Ok(database) => Ok((name, database)),
            Err(error) => Err(ServeError::Database { name, error: Box::new(error) }),
        };
        let databases = names.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Opened { folder, tokens, databases })
    };
    tokio::task::spawn_blocking(open).await.unwrap_or_else(|error| Err(ServeError::Panicked { error }))
}

async fn listen(folder: &Folder, options: &ServeOptions) -> Result<TcpListener, ServeError> {
    let text = &folder.settings().listen;
    let address = match options.listen {
        Some(address) => address,
        None => text.parse().map_err(|_| ServeError::Address { found: text.clone() })?,
    };
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => ServeError::PortTaken { address },
        _ => ServeError::Listen { error },
    })
}

async fn close(databases: Vec<Database>) {
    let closing = tokio::task::spawn_blocking(move || {
        for database in databases {
            database.shutdown();
        }
    });
    if let Err(error) = closing.await {
        tracing::error!(%error, "a database did not close");
    }
}
