//! How far an export has been loaded.

use std::fmt;
use std::str::FromStr;

/// A place in an export before which everything is loaded. As text it is what the import's cursor holds:
/// `LINE:OFFSET:DOCUMENTS:VERSIONS`, then nothing, `:end`, or `:LINE:OFFSET:VERSION` of a document that is loaded in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportPosition {
    /// Lines before it.
    pub line: u64,
    /// Bytes before it.
    pub offset: u64,
    /// Documents whose lines began before it.
    pub documents: u64,
    /// Versions before it.
    pub versions: u64,
    /// What goes on here.
    pub open: OpenDocument,
}

/// What goes on at a place in an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpenDocument {
    /// The next document begins.
    #[default]
    None,
    /// More versions of a document follow.
    At {
        /// Lines before the document's own line.
        line: u64,
        /// Bytes before it.
        offset: u64,
        /// Number of its last version that is loaded.
        version: u64,
    },
    /// Nothing: all is loaded.
    End,
}

/// A text is no place in an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no place in an export")]
pub struct PositionError {
    /// The text, cut to a printable length.
    pub found: String,
}

impl fmt::Display for ImportPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.line, self.offset, self.documents, self.versions)?;
        match self.open {
            OpenDocument::None => Ok(()),
            OpenDocument::At { line, offset, version } => write!(f, ":{line}:{offset}:{version}"),
            OpenDocument::End => f.write_str(":end"),
        }
    }
}

impl FromStr for ImportPosition {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<ImportPosition, PositionError> {
        read(text).ok_or_else(|| PositionError { found: text.chars().take(80).collect() })
    }
}

fn read(text: &str) -> Option<ImportPosition> {
    let mut parts = text.split(':');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (line, offset, documents, versions) = (number()?, number()?, number()?, number()?);
    let rest: Vec<&str> = parts.collect();
    let open = match rest.as_slice() {
        [] => OpenDocument::None,
        ["end"] => OpenDocument::End,
        [line, offset, version] => OpenDocument::At {
            line: line.parse().ok()?,
            offset: offset.parse().ok()?,
            version: version.parse().ok()?,
        },
        _ => return None,
    };
    Some(ImportPosition { line, offset, documents, versions, open })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_comes_back() {
        let place = ImportPosition { line: 7, offset: 900, documents: 2, versions: 5, ..Default::default() };
        for open in [
            OpenDocument::None,
            OpenDocument::End,
            OpenDocument::At { line: 3, offset: 200, version: u64::MAX },
        ] {
            let place = ImportPosition { open, ..place };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for bad in [
            "",
            "1:2:3",
            "1:2:3:4:5",
            "1:2:3:4:5:6:x",
            "1:2:3:4:5:6:7:8",
            "a:2:3:4",
            "1:2:3:4:END",
            "-1:2:3:4",
        ] {
            assert!(bad.parse::<ImportPosition>().is_err(), "{bad}");
        }
    }
}
