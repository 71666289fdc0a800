//! The documents of the target as a plan leaves them.

use std::collections::HashMap;

use super::Entry;

/// A file at a document's URI. Its path can differ from the URI, and two paths can want one URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) path: Vec<u8>,
    pub(super) entry: Entry,
}

/// All documents that are not in the trash.
#[derive(Debug, Default)]
pub(super) struct Documents {
    heads: HashMap<String, Head>,
    /// Numbers given to versions.
    versions: u64,
}

/// A live version is a working version of some time before; the same number means the same version.
#[derive(Debug)]
struct Head {
    working: Version,
    live: Option<Version>,
}

#[derive(Debug, Clone)]
struct Version {
    number: u64,
    placed: Placed,
}

impl Documents {
    pub(super) fn working(&self, uri: &str) -> Option<&Placed> {
        self.heads.get(uri).map(|head| &head.working.placed)
    }

    pub(super) fn live(&self, uri: &str) -> Option<&Placed> {
        self.heads.get(uri)?.live.as_ref().map(|version| &version.placed)
    }

    /// Makes `placed` the working version. `false` if the target already has this entry as the working version.
    pub(super) fn save(&mut self, uri: &str, placed: &Placed) -> bool {
        let number = self.versions + 1;
        let version = Version { number, placed: placed.clone() };
        match self.heads.get_mut(uri) {
            Some(head) if head.working.placed.entry == placed.entry => {
                head.working.placed.path.clone_from(&placed.path);
                return false;
            }
            Some(head) => head.working = version,
            None => {
                self.heads.insert(uri.to_owned(), Head { working: version, live: None });
            }
        }
        self.versions = number;
        true
    }

    /// Makes the working version live. `false` if it was.
    pub(super) fn publish(&mut self, uri: &str) -> bool {
        let Some(head) = self.heads.get_mut(uri) else { return false };
        let changed = head.live.as_ref().is_none_or(|live| live.number != head.working.number);
        head.live = Some(head.working.clone());
        changed
    }

    /// `false` if there was no such document.
    pub(super) fn trash(&mut self, uri: &str) -> bool {
        self.heads.remove(uri).is_some()
    }

    /// Continues the document at `to` for the file `path`. What was at `to` is in the trash.
    pub(super) fn move_to(&mut self, from: &str, to: &str, path: &[u8]) {
        if let Some(mut head) = self.heads.remove(from) {
            head.working.placed.path = path.to_vec();
            if let Some(live) = &mut head.live {
                live.placed.path = path.to_vec();
            }
            self.heads.insert(to.to_owned(), head);
        }
    }
}
