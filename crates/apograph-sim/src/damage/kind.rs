//! What kinds of files a data folder has.

use std::fmt;
use std::path::Path;

/// What a file or folder is, by its place in the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A segment of a journal that entries are appended to.
    OpenSegment,
    /// A segment that is closed.
    ClosedSegment,
    /// The end of an open segment, behind what was acknowledged.
    Tail,
    /// How far a journal was acknowledged.
    Acknowledged,
    /// A journal that a synchronization put aside: it keeps orphans.
    Fork,
    /// A table of a store.
    Table,
    /// The manifest of one of a store's trees, and the file that names it.
    Manifest,
    /// What the engine of a store says of itself.
    StoreHeader,
    /// Which tables were written: fingerprints.
    Fingerprints,
    /// A large content.
    Chunk,
    /// `database.json`, and the file that says that a database is there.
    Database,
    /// `server.key`.
    Identity,
    /// `server.json`: people write it.
    Settings,
    /// `FORMAT`.
    Format,
    /// `synchronize.json`: a synchronization that was begun.
    Marker,
    /// `synchronize.log`: what it brought.
    Log,
    /// `synchronized.json`: what the last one did.
    Outcome,
    /// `quarantine.json`: what people said of documents that could not be taken.
    Quarantine,
    /// `orphans.restored`: which orphans were brought back.
    Restored,
    /// `side-files.json`: which of these must be there.
    Register,
    /// A whole folder.
    Folder,
}

impl Kind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [(Kind, &'static str); 21] = [
        (Kind::OpenSegment, "open-segment"),
        (Kind::ClosedSegment, "closed-segment"),
        (Kind::Tail, "tail"),
        (Kind::Acknowledged, "acknowledged"),
        (Kind::Fork, "fork"),
        (Kind::Table, "table"),
        (Kind::Manifest, "manifest"),
        (Kind::StoreHeader, "store-header"),
        (Kind::Fingerprints, "fingerprints"),
        (Kind::Chunk, "chunk"),
        (Kind::Database, "database"),
        (Kind::Identity, "identity"),
        (Kind::Settings, "settings"),
        (Kind::Format, "format"),
        (Kind::Marker, "sync-marker"),
        (Kind::Log, "sync-log"),
        (Kind::Outcome, "sync-outcome"),
        (Kind::Quarantine, "quarantine"),
        (Kind::Restored, "orphans-restored"),
        (Kind::Register, "register"),
        (Kind::Folder, "folder"),
    ];

    /// Of a file in a data folder; `None` for those that hold nothing: locks.
    pub fn of(path: &Path) -> Option<Kind> {
        let text = path.to_str()?;
        let name = path.file_name()?.to_str()?;
        Some(match name {
            "LOCK" | "lock" => return None,
            _ if text.contains("/journal.fork-") => Kind::Fork,
            _ if name.ends_with(".segment") && name.starts_with('_') => Kind::OpenSegment,
            _ if name.ends_with(".segment") => Kind::ClosedSegment,
            "acknowledged" => Kind::Acknowledged,
            "header" => Kind::StoreHeader,
            "fingerprints" => Kind::Fingerprints,
            _ if text.contains("/tables/") => Kind::Table,
            _ if text.contains("/engine/") => Kind::Manifest,
            _ if text.contains("/chunks/") => Kind::Chunk,
            "database.json" => Kind::Database,
            _ if name.ends_with(".made") => Kind::Database,
            "server.key" => Kind::Identity,
            "server.json" => Kind::Settings,
            "FORMAT" => Kind::Format,
            "synchronize.json" => Kind::Marker,
            "synchronize.log" => Kind::Log,
            "synchronized.json" => Kind::Outcome,
            "quarantine.json" => Kind::Quarantine,
            "orphans.restored" => Kind::Restored,
            "side-files.json" => Kind::Register,
            _ => panic!("{text}: of which kind is it?"),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Kind::ALL.iter().find(|(kind, _)| kind == self).map_or("", |(_, name)| name);
        f.pad(name)
    }
}
