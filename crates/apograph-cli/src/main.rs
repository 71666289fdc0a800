//! `apograph`: documents by hand and by script, servers, imports and proofs. One file per verb in [`commands`].

mod arguments;
mod commands;
mod connection;
mod failure;
mod import;
mod printer;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

/// Of the whole process; its settings are built in (`.cargo/config.toml`, `docs/decisions/0027-allocator.md`).
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let format = arguments.global.output;
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&failure::Failure::local("the runtime", error), format),
    };
    let outcome = runtime.block_on(commands::run(arguments));
    // A read of standard input cannot be cancelled; do not wait for it.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure::report(&failure, format),
    }
}
