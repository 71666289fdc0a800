//! JSON files that only this software writes: their last member is a checksum of all that stands before it. A digit that
//! changed is still JSON, and may be another epoch or another key.
//!
//! ```text
//! {
//!   "epoch": 3,
//!   "checksum": "5d2f8e1c"     CRC32C of the same text without this member
//! }
//! ```
//!
//! A file without the member is one from before there was one, or was written by a person, and is taken as it is.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::folder::{FolderError, disk, write_secret};

const MEMBER: &str = "\n  \"checksum\": \"";
const END: &str = "\"\n}\n";

/// Writes JSON with its checksum into a file that only its owner may read, whole or not at all, durable on return.
pub fn write_sealed(path: &Path, value: &impl Serialize) -> Result<(), FolderError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| FolderError::Settings { path: path.to_owned(), reason: error.to_string() })?;
    write_secret(path, seal(&text).as_bytes())
}

/// Reads it, if it is what was written.
pub fn read_sealed<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, FolderError> {
    let bytes = std::fs::read(path).map_err(disk(path))?;
    parse_sealed(path, &bytes)
}

/// The same of bytes that were read.
pub fn parse_sealed<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T, FolderError> {
    let damaged = |reason: String| FolderError::Damaged { path: path.to_owned(), reason };
    let text = std::str::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
    let plain = unseal(text).ok_or_else(|| damaged("its checksum is another".into()))?;
    serde_json::from_str(&plain).map_err(|error| damaged(error.to_string()))
}

fn seal(plain: &str) -> String {
    let checksum = crc32c::crc32c(plain.as_bytes());
    match plain.strip_suffix("\n}") {
        Some(members) => format!("{members},{MEMBER}{checksum:08x}{END}"),
        None => format!("{{{MEMBER}{checksum:08x}{END}"),
    }
}

/// The text without its checksum; `None` if that is of another text.
fn unseal(text: &str) -> Option<String> {
    let Some((before, checksum)) = text.rsplit_once(MEMBER) else { return Some(text.to_owned()) };
    let plain = match before.strip_suffix(',') {
        Some(members) => format!("{members}\n}}"),
        None => "{}".to_owned(),
    };
    (text == seal(&plain) && checksum.ends_with(END)).then_some(plain)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_altered_byte_is_read_as_another_value_and_files_of_before_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        for value in [BTreeMap::new(), BTreeMap::from([("epoch", 3), ("years", 12)])] {
            write_sealed(&path, &value).unwrap();
            let value: BTreeMap<String, i32> =
                value.into_iter().map(|(name, number)| (name.to_owned(), number)).collect();
            let sound = std::fs::read(&path).unwrap();
            assert_eq!(read_sealed::<BTreeMap<String, i32>>(&path).unwrap(), value);
            for at in 0..sound.len() {
                for bit in 0..8 {
                    let mut bytes = sound.clone();
                    bytes[at] ^= 1 << bit;
                    // Where the name of the member itself is hit there is a member too many.
                    let found = parse_sealed::<BTreeMap<String, i32>>(&path, &bytes);
                    assert!(matches!(found, Err(FolderError::Damaged { .. })), "byte {at}: {found:?}");
                }
                assert!(parse_sealed::<BTreeMap<String, i32>>(&path, &sound[..at]).is_err());
            }
            std::fs::write(&path, serde_json::to_string_pretty(&value).unwrap()).unwrap();
            assert_eq!(read_sealed::<BTreeMap<String, i32>>(&path).unwrap(), value);
        }
    }
}
