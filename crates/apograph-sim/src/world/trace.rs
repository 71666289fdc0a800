//! What happened, line by line: equal runs leave equal traces.

use std::path::Path;

use crate::os;

/// What happened.
#[derive(Debug)]
pub(super) struct Trace {
    hasher: blake3::Hasher,
    /// Where the disks are: no part of what happened.
    folder: String,
    lines: Vec<String>,
    /// Lines are kept.
    keeps: bool,
    /// Lines are printed as they come.
    prints: bool,
}

/// The last lines of a run that are kept anyway.
const KEPT_MAX: usize = 60;

impl Trace {
    /// Nothing happened yet.
    pub(super) fn new(folder: &Path, keeps: bool, prints: bool) -> Trace {
        let folder = folder.display().to_string();
        Trace { hasher: blake3::Hasher::new(), folder, lines: Vec::new(), keeps, prints }
    }

    /// This happened, now.
    #[expect(clippy::print_stdout, reason = "somebody asked to see it")]
    pub(super) fn note(&mut self, who: &str, what: &str) {
        let now = os::with(|os| os.now_us());
        let what = what.replace(&self.folder, "");
        let line = format!("{:>4}.{:06} {who:<8} {what}", now / 1_000_000, now % 1_000_000);
        self.hasher.update(line.as_bytes()).update(b"\n");
        if self.prints {
            os::away(|| println!("{line}"));
        }
        if !self.keeps && self.lines.len() >= 2 * KEPT_MAX {
            self.lines.drain(..KEPT_MAX);
        }
        self.lines.push(line);
    }

    /// Lines that were kept.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Over all lines, and something more.
    pub(super) fn fingerprint(&self, more: &[[u8; 32]]) -> String {
        let mut hasher = self.hasher.clone();
        for more in more {
            hasher.update(more);
        }
        hasher.finalize().to_hex().as_str().get(..16).unwrap_or_default().to_owned()
    }
}
