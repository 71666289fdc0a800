//! `apograph backup restore`.

use std::path::PathBuf;

use apograph::backup::{RestoreRequest, Restored};
use apograph::{Folder, Role};
use apograph_client::format::Timestamp;
use apograph_client::format::timestamp::parse_date;
use clap::Args;

use super::Place;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::progress;

/// Make a database of a backup, as it was then or at another time
#[derive(Debug, Args)]
#[command(after_help = "\
FOLDER is a data folder that `apograph init` made; its server is stopped. What it says the server is for the database
decides what comes of the backup:

  replica   follows its source from the backup on, or synchronizes the difference
  staging   the same, of a backup that a staging server made
  primary   begins a new epoch, so that copies which have more than the backup notice it and become equal again

The time may be any one from the horizon of the backup up to the backup, or, with --archive, up to the end of the
journals there: a later backup, or a copy of the folder databases/NAME of a server.

Examples:
  apograph init --dir new --role replica --source http://127.0.0.1:7700 \\
      --source-token-file primary/tokens/link-replica.token
  apograph backup restore primary/backups/2026-11-22 --to new
  apograph backup restore primary/backups/2026-11-22 --to new --at 2026-11-22T08:59:59Z --replace")]
pub(super) struct Restore {
    #[command(flatten)]
    place: Place,
    /// The data folder
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// As of this time: microseconds since 1970, a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = parse_date)]
    at: Option<Timestamp>,
    /// A later backup, or a copy of a database's folder: its journals continue this backup's
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Move a database that is there aside, into databases/NAME.before-restore-TIME
    #[arg(long)]
    replace: bool,
}

impl Restore {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let folder = Folder::open(&self.to)?;
        let asked = self.at;
        let request = RestoreRequest {
            backup: self.place.dir,
            at: self.at,
            archive: self.archive,
            replace: self.replace,
        };
        let bar = progress::bytes(global.output, "copying", Some(0));
        let restored = folder.restore(&global.database, &request, &mut |progress| {
            bar.set_message(progress.phase.as_str());
            bar.set_length(progress.bytes_total);
            bar.set_position(progress.bytes);
            true
        });
        bar.finish_and_clear();
        let restored = restored?;
        Printer::new(global.output).value(&restored, |restored| in_words(restored, asked, &self.to))
    }
}

fn in_words(restored: &Restored, asked: Option<Timestamp>, to: &std::path::Path) -> String {
    let mut text = format!(
        "{} is the state at {} (timestamp {}, epoch {}), of a {}\n",
        restored.path.display(),
        restored.time,
        restored.at,
        restored.epoch,
        restored.role
    );
    if let Some(asked) = asked.filter(|asked| *asked > restored.at) {
        let asked = asked.to_rfc3339();
        text.push_str(&format!("  the last transaction up to {asked} that is known here\n"));
    }
    for digest in &restored.digests {
        text.push_str(&format!(
            "  {:<9} {} documents, digest {}\n",
            digest.view.to_string(),
            digest.documents,
            digest.digest
        ));
    }
    if let Some(aside) = &restored.moved_aside {
        text.push_str(&format!("  what was there is in {}\n", aside.display()));
    }
    if restored.role == Role::Primary {
        text.push_str("  it began a new epoch: copies that have more than this notice it\n");
    }
    text.push_str(&format!("next:\n  apograph serve --dir {}", to.display()));
    text
}
