//! A file per verb: its arguments with their help, and what it does.

pub(crate) mod backup;
pub(crate) mod export;
pub(crate) mod follow;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod hold;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod journal;
pub(crate) mod lag_limit;
pub(crate) mod links;
pub(crate) mod lock;
pub(crate) mod ls;
pub(crate) mod r#move;
pub(crate) mod orphans;
pub(crate) mod pause;
pub(crate) mod promote;
pub(crate) mod publish;
pub(crate) mod purge;
pub(crate) mod put;
pub(crate) mod quarantine;
pub(crate) mod quickstart;
pub(crate) mod repair;
pub(crate) mod restore;
pub(crate) mod resume;
pub(crate) mod rollback;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod switchover;
pub(crate) mod sync;
pub(crate) mod throttle;
pub(crate) mod trash;
pub(crate) mod unlock;
pub(crate) mod verify;
pub(crate) mod why;
pub(crate) mod withdraw;

mod operation;
mod together;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

/// Does what was typed.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let global = arguments.global;
    match arguments.command {
        Command::Quickstart(verb) => verb.run(global).await,
        Command::Init(verb) => verb.run(&global),
        Command::Serve(verb) => verb.run(&global).await,
        Command::Import(verb) => verb.run(&global).await,
        Command::Put(verb) => verb.run(&global).await,
        Command::Get(verb) => verb.run(&global).await,
        Command::Publish(verb) => verb.run(&global).await,
        Command::Withdraw(verb) => verb.run(&global).await,
        Command::Trash(verb) => verb.run(&global).await,
        Command::Restore(verb) => verb.run(&global).await,
        Command::Purge(verb) => verb.run(&global).await,
        Command::Move(verb) => verb.run(&global).await,
        Command::Lock(verb) => verb.run(&global).await,
        Command::Unlock(verb) => verb.run(&global).await,
        Command::History(verb) => verb.run(&global).await,
        Command::Ls(verb) => verb.run(&global).await,
        Command::Status(verb) => verb.run(&global).await,
        Command::Links(verb) => verb.run(&global).await,
        Command::Sync(verb) => verb.run(&global).await,
        Command::Repair(verb) => verb.run(&global).await,
        Command::Quarantine(verb) => verb.run(&global).await,
        Command::Pause(verb) => verb.run(&global).await,
        Command::Resume(verb) => verb.run(&global).await,
        Command::Throttle(verb) => verb.run(&global).await,
        Command::LagLimit(verb) => verb.run(&global).await,
        Command::Hold(verb) => verb.run(&global).await,
        Command::Promote(verb) => verb.run(&global).await,
        Command::Switchover(verb) => verb.run(&global).await,
        Command::Follow(verb) => verb.run(&global).await,
        Command::Orphans(verb) => verb.run(&global).await,
        Command::Rollback(verb) => verb.run(&global).await,
        Command::Why(verb) => verb.run(&global).await,
        Command::Verify(verb) => verb.run(&global).await,
        Command::Export(verb) => verb.run(&global).await,
        Command::Backup(verb) => verb.run(&global).await,
        Command::Journal(verb) => verb.run(&global),
    }
}
