//! `apograph import git` and `apograph import ndjson`.

use std::path::{Path, PathBuf};

use apograph_client::Client;
use apograph_client::format::Uri;
use clap::{Args, Subcommand};

use crate::arguments::Global;
use crate::failure::Failure;
use crate::import::git::Repository;
use crate::import::ndjson::{self, ExportFile};
use crate::import::run::{Run, Summary};
use crate::printer::Printer;
use crate::progress;

/// Bring documents in from elsewhere
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Git(Git),
    Ndjson(Ndjson),
}

/// A repository's history: every commit becomes one transaction, with its author, time and message
#[derive(Debug, Args)]
#[command(after_help = "\
Files become documents (/path/of/file), renames become moves, deletions go to the trash. What reaches the
branch is published; commits of side branches are saved as working versions. Running it again continues where
it stopped, and brings only new commits. Submodules are left out and listed.

Needs a token of the role admin, because it writes in the names of the commits' authors. All files of one commit
together may have about 48 MiB.

Examples:
  apograph import git ~/src/handbook --token-file primary/tokens/admin.token
  apograph import git ./rfcs.git --branch master --prefix /rfcs")]
struct Git {
    /// The repository, bare or not; nothing is written to it
    #[arg(value_name = "REPO")]
    repository: PathBuf,
    /// The branch whose history is published; without it, the one that is checked out
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Put all documents below this URI
    #[arg(long, value_name = "URI")]
    prefix: Option<Uri>,
}

/// What `export` wrote: every document with its versions, ids and state, into an empty primary
#[derive(Debug, Args)]
#[command(after_help = "\
The documents have the same versions, numbers, ids, states and locks as in the server that was exported; what was
trashed, withdrawn, moved or purged there is so here. New are only the times of the commits. Documents under
/_system/servers/ are left out and listed: they name the servers of the database that was exported. An export of the
published view brings the published versions, published.

The file is checked as a whole before anything is sent: what is damaged, cut off or of a newer format is refused with
the number of its line (exit status 7). Running it again continues where it stopped, and brings nothing twice.

Needs a token of the role admin, and a primary in which nothing ever was.

Examples:
  apograph export --server http://127.0.0.1:7701 --to-file all.ndjson
  apograph import ndjson all.ndjson --dry-run
  apograph import ndjson all.ndjson --token-file primary/tokens/admin.token")]
struct Ndjson {
    /// The export; a file, because it is read more than once
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check the file, ask the server, count, and load nothing
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.client()?;
        match self.from {
            From::Git(git) => {
                let prefix = git.prefix.as_ref().map_or("", Uri::as_str);
                let summary =
                    from_git(global, client, &git.repository, git.branch.as_deref(), prefix).await?;
                Printer::new(global.output).value(&summary, in_words)
            }
            From::Ndjson(Ndjson { file, dry_run }) => {
                let file = ExportFile::open(&file)?;
                let run = ndjson::Run { client, database: global.database.clone(), file, dry_run };
                let summary = run.run(global.output).await?;
                Printer::new(global.output).value(&summary, ndjson::Summary::in_words)
            }
        }
    }
}

/// Imports a repository with a progress bar.
pub(crate) async fn from_git(
    global: &Global,
    client: Client,
    repository: &Path,
    branch: Option<&str>,
    prefix: &str,
) -> Result<Summary, Failure> {
    let repository = Repository::open(repository)?;
    let main_line = repository.main_line(branch)?;
    if let Some(named) = &main_line.instead_of {
        let only = &main_line.branch;
        Printer::new(global.output).note(&format!(
            "{named}, which the repository's head names, has no commits: importing {only}, its only branch"
        ));
    }
    let bar = progress::count(global.output, "importing", Some(main_line.commits));
    let run =
        Run { client, database: global.database.clone(), repository, main_line, prefix: prefix.to_owned() };
    let outcome = run.run(&bar).await;
    bar.finish_and_clear();
    outcome
}

/// What an import did, for people.
pub(crate) fn in_words(summary: &Summary) -> String {
    let all = summary.commits_before + summary.commits;
    let mut text = format!("{}: {all} of {} commits are there", summary.branch, summary.commits_total);
    text.push_str(&match (summary.commits, summary.commits_before) {
        (0, _) => ", nothing was new\n".to_owned(),
        (new, 0) => {
            format!(": {new} new, {} operations, {} bytes\n", summary.operations, summary.content_bytes)
        }
        (new, before) => format!(
            ": {new} new, {before} before; {} operations, {} bytes\n",
            summary.operations, summary.content_bytes
        ),
    });
    if let Some(token) = &summary.token {
        text.push_str(&format!("token {token}\n"));
    }
    if summary.skipped_total > 0 {
        text.push_str(&format!("left out: {} files\n", summary.skipped_total));
    }
    for skipped in &summary.skipped {
        let commit: String = skipped.commit.chars().take(12).collect();
        text.push_str(&format!("  {commit}  {}: {}\n", skipped.path, skipped.reason));
    }
    if summary.skipped_total > summary.skipped.len() as u64 {
        text.push_str("  and more\n");
    }
    text
}
