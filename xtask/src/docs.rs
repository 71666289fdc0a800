//! Documents name files: every path in them must exist, and every decision must be listed.

use std::fs;
use std::path::Path;

/// Documents whose paths are checked.
const DOCUMENTS: &[&str] = &["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md", "docs/decisions/README.md"];

/// Every path in a document that does not exist, and every decision that its list does not name.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let mut faults = Vec::new();
    for document in DOCUMENTS {
        match fs::read_to_string(root.join(document)) {
            Err(error) => faults.push(format!("{document}: {error}")),
            Ok(text) => {
                for path in paths(&text).filter(|path| !root.join(path).exists()) {
                    faults.push(format!("{document} names {path}, which does not exist"));
                }
            }
        }
    }
    faults.extend(unlisted_decisions(root));
    faults
}

/// Words in back quotes that look like a path of the project.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|word| {
        let begins = ["crates/", "docs/", "xtask/", ".ci/"].iter().any(|start| word.starts_with(start));
        begins && !word.contains(['*', ' ', '{', '<', 'N'])
    })
}

fn unlisted_decisions(root: &Path) -> Vec<String> {
    let folder = root.join("docs/decisions");
    let list = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| name.starts_with('0') && !list.contains(name.as_str()))
        .map(|name| format!("docs/decisions/README.md does not list {name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_are_recognised() {
        let text = "see `crates/apograph/src/lib.rs`, `cargo test` and `docs/decisions/NNNN-*.md`";
        assert_eq!(super::paths(text).collect::<Vec<_>>(), ["crates/apograph/src/lib.rs"]);
    }
}
