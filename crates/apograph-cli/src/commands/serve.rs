//! `apograph serve`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use apograph::error::Cause;
use apograph_server::{ServeError, ServeOptions};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Global, OutputFormat};
use crate::failure::Failure;
use crate::printer::Printer;

/// Run a server on its data folder, until Ctrl-C or SIGTERM
#[derive(Debug, Args)]
#[command(after_help = "\
Logs to standard error; APOGRAPH_LOG chooses how much, such as warn or apograph=debug. With --output json the log is
one JSON value per line.

Example:
  apograph serve --dir primary")]
pub(crate) struct Serve {
    /// The data folder, made by `apograph init`
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Address and port to listen on, instead of what server.json says
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

impl Serve {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        start_log(global.output, "info");
        let shutdown = CancellationToken::new();
        let stopping = shutdown.clone();
        let mut interrupted = Interruption::new()?;
        tokio::spawn(async move {
            interrupted.wait().await;
            stopping.cancel();
        });
        let printer = Printer::new(global.output);
        let ready = |address: SocketAddr| {
            printer.note(&format!("listening on http://{address}; stop with Ctrl-C"));
        };
        let options = ServeOptions { listen: self.listen, ..ServeOptions::default() };
        Ok(apograph_server::serve(&self.dir, options, shutdown, ready).await?)
    }
}

/// Ctrl-C or SIGTERM.
pub(crate) struct Interruption {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Interruption {
    pub(crate) fn new() -> Result<Interruption, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::local("signals cannot be awaited", error));
        Ok(Interruption {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Starts the log; a second start changes nothing.
pub(crate) fn start_log(format: OutputFormat, default: &str) {
    let filter = EnvFilter::try_from_env("APOGRAPH_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        // A log on a full disk must not take the server down.
        .log_internal_errors(false)
        .with_target(false);
    let started = match format {
        OutputFormat::Text => log.try_init(),
        OutputFormat::Json => log.json().try_init(),
    };
    // It fails only when there is one already.
    drop(started);
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Failure {
        let is_damage =
            matches!(&error, ServeError::Database { error, .. } if error.comes_from() == Cause::Damage);
        if is_damage {
            return Failure::Open(Box::new(error));
        }
        let next = match &error {
            ServeError::PortTaken { .. } => {
                Some("stop what listens there, or choose another port with --listen")
            }
            ServeError::Database { error, .. } => match error.comes_from() {
                Cause::DiskFull => Some("free space on its disk, then start it again"),
                Cause::InUse => Some("stop the process that has it open"),
                Cause::Version => Some("use the version of apograph that made it"),
                Cause::Damage | Cause::Other => None,
            },
            _ => None,
        };
        match error {
            ServeError::Folder(error) => error.into(),
            ServeError::Tokens(error) => error.into(),
            error => Failure::Local {
                what: "the server does not run".to_owned(),
                source: Box::new(error),
                next: next.map(str::to_owned),
            },
        }
    }
}
