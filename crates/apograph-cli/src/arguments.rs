//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands;

/// A document repository whose copies are exact, and can prove it.
#[derive(Debug, Parser)]
#[command(name = "apograph", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Global {
    /// How answers are printed: text, or json with one value per line
    #[arg(long, global = true, value_enum, hide_possible_values = true, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    pub(crate) output: OutputFormat,
    /// The server to ask
    #[arg(
        long,
        global = true,
        env = "APOGRAPH_SERVER",
        default_value = "http://127.0.0.1:7700",
        value_name = "URL"
    )]
    pub(crate) server: String,
    /// File with the token for it, readable by nobody else
    #[arg(long, global = true, env = "APOGRAPH_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The database
    #[arg(long, global = true, env = "APOGRAPH_DATABASE", default_value = "main", value_name = "NAME")]
    pub(crate) database: String,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Quickstart(commands::quickstart::Quickstart),
    Init(commands::init::Init),
    Serve(commands::serve::Serve),
    Import(commands::import::Import),
    Put(commands::put::Put),
    Get(commands::get::Get),
    Publish(commands::publish::Publish),
    Withdraw(commands::withdraw::Withdraw),
    Trash(commands::trash::Trash),
    Restore(commands::restore::Restore),
    Purge(commands::purge::Purge),
    Move(commands::r#move::Move),
    Lock(commands::lock::Lock),
    Unlock(commands::unlock::Unlock),
    History(commands::history::History),
    Ls(commands::ls::Ls),
    Status(commands::status::Status),
    Links(commands::links::Links),
    Sync(commands::sync::Sync),
    Repair(commands::repair::Repair),
    Quarantine(commands::quarantine::Quarantine),
    Pause(commands::pause::Pause),
    Resume(commands::resume::Resume),
    Throttle(commands::throttle::Throttle),
    LagLimit(commands::lag_limit::LagLimit),
    Hold(commands::hold::Hold),
    Promote(commands::promote::Promote),
    Switchover(commands::switchover::Switchover),
    Follow(commands::follow::Follow),
    Orphans(commands::orphans::Orphans),
    Rollback(commands::rollback::Rollback),
    Why(commands::why::Why),
    Verify(commands::verify::Verify),
    Export(commands::export::Export),
    Backup(commands::backup::Backup),
    Journal(commands::journal::Journal),
}

const AFTER_HELP: &str = "\
Begin with:
  apograph quickstart                  three servers on this machine, with sample content

Exit status:
  0    done; of verify: equal; of why: it is here
  1    verify: not equal; why: it is not here
  2    the command line is wrong
  3    refused: a precondition, a conflict, bad input, a server that takes no edits
  4    not found: no such document, version, database
  5    denied: the token is missing, wrong, or of a role that may not
  6    unreachable: no server there, no answer, a broken answer, or not Apograph
  7    damaged: stored bytes are not what they were
  8    this machine: a file, a folder, a port, a repository
  9    the server failed
  10   committed, but fewer replicas than asked for had it in time: do not send it again
  130  interrupted";
