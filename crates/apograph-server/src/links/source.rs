//! Whom a copy follows: what `server.json` says, or what a change of roles put in its place: `source.json` and
//! `source.token` (both 0600) in the database's folder.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use apograph::folder::{FolderError, write_json, write_secret};
use apograph::settings::SourceSettings;

use crate::app::App;

/// Whom a database of this server follows when it is a copy.
pub(crate) fn source_of(app: &App, database: &str) -> Option<SourceSettings> {
    let settings = app.folder.settings().databases.get(database);
    match read(&app.folder.database_path(database)) {
        Ok(Some(source)) => Some(source),
        Ok(None) => settings.and_then(|settings| settings.source.clone()),
        Err(error) => {
            tracing::error!(database, %error, "source.json cannot be understood; the settings count");
            settings.and_then(|settings| settings.source.clone())
        }
    }
}

/// Two who are told at once write one after the other: their files have the same names until they are in place.
static WRITING: Mutex<()> = Mutex::new(());

/// From now on this database follows the server at `url`. What the settings say of bounds stays. Durable on return.
pub(crate) fn follow(app: &App, database: &str, url: &str, token: &str) -> Result<(), FolderError> {
    let folder = app.folder.database_path(database);
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    write_secret(&folder.join("source.token"), token.as_bytes())?;
    let token_file = Path::new("databases").join(database).join("source.token");
    let before = app.folder.settings().databases.get(database).and_then(|settings| settings.source.clone());
    let source = match before {
        Some(before) => SourceSettings { url: url.to_owned(), token_file, ..before },
        None => SourceSettings::new(url, token_file),
    };
    write_json(&path(&folder), &source)
}

fn read(folder: &Path) -> Result<Option<SourceSettings>, FolderError> {
    let path = path(folder);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FolderError::Disk { path, error }),
    };
    let source = serde_json::from_str(&text);
    source.map(Some).map_err(|error| FolderError::Settings { path, reason: error.to_string() })
}

fn path(folder: &Path) -> PathBuf {
    folder.join("source.json")
}
