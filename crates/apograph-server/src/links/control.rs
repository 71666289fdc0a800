//! What an operator told a link, kept across restarts: `link.json` in the database's folder.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use apograph::folder::{FolderError, write_json};
use apograph::settings::SourceSettings;

/// What an operator told a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Control {
    /// It does nothing until it is resumed.
    #[serde(default)]
    pub(super) paused: bool,
    /// Instead of what the settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) throttle: Option<Throttled>,
}

/// A bound on what the link lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Throttled {
    /// There is none, whatever the settings say.
    Off,
    /// This many.
    BytesPerSecond(NonZeroU64),
}

impl Control {
    /// Reads it; nothing was told when there is no such file.
    pub(super) fn read(folder: &Path) -> Result<Control, FolderError> {
        let path = path(folder);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Control::default()),
            Err(error) => return Err(FolderError::Disk { path, error }),
        };
        serde_json::from_str(&text).map_err(|error| FolderError::Settings { path, reason: error.to_string() })
    }

    /// Durable on return.
    pub(super) fn write(&self, folder: &Path) -> Result<(), FolderError> {
        make(folder)?;
        write_json(&path(folder), self)
    }

    /// The bound that holds.
    pub(super) fn bytes_per_second(&self, source: &SourceSettings) -> Option<u64> {
        match self.throttle {
            Some(Throttled::Off) => None,
            Some(Throttled::BytesPerSecond(bytes)) => Some(bytes.get()),
            None => source.throttle_bytes_per_second.map(NonZeroU64::get),
        }
    }
}

/// A copy has no folder before its first contact.
pub(super) fn make(folder: &Path) -> Result<(), FolderError> {
    std::fs::create_dir_all(folder).map_err(|error| FolderError::Disk { path: folder.to_owned(), error })
}

fn path(folder: &Path) -> PathBuf {
    folder.join("link.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_there_after_a_restart_and_nonsense_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("databases/main");
        assert_eq!(Control::read(&database).unwrap(), Control::default());
        let mut source = SourceSettings::new("http://a", "t");
        source.throttle_bytes_per_second = NonZeroU64::new(500);
        let throttled = |throttle| Control { paused: true, throttle };
        let bytes = Throttled::BytesPerSecond(NonZeroU64::MIN);
        for (control, bound) in [
            (throttled(None), Some(500)),
            (throttled(Some(Throttled::Off)), None),
            (throttled(Some(bytes)), Some(1)),
        ] {
            control.write(&database).unwrap();
            assert_eq!(Control::read(&database).unwrap(), control);
            assert_eq!(control.bytes_per_second(&source), bound);
        }
        std::fs::write(path(&database), r#"{"paused":"perhaps"}"#).unwrap();
        assert!(Control::read(&database).unwrap_err().to_string().contains("link.json"));
    }
}
