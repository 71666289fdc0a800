//! Exports loaded into a primary, whole or with breaks.

use std::collections::BTreeMap;

use apograph::error::{CommitError, ImportError};
use apograph::import::{ImportPosition, OpenDocument};
use apograph::settings::{DatabaseSettings, ServerSettings};
use apograph::{Database, Folder, ImportRequest, Imported, Role};

/// An export without what is new by nature in the database it is loaded into: when heads were committed, the servers'
/// own documents, and the last line, which counts and hashes both.
pub fn loadable(lines: &[String]) -> Vec<serde_json::Value> {
    let read = |line: &String| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let lines = lines.iter().map(read).filter(|line| {
        let uri = line["uri"].as_str().unwrap_or_default();
        !uri.starts_with("/_system/servers/") && line.get("end").is_none()
    });
    let without_time = |mut line: serde_json::Value| {
        if let Some(changed) = line.pointer_mut("/head/changed") {
            *changed = serde_json::Value::Null;
        }
        line
    };
    lines.map(without_time).collect()
}

/// Loads an export in transactions of at most `versions_max`; breaks off after every `lines_max` lines and goes on.
pub fn load(database: &Database, export: &[String], versions_max: usize, lines_max: usize) -> Imported {
    const CURSOR: &str = "ndjson:test";
    let offsets: Vec<u64> = export
        .iter()
        .scan(0, |offset, line| Some(std::mem::replace(offset, *offset + line.len() as u64 + 1)))
        .collect();
    let line_at = |offset: u64| offsets.iter().position(|at| *at == offset).unwrap();
    let mut all = Imported::default();
    'runs: for _ in 0..10_000 {
        let stands = database.cursor(CURSOR).unwrap();
        let from: Option<ImportPosition> = stands.map(|text| text.parse().unwrap());
        let request = ImportRequest { from, versions_max, ..ImportRequest::new("root", CURSOR) };
        let mut import = match database.import(request) {
            Ok(import) => import,
            Err(ImportError::Loaded) => return all,
            // What was on its way when it broke off has landed meanwhile.
            Err(ImportError::Commit(CommitError::Transaction(_))) => continue,
            Err(error) => panic!("{error}"),
        };
        let from = from.unwrap_or_default();
        let again = match from.open {
            OpenDocument::At { offset, .. } => vec![0, line_at(offset)],
            _ if from.line > 0 => vec![0],
            _ => Vec::new(),
        };
        let first = line_at(from.offset);
        assert_eq!(first as u64, from.line);
        for line in again.into_iter().chain((first..export.len()).take(lines_max)) {
            match import.line(export[line].as_bytes()) {
                Err(ImportError::Commit(CommitError::Transaction(_))) => continue 'runs,
                outcome => outcome.unwrap_or_else(|error| panic!("{error}: {}", export[line])),
            }
        }
        if export.len() - first <= lines_max {
            let Ok((progress, loaded)) = import.finish() else { continue };
            assert_eq!(progress.position.open, OpenDocument::End);
            all.documents += loaded.documents;
            all.left_out.extend(loaded.left_out);
            all.purged_meanwhile.extend(loaded.purged_meanwhile);
            all.left_out_total += loaded.left_out_total;
            all.cut.extend(loaded.cut);
            return all;
        }
    }
    panic!("the import never ends");
}

/// A primary of its own, and the folder that goes with it.
pub struct Lone {
    pub database: Database,
    _folder: Folder,
    pub dir: tempfile::TempDir,
}

impl Lone {
    pub fn start(partitions: u16) -> Lone {
        let dir = tempfile::tempdir().unwrap();
        let settings = DatabaseSettings { partitions, ..DatabaseSettings::new(Role::Primary) };
        let settings = ServerSettings {
            name: "lone".into(),
            listen: "127.0.0.1:1".into(),
            url: None,
            backup_folder: None,
            databases: BTreeMap::from([("main".to_owned(), settings)]),
        };
        let folder = Folder::init(&dir.path().join("lone"), &settings).unwrap();
        let database = folder.database("main").unwrap().unwrap();
        Lone { database, _folder: folder, dir }
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        self.database.shutdown();
    }
}
