//! Why a server does not run.

use std::io;
use std::net::SocketAddr;

use apograph::OpenError;
use apograph::folder::FolderError;

use crate::tokens::TokenError;

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder is in use, of another format, or no data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The tokens cannot be read or made.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// A database cannot be opened: damaged, or in use.
    #[error("the database {name} cannot be opened")]
    Database {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        error: Box<OpenError>,
    },
    /// The system gives no threads.
    #[error("the server's threads cannot be had: {error}")]
    Threads {
        /// What it said.
        error: std::io::Error,
    },
    /// The settings name no address.
    #[error("{found:?} in server.json is no address to listen on; write something like 127.0.0.1:7701")]
    Address {
        /// What they name.
        found: String,
    },
    /// Somebody else listens there.
    #[error("port {} is taken at {}", address.port(), address.ip())]
    PortTaken {
        /// Where.
        address: SocketAddr,
    },
    /// The system does not let us listen.
    #[error("cannot listen: {error}")]
    Listen {
        /// Why.
        error: io::Error,
    },
    /// A mistake in this program.
    #[error("opening the data folder failed unexpectedly")]
    Panicked {
        /// What happened.
        #[source]
        error: tokio::task::JoinError,
    },
}
