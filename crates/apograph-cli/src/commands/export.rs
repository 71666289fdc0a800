//! `apograph export`.

use std::path::PathBuf;

use apograph_client::client::ByteStream;
use apograph_client::format::View;
use clap::Args;
use tokio::io::AsyncWriteExt;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::progress;

/// Write a canonical dump: sorted, one JSON line per document version. Equal copies export equal bytes
#[derive(Debug, Args)]
#[command(after_help = "\
It is of one moment, and whole if its last line is there. `apograph import ndjson` loads it into an empty primary.

Examples:
  apograph export > all.ndjson
  apograph export --view published -o published.ndjson
  apograph export --as-of 2026-11-01T00:00:00Z | b3sum")]
pub(crate) struct Export {
    /// full or published; without it, all that the server holds
    #[arg(long)]
    view: Option<View>,
    /// As of this time: a commit timestamp or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Write into this file instead of standard output
    #[arg(long = "to-file", short = 'o', value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Export {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.client()?;
        let export = client.export(&global.database, self.view, self.as_of.as_deref()).await?;
        if let Some(held) = export.partitions() {
            let held = format!("of partitions {held} only: this server holds no others");
            Printer::new(global.output).note(&held);
        }
        match &self.file {
            None => to_stdout(global, export).await,
            Some(file) => to_file(global, export, file).await,
        }
    }
}

async fn to_stdout(global: &Global, mut export: ByteStream) -> Result<(), Failure> {
    let printer = Printer::new(global.output);
    while let Some(bytes) = export.next().await? {
        printer.bytes(&bytes)?;
    }
    printer.flush()
}

async fn to_file(global: &Global, mut export: ByteStream, path: &std::path::Path) -> Result<(), Failure> {
    let mut file = tokio::fs::File::create(path).await.map_err(Failure::file(path))?;
    let bar = progress::bytes(global.output, "exporting", None);
    while let Some(bytes) = export.next().await? {
        bar.inc(bytes.len() as u64);
        file.write_all(&bytes).await.map_err(Failure::file(path))?;
    }
    file.sync_all().await.map_err(Failure::file(path))?;
    bar.finish_and_clear();
    Printer::new(global.output).note(&format!("{} bytes in {}", export.received(), path.display()));
    Ok(())
}
