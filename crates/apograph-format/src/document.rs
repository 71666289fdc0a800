//! The mutable part of a document.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Hash, Timestamp, Uri, proto};

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Anything people write.
    Document,
    /// Structure: the node `/news` describes the section `/news`.
    Node,
    /// A person or program that may do things.
    User,
    /// What users may do.
    Role,
    /// A server of this database.
    Server,
    /// A setting that all copies share.
    Config,
    /// The definition of an index.
    Index,
}

/// Where a document stands between draft and publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Never published.
    Working,
    /// The live version is the working version.
    Published,
    /// There is a live version, and a newer working version.
    PublishedWithChanges,
    /// It was published, and is no longer.
    Withdrawn,
    /// In the trash: not listed, restorable.
    Trashed,
    /// Erased with its history; only this record is left.
    Purged,
}

/// A name is not one of the known ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {found:?}; use one of {known}")]
pub struct UnknownName {
    /// `kind` or `state`.
    pub what: &'static str,
    /// The name given.
    pub found: String,
    /// All names.
    pub known: String,
}

macro_rules! named {
    ($type:ident, $what:literal, $($variant:ident => $name:literal = $tag:ident),+ $(,)?) => {
        impl $type {
            /// All of them.
            pub const ALL: &[$type] = &[$($type::$variant),+];
            /// The name, as in URLs and JSON.
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $name),+ }
            }
            pub(crate) fn to_proto(self) -> i32 {
                match self { $($type::$variant => proto::$type::$tag as i32),+ }
            }
            pub(crate) fn from_proto(tag: i32) -> Option<$type> {
                $type::ALL.iter().copied().find(|known| known.to_proto() == tag)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl FromStr for $type {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<$type, UnknownName> {
                $type::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| UnknownName {
                    what: $what,
                    found: text.chars().take(80).collect(),
                    known: [$($name),+].join(", "),
                })
            }
        }
    };
}

named!(Kind, "kind",
    Document => "document" = Document, Node => "node" = Node, User => "user" = User, Role => "role" = Role,
    Server => "server" = Server, Config => "config" = Config, Index => "index" = Index);
named!(State, "state",
    Working => "working" = Working, Published => "published" = Published,
    PublishedWithChanges => "published-with-changes" = PublishedWithChanges,
    Withdrawn => "withdrawn" = Withdrawn, Trashed => "trashed" = Trashed, Purged => "purged" = Purged);

impl Kind {
    /// System kinds live under `/_system/`, the others nowhere in it.
    pub fn is_system(self) -> bool {
        !matches!(self, Kind::Document | Kind::Node)
    }
}

/// A version of a document, named twice: by its number and by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VersionRef {
    /// Counted from one per URI, without gaps until a purge.
    pub number: u64,
    /// BLAKE3 of the version's stored bytes.
    pub id: Hash,
}

/// Somebody works on the document; others may not change it until the lock expires.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lock {
    /// Who.
    pub owner: String,
    /// Since when, microseconds since 1970.
    pub since: i64,
    /// Until when, microseconds since 1970.
    pub expires: i64,
}

/// The mutable part of a document.
///
/// - `live` is present exactly in the states `published` and `published-with-changes`;
/// - `published` means that `live` equals `working`;
/// - `working` is the newest version; it is absent only when purged, or in a derived view;
/// - `history` chains the ids of all versions in order, so equal heads mean equal histories.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Head {
    /// What the document is.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// The newest version.
    pub working: Option<VersionRef>,
    /// What readers of the published view see.
    pub live: Option<VersionRef>,
    /// Who works on it.
    pub lock: Option<Lock>,
    /// Chained hash over the ids of all versions.
    pub history: Hash,
    /// How many versions this URI ever had; the next one has this number plus one.
    pub versions: u64,
    /// Where it went, if it was moved away.
    pub moved_to: Option<Uri>,
    /// Commit timestamp of the last change.
    pub changed: Timestamp,
    /// Type of the newest version.
    pub r#type: String,
    /// Something of it was live once, so copies of the published view may hold it.
    pub ever_live: bool,
}

impl Head {
    /// The history before the first version.
    pub const NO_HISTORY: Hash = Hash([0; 32]);

    /// The history after one more version.
    pub fn extend_history(history: &Hash, id: &Hash) -> Hash {
        Hash::derive("apograph 2026 version history", &[&history.0, &id.0])
    }

    /// Names everything of a head but its lock and the time of its last change: heads of two histories with equal essences
    /// came from equal versions.
    pub fn essence(&self) -> Hash {
        let bare = Head { lock: None, changed: Timestamp::ZERO, ..self.clone() };
        Hash::of(&bare.digest_bytes())
    }

    /// Is it there for readers of working versions?
    pub fn is_visible(&self) -> bool {
        !matches!(self.state, State::Trashed | State::Purged)
    }

    /// The lock, unless it has expired at `now`.
    pub fn lock_at(&self, now: Timestamp) -> Option<&Lock> {
        let now = i64::try_from(now.0).unwrap_or(i64::MAX);
        self.lock.as_ref().filter(|lock| lock.expires > now)
    }

    /// Bytes that every digest of the full view covers: all fields, each with its length or a presence byte.
    pub fn digest_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(192);
        bytes.extend(self.kind.to_proto().to_le_bytes());
        bytes.extend(self.state.to_proto().to_le_bytes());
        for version in [&self.working, &self.live] {
            bytes.push(u8::from(version.is_some()));
            if let Some(version) = version {
                bytes.extend(version.number.to_le_bytes());
                bytes.extend(version.id.0);
            }
        }
        bytes.push(u8::from(self.lock.is_some()));
        if let Some(lock) = &self.lock {
            text(&mut bytes, &lock.owner);
            bytes.extend(lock.since.to_le_bytes());
            bytes.extend(lock.expires.to_le_bytes());
        }
        bytes.extend(self.history.0);
        bytes.extend(self.versions.to_le_bytes());
        text(&mut bytes, self.moved_to.as_ref().map_or("", Uri::as_str));
        bytes.extend(self.changed.0.to_le_bytes());
        text(&mut bytes, &self.r#type);
        bytes.push(u8::from(self.ever_live));
        bytes
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
