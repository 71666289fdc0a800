//! Which orphans were brought back, as the server that keeps them remembers it: a line for each, written behind the others.
//! The primary knows it, too, and is asked again if a line is missing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use apograph_format::Token;

use super::super::Database;
use super::OrphanError;
use crate::database::side_files::MARKS;
use crate::folder::{FolderError, disk, sync_name};

/// Lines that are remembered while orphans are listed: some 50 MiB. Orphans behind that are asked for at the primary.
const MARKS_MAX: usize = 1_000_000;

impl Database {
    fn marks_path(&self) -> PathBuf {
        self.shared.path.join(MARKS)
    }

    /// Orphans that were brought back, and as what.
    pub fn restored_orphans(&self) -> Result<BTreeMap<Token, Token>, OrphanError> {
        let mut marks = BTreeMap::new();
        each(&self.marks_path(), |orphan, restored| {
            marks.insert(orphan, restored);
        })?;
        Ok(marks)
    }

    /// Remembers that an orphan was brought back. Durable on return.
    pub fn mark_restored(&self, orphan: Token, restored: Token) -> Result<(), OrphanError> {
        let path = self.marks_path();
        let was_there = path.exists();
        let mut file = File::options().create(true).append(true).open(&path).map_err(disk(&path))?;
        file.write_all(line(orphan, restored).as_bytes()).map_err(disk(&path))?;
        file.sync_data().map_err(disk(&path))?;
        if !was_there {
            sync_name(&path).map_err(disk(&path))?;
        }
        Ok(self.shared.side_files.note_mark(was_there)?)
    }

    pub(super) fn forget_restored(&self) -> Result<(), OrphanError> {
        let path = self.marks_path();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk(&path)(error).into()),
            _ => Ok(()),
        }
    }
}

/// How many whole lines there are.
pub(in crate::database) fn whole_marks(path: &Path) -> Result<u64, FolderError> {
    let mut marks = 0;
    each(path, |_, _| marks += 1)?;
    Ok(marks)
}

fn each(path: &Path, mut take: impl FnMut(Token, Token)) -> Result<(), FolderError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(disk(path))?,
    };
    for line in BufReader::new(file).split(b'\n').take(MARKS_MAX) {
        if let Some((orphan, restored)) = parse(&line.map_err(disk(path))?) {
            take(orphan, restored);
        }
    }
    Ok(())
}

fn line(orphan: Token, restored: Token) -> String {
    let mark = format!("{orphan} {restored}");
    format!("\n{mark} {:08x}", crc32c::crc32c(mark.as_bytes()))
}

/// `None` of a line that a crash cut off, or that is not what was written. Lines of before had the second token twice
/// in place of a checksum.
fn parse(line: &[u8]) -> Option<(Token, Token)> {
    let (mark, end) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
    let (orphan, restored) = mark.split_once(' ')?;
    let is_whole = end == format!("{:08x}", crc32c::crc32c(mark.as_bytes())) || end == restored;
    Some((orphan.parse().ok()?, restored.parse().ok()?)).filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_altered_byte_of_a_mark_is_another_mark_and_lines_of_before_are_read() {
        let token = |text: &str| text.parse::<Token>().unwrap();
        let (orphan, restored) = (token("1.170000"), token("2.180000"));
        let written = line(orphan, restored);
        let sound = written.strip_prefix('\n').unwrap().as_bytes();
        assert_eq!(parse(sound), Some((orphan, restored)));
        for at in 0..sound.len() {
            for bit in 0..8 {
                let mut bytes = sound.to_vec();
                bytes[at] ^= 1 << bit;
                assert_eq!(parse(&bytes), None, "byte {at}, bit {bit}");
            }
            assert_eq!(parse(&sound[..at]), None, "cut at {at}");
        }
        assert_eq!(parse(b"1.170000 2.180000 2.180000"), Some((orphan, restored)));
        assert_eq!(parse(b"1.170000 2.180000 2.18000"), None);
    }
}
