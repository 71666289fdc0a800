//! Checks of the project itself: `cargo xtask layers`, `cargo xtask docs`, `cargo xtask check` for both; and measurements,
//! `cargo xtask import-rate`, `cargo xtask documents`, `cargo xtask sync-runs`,
//! `cargo xtask failover-runs` and `cargo xtask speed`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for the terminal")]

mod bench;
mod docs;
mod import_rate;
mod layers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Finds what is wrong with the project.
type Check = fn(&Path) -> Vec<String>;

fn main() -> ExitCode {
    let checks: &[(&str, Check)] = &[("layers", layers::check), ("docs", docs::check)];
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    if bench::COMMANDS.contains(&wanted.as_str()) {
        return bench::run(&root(), &wanted, &arguments);
    }
    if wanted == "import-rate" {
        return match import_rate::run(&root(), &arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("import-rate: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if wanted != "check" && !checks.iter().any(|(name, _)| *name == wanted) {
        eprintln!("usage: cargo xtask layers | docs | check | import-rate REPO [BRANCH] [--copies]");
        eprintln!(
            "       cargo xtask documents --help | sync-runs --help | failover-runs --help | speed --help"
        );
        return ExitCode::from(2);
    }
    let mut faults = 0;
    for (name, check) in checks.iter().filter(|(name, _)| wanted == "check" || wanted == *name) {
        let found = check(&root());
        for fault in &found {
            eprintln!("{name}: {fault}");
        }
        if found.is_empty() {
            println!("{name}: sound");
        }
        faults += found.len();
    }
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn layers_are_sound() {
        assert_eq!(super::layers::check(&super::root()), Vec::<String>::new());
    }

    #[test]
    fn documents_name_what_is_there() {
        assert_eq!(super::docs::check(&super::root()), Vec::<String>::new());
    }
}
