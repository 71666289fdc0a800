//! Which orphans were brought back, as the server that keeps them remembers it: a line for each, written behind the others.
//! The primary knows it, too, and is asked again if a line is missing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use apograph_format::Token;

use super::super::Database;
use super::OrphanError;
use crate::folder::disk;

/// Lines that are remembered while orphans are listed: some 50 MiB. Orphans behind that are asked for at the primary.
const MARKS_MAX: usize = 1_000_000;

impl Database {
    fn marks_path(&self) -> PathBuf {
        self.shared.path.join("orphans.restored")
    }

    /// Orphans that were brought back, and as what.
    pub fn restored_orphans(&self) -> Result<BTreeMap<Token, Token>, OrphanError> {
        let path = self.marks_path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(disk(&path)(error).into()),
        };
        let mut marks = BTreeMap::new();
        for line in BufReader::new(file).lines().take(MARKS_MAX) {
            let line = line.map_err(disk(&path))?;
            let mut words = line.split(' ').map(str::parse::<Token>);
            // A line that a crash cut off says nothing.
            if let (Some(Ok(orphan)), Some(Ok(restored)), Some(Ok(end))) =
                (words.next(), words.next(), words.next())
                && end == restored
            {
                marks.insert(orphan, restored);
            }
        }
        Ok(marks)
    }

    /// Remembers that an orphan was brought back. Durable on return.
    pub fn mark_restored(&self, orphan: Token, restored: Token) -> Result<(), OrphanError> {
        let path = self.marks_path();
        let mut file = File::options().create(true).append(true).open(&path).map_err(disk(&path))?;
        // The second time tells a whole line from one that was cut off.
        file.write_all(format!("\n{orphan} {restored} {restored}").as_bytes()).map_err(disk(&path))?;
        Ok(file.sync_data().map_err(disk(&path))?)
    }

    pub(super) fn forget_restored(&self) -> Result<(), OrphanError> {
        let path = self.marks_path();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk(&path)(error).into()),
            _ => Ok(()),
        }
    }
}
