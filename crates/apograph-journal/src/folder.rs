//! Names in a journal's folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::IoFailure;

/// The highest acknowledged position.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";
/// Payloads that are being erased.
pub(crate) const ERASING: &str = "erasing";
const SEGMENT_SUFFIX: &str = ".segment";
const SEQUENCE_DIGITS: usize = 20;

/// A segment file, by its name alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    /// Sequence of its first entry.
    pub(crate) first: u64,
    /// It has the prefix `_`.
    pub(crate) open: bool,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// Segment files of a folder in the order of their sequences. Other names are left alone.
pub(crate) fn segment_names(dir: &Path) -> Result<Vec<SegmentName>, IoFailure> {
    let mut names = Vec::new();
    for file in fs::read_dir(dir).map_err(IoFailure::of("read", dir))? {
        let path = file.map_err(IoFailure::of("read", dir))?.path();
        if let Some((first, open)) = path.file_name().and_then(|name| parse(name.to_str()?)) {
            names.push(SegmentName { first, open, path });
        }
    }
    names.sort();
    Ok(names)
}

fn parse(name: &str) -> Option<(u64, bool)> {
    let (digits, open) = match name.strip_prefix('_') {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    let digits = digits.strip_suffix(SEGMENT_SUFFIX)?;
    let number = digits.len() == SEQUENCE_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    number.then(|| digits.parse().ok()).flatten().map(|first| (first, open))
}

/// Path of a segment by the name its header gives.
pub(crate) fn segment_path(dir: &Path, closed_name: &str, open: bool) -> PathBuf {
    dir.join(if open { format!("_{closed_name}") } else { closed_name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_segment_names_parse() {
        assert_eq!(parse("00000000000000000042.segment"), Some((42, false)));
        assert_eq!(parse("_00000000000000000042.segment"), Some((42, true)));
        for other in
            ["42.segment", "+0000000000000000042.segment", "00000000000000000042", "acknowledged", "__1"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
