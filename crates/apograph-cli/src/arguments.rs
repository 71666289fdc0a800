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
    /// Start a primary, a replica and a staging server on this machine, with content
    Quickstart(commands::quickstart::Quickstart),
    /// Make the data folder of a new server
    Init(commands::init::Init),
    /// Run a server
    Serve(commands::serve::Serve),
    /// Bring documents in from elsewhere
    Import(commands::import::Import),
    /// Save a new version of a document
    Put(commands::put::Put),
    /// Show a document, or fetch its content
    Get(commands::get::Get),
    /// Make a version live
    Publish(commands::publish::Publish),
    /// Take the live version back
    Withdraw(commands::withdraw::Withdraw),
    /// Put a document into the trash
    Trash(commands::trash::Trash),
    /// Take a document out of the trash
    Restore(commands::restore::Restore),
    /// Erase a document and its history, on every server
    Purge(commands::purge::Purge),
    /// Continue a document under another URI
    Move(commands::r#move::Move),
    /// Keep others from changing a document
    Lock(commands::lock::Lock),
    /// Let others change it again
    Unlock(commands::unlock::Unlock),
    /// Show the versions of a document, newest first
    History(commands::history::History),
    /// List documents
    Ls(commands::ls::Ls),
    /// Show where a server stands, and how far its copies are
    Status(commands::status::Status),
    /// Prove that two servers are equal, or list what differs
    Verify(commands::verify::Verify),
    /// Write a canonical dump; equal copies export equal bytes
    Export(commands::export::Export),
    /// Look at journal files, without a server
    Journal(commands::journal::Journal),
}

const AFTER_HELP: &str = "\
Begin with:
  apograph quickstart                  three servers on this machine, with sample content

Exit status:
  0    done; of verify: equal
  1    verify: not equal
  2    the command line is wrong
  3    refused: a precondition, a conflict, bad input, a server that takes no edits
  4    not found: no such document, version, database
  5    denied: the token is missing, wrong, or of a role that may not
  6    unreachable: no server there, no answer, a broken answer, or not Apograph
  7    damaged: stored bytes are not what they were
  8    this machine: a file, a folder, a port, a repository
  9    the server failed
  130  interrupted";
