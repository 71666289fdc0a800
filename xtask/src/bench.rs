//! `cargo xtask documents`, `cargo xtask sync-runs`, `cargo xtask failover-runs`, `cargo xtask speed`: builds the server and
//! the runs for release, and starts them.
//! They are a crate of their own, `apograph-bench`, so that the checks need not wait for a client to be built.

use std::path::Path;
use std::process::{Command, ExitCode};

/// What `apograph-bench` knows.
pub(crate) const COMMANDS: &[&str] = &["documents", "sync-runs", "failover-runs", "speed"];

/// Its exit status is theirs.
pub(crate) fn run(root: &Path, command: &str, arguments: &[String]) -> ExitCode {
    let build = ["build", "--release", "--package", "apograph-cli", "--package", "apograph-bench"];
    let built = Command::new(env!("CARGO")).args(build).current_dir(root).status();
    match built {
        Ok(status) if status.success() => {}
        Ok(status) => {
            eprintln!("{command}: the build failed: {status}");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("{command}: cargo cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    }
    // From where it was called: its arguments may name files.
    let manifest = root.join("Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["run", "--release", "--quiet", "--package", "apograph-bench", "--manifest-path"])
        .arg(manifest);
    match cargo.arg("--").arg(command).args(arguments).status() {
        Ok(status) => {
            status.code().map_or(ExitCode::FAILURE, |code| ExitCode::from(u8::try_from(code).unwrap_or(1)))
        }
        Err(error) => {
            eprintln!("{command}: {error}");
            ExitCode::FAILURE
        }
    }
}
