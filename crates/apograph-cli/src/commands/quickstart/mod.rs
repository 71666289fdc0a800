//! `apograph quickstart`: three servers in one process, with content.

mod content;
mod folders;
mod servers;
mod told;

use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::serve::{Interruption, start_log};
use crate::arguments::Global;
use crate::failure::Failure;
use folders::Layout;
use servers::Servers;

/// The port of the primary, unless told otherwise; the replica and the staging server take the next two.
const PORT_BASE: u16 = 7700;

/// Start a primary, a replica and a staging server on this machine, with content, until Ctrl-C
#[derive(Debug, Args)]
#[command(after_help = "\
Everything lies in one folder, which starting again continues with. Nothing listens but to this machine.

Examples:
  apograph quickstart                                with a small built-in collection
  apograph quickstart --import ~/src/handbook        with the history of a git repository
  apograph quickstart --dir /tmp/demo --port-base 9000")]
pub(crate) struct Quickstart {
    /// The folder for all data
    #[arg(long, value_name = "DIR", default_value = "./apograph-quickstart")]
    dir: PathBuf,
    /// A git repository to import, instead of the built-in collection
    #[arg(long, value_name = "REPO")]
    import: Option<PathBuf>,
    /// Branch of that repository; without it, the one that is checked out
    #[arg(long, value_name = "NAME", requires = "import")]
    branch: Option<String>,
    /// Port of the primary; the other two take the next ones [default: 7700, or what the folder has]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65533))]
    port_base: Option<u16>,
}

impl Quickstart {
    pub(crate) async fn run(self, global: Global) -> Result<(), Failure> {
        // What a copy meets before its source is up is no news here.
        start_log(global.output, "error");
        let mut interruption = Interruption::new()?;
        let mut layout = Layout::prepare(&self.dir, self.port_base, PORT_BASE, &global.database)?;
        let shutdown = CancellationToken::new();
        let mut servers = Servers::start(&layout, &shutdown).await?;
        let outcome = tokio::select! {
            outcome = self.show(&global, &mut layout) => outcome,
            outcome = servers.failed() => outcome,
            () = interruption.wait() => Err(Failure::Interrupted),
        };
        let outcome = match outcome {
            Ok(()) => tokio::select! {
                outcome = servers.failed() => outcome,
                () = interruption.wait() => Ok(()),
            },
            Err(failure) => Err(failure),
        };
        shutdown.cancel();
        let stopped = servers.stopped().await;
        outcome.and(stopped)?;
        told::stopped(&global, &layout);
        Ok(())
    }

    /// Content in, copies up to date, everything printed.
    async fn show(&self, global: &Global, layout: &mut Layout) -> Result<(), Failure> {
        layout.put_primary_first(&global.database).await?;
        let client = layout.primary().admin()?;
        let imported = match &self.import {
            None => content::sample(&client, &global.database).await?,
            Some(repository) => content::import(global, client, repository, self.branch.as_deref()).await?,
        };
        let late = content::arrived(layout, &global.database, imported.token.as_deref()).await?;
        told::running(global, layout, &imported.line, &late)
    }
}
