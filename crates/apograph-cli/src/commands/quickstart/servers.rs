//! The three, running.

use apograph_server::{ServeError, ServeOptions, serve};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::folders::Layout;
use crate::failure::Failure;

/// Three servers in this process.
pub(super) struct Servers {
    tasks: JoinSet<Result<(), ServeError>>,
}

impl Servers {
    /// Starts all; returns when all take requests.
    pub(super) async fn start(layout: &Layout, shutdown: &CancellationToken) -> Result<Servers, Failure> {
        let mut servers = Servers { tasks: JoinSet::new() };
        let mut ready = Vec::new();
        for place in &layout.servers {
            let (tell, told) = oneshot::channel();
            let (dir, shutdown) = (place.dir.clone(), shutdown.clone());
            let options = ServeOptions { listen: Some(place.address), ..ServeOptions::default() };
            let tell = move |_| {
                // Nobody waits any more when another server failed first.
                let _ = tell.send(());
            };
            servers.tasks.spawn(async move { serve(&dir, options, shutdown, tell).await });
            ready.push(told);
        }
        for told in ready {
            if told.await.is_err() {
                servers.failed().await?;
            }
        }
        Ok(servers)
    }

    /// Returns when one of them stopped before it was told to.
    pub(super) async fn failed(&mut self) -> Result<(), Failure> {
        match self.tasks.join_next().await {
            Some(Ok(Ok(()))) | None => Err(Failure::local("a server stopped", "nobody told it to")),
            Some(Ok(Err(error))) => Err(error.into()),
            Some(Err(error)) => Err(Failure::local("a server failed", error)),
        }
    }

    /// Waits until all stopped, after they were told to.
    pub(super) async fn stopped(mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        while let Some(stopped) = self.tasks.join_next().await {
            let stopped = match stopped {
                Ok(stopped) => stopped.map_err(Failure::from),
                Err(error) => Err(Failure::local("a server failed", error)),
            };
            outcome = outcome.and(stopped);
        }
        outcome
    }
}
