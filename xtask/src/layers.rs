//! Which crate may use which, and what no layer below the server may know.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A crate, and the crates of ours that it may use. What is not here does not exist.
const ALLOWED: &[(&str, &[&str])] = &[
    ("apograph-format", &[]),
    ("apograph-journal", &["apograph-format"]),
    ("apograph-store", &["apograph-format"]),
    ("apograph-replication", &["apograph-format"]),
    ("apograph-client", &["apograph-format"]),
    ("apograph-carriers", &["apograph-format", "apograph-replication", "apograph-client"]),
    ("apograph", &["apograph-format", "apograph-journal", "apograph-store", "apograph-replication"]),
    (
        "apograph-server",
        &["apograph-format", "apograph-replication", "apograph", "apograph-carriers", "apograph-client"],
    ),
    ("apograph-cli", &["apograph-format", "apograph", "apograph-client", "apograph-server"]),
    ("apograph-sim", &["apograph-format", "apograph-replication", "apograph", "apograph-bench"]),
    ("apograph-bench", &["apograph-store", "apograph-client"]),
    ("xtask", &[]),
];

/// Crates that stay synchronous and without sockets: nothing of these may be among their dependencies.
const SYNCHRONOUS: &[&str] =
    &["apograph-format", "apograph-journal", "apograph-store", "apograph-replication"];
const FORBIDDEN: &[&str] = &["tokio", "hyper", "axum", "reqwest"];

/// Every edge of `cargo metadata` that the table does not allow.
pub(crate) fn check(root: &Path) -> Vec<String> {
    match metadata(root) {
        Ok(metadata) => faults(&metadata),
        Err(error) => vec![error],
    }
}

fn metadata(root: &Path) -> Result<Value, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

fn faults(metadata: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let empty = Vec::new();
    let packages = metadata["packages"].as_array().unwrap_or(&empty);
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("{name} is not in the table of xtask/src/layers.rs"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().unwrap_or(&empty);
        // Tests may use what they like.
        for dependency in dependencies.iter().filter(|dependency| dependency["kind"] != "dev") {
            let used = dependency["name"].as_str().unwrap_or_default();
            if used.starts_with("apograph") && !allowed.contains(&used) {
                faults.push(format!("{name} uses {used}, which its layer may not"));
            }
            if SYNCHRONOUS.contains(&name) && FORBIDDEN.contains(&used) {
                faults.push(format!("{name} uses {used}, but must stay synchronous and without sockets"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upward_edge_is_found() {
        let dependency = serde_json::json!({ "name": "apograph", "kind": null });
        let package = serde_json::json!({ "name": "apograph-store", "dependencies": [dependency] });
        let found = faults(&serde_json::json!({ "packages": [package] }));
        assert_eq!(found, ["apograph-store uses apograph, which its layer may not"]);
    }
}
