//! Whether copies are exact: by digests, by exports, by journals; and what servers hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::appends::{self, Key, List};
use crate::failover::checker::Holdings;
use crate::failover::history::Write;
use crate::process::{Server, files};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What a database holds, by its own export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// How often each write is there: as often as the document that has it most often.
    pub writes: Holdings,
    /// What lists hold.
    pub lists: BTreeMap<Key, List>,
    /// Lists of which a later version does not continue the one before.
    pub torn: BTreeSet<Key>,
}

/// Waits until digests, exports and, if both have all versions, journals are equal; answers what differs when the time is
/// over. Nobody may write meanwhile, but the servers themselves.
pub fn until_equal(primary: &Server, copy: &Server, view: &str, patience: Duration) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let outcome = equal(primary, copy, view);
        if outcome.is_ok() || began.elapsed() >= patience {
            return outcome.map_err(|found| format!("{} and {}: {found}", primary.name, copy.name));
        }
        std::thread::sleep(PAUSE);
    }
}

fn equal(primary: &Server, copy: &Server, view: &str) -> Result<(), String> {
    crate::runs::verify(primary, copy)?;
    if export(primary, view)? != export(copy, view)? {
        return Err(format!("the exports of what is {view} differ"));
    }
    let (one, other) = (journals(&primary.folder), journals(&copy.folder));
    match one.iter().find(|(name, bytes)| other.get(*name) != Some(bytes)) {
        Some((name, _)) if view == "full" => Err(format!("{name} of the journals differs")),
        _ => Ok(()),
    }
}

/// The canonical dump of a view.
pub fn export(server: &Server, view: &str) -> Result<String, String> {
    let output =
        server.command("reader", &["export", "--view", view]).output().map_err(|error| error.to_string())?;
    let told = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(told(&output.stdout)) } else { Err(told(&output.stderr)) }
}

/// The journals of a server, by the names of their segments; without the `_` of the open ones and the zeros ahead of their
/// end.
pub fn journals(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "segment");
    let relative = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_string_lossy().replace("/_", "/");
    let segments = files(folder).into_iter().filter(is_segment);
    segments.map(|path| (relative(&path), entries(&path))).collect()
}

/// The bytes of a segment, without the zeros ahead of the end of an open one.
pub fn entries(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap_or_default();
    if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_')) {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(end);
    }
    bytes
}

/// A file of a server that has these bytes in it.
pub fn holder(server: &Server, bytes: &[u8]) -> Option<PathBuf> {
    let holds = |path: &PathBuf| {
        fs::read(path).is_ok_and(|held| held.windows(bytes.len()).any(|window| window == bytes))
    };
    files(&server.folder).into_iter().find(holds)
}

/// Reads an export.
pub fn held(export: &str) -> Held {
    let mut held = Held::default();
    let mut counts: BTreeMap<(String, Write), u64> = BTreeMap::new();
    for line in export.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let uri = line["uri"].as_str().unwrap_or_default();
        if let Some(write) = line["comment"].as_str().and_then(Write::parse) {
            *counts.entry((uri.to_owned(), write)).or_default() += 1;
        }
        let content = line["content"]["body"].as_str();
        let list = content.filter(|_| uri.starts_with("/lists/")).and_then(appends::read);
        if let Some(list) = list {
            let before = held.lists.entry(uri.to_owned()).or_default();
            if !list.starts_with(before) {
                held.torn.insert(uri.to_owned());
            }
            *before = list;
        }
    }
    for ((_, write), count) in counts {
        let most = held.writes.entry(write).or_default();
        *most = count.max(*most);
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_says_what_lists_hold_and_how_often_a_write_is_there() {
        let export = "\
            {\"export\":1}\n\
            {\"uri\":\"/lists/1/0\",\"head\":{}}\n\
            {\"uri\":\"/lists/1/0\",\"version\":1,\"comment\":\"write 1.0\",\"content\":{\"body\":\"1.0\\n\"}}\n\
            {\"uri\":\"/lists/1/0\",\"version\":2,\"comment\":\"write 2.0\",\"content\":{\"body\":\"1.0\\n2.0\\n\"}}\n\
            {\"uri\":\"/lists/2/0\",\"version\":1,\"comment\":\"write 2.0\",\"content\":{\"body\":\"2.0\\n\"}}\n";
        let (one, two) = (Write { client: 1, number: 0 }, Write { client: 2, number: 0 });
        let found = held(export);
        assert_eq!(found.writes, Holdings::from([(one, 1), (two, 1)]), "two documents of one write are one");
        assert_eq!(found.lists["/lists/1/0"], [one, two]);
        assert!(found.torn.is_empty());
        let twice = format!("{export}{}", export.lines().nth(3).unwrap());
        assert_eq!(held(&twice).writes[&two], 2);
        let lost = export.replace("1.0\\n2.0\\n", "2.0\\n");
        assert_eq!(held(&lost).torn, BTreeSet::from(["/lists/1/0".to_owned()]));
    }
}
