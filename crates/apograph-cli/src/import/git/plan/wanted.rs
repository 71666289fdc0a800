//! Which documents a commit settles, and what each should hold then.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::super::changes::Changes;
use super::super::oid::Oid;
use super::super::path::uri_of;
use super::state::{Documents, Placed};
use super::{Entry, Mode, Skipped, SkippedReason};

/// Documents with the files that they should hold, `None` for no document.
pub(super) type Wanted = BTreeMap<String, Option<Placed>>;

/// One commit against the documents before it.
pub(super) struct Settling<'a> {
    pub(super) documents: &'a Documents,
    pub(super) commit: &'a Oid,
    pub(super) on_main_line: bool,
    /// Takes what is left out.
    pub(super) skipped: &'a mut Vec<Skipped>,
}

/// A path that the commit changes, where it goes, and its entry afterwards.
struct File<'a> {
    uri: String,
    path: &'a [u8],
    entry: Option<&'a Entry>,
}

impl Settling<'_> {
    /// What `changes` ask for; on the main line, also the way back for all that side commits `touched`.
    pub(super) fn wanted(mut self, touched: &BTreeSet<String>, changes: &Changes) -> Wanted {
        let mut wanted = Wanted::new();
        if self.on_main_line {
            wanted.extend(touched.iter().map(|uri| (uri.clone(), self.documents.live(uri).cloned())));
        }
        let files = self.files(changes);
        self.depart(&files, &mut wanted);
        self.arrive(files, &mut wanted);
        wanted
    }

    /// The changes that have a URI. A file that becomes a submodule is gone.
    fn files<'c>(&mut self, changes: &'c Changes) -> Vec<File<'c>> {
        let mut files = Vec::new();
        for (path, entry) in &changes.entries {
            let module = matches!(entry, Some(Entry { mode: Mode::Gitlink, .. }));
            match uri_of(path) {
                _ if module => self.skip(path, SkippedReason::Gitlink),
                Err(reason) if entry.is_some() => self.skip(path, reason),
                Ok(_) | Err(_) => {}
            }
            let entry = entry.as_ref().filter(|_| !module);
            files.extend(uri_of(path).map(|uri| File { uri, path, entry }));
        }
        files
    }

    /// Documents whose file goes away. On a side branch, what is on the main line stays until the main line itself
    /// loses it.
    fn depart(&self, files: &[File<'_>], wanted: &mut Wanted) {
        for File { uri, path, entry } in files {
            let owned = self.owner(uri) == Some(path);
            if entry.is_none() && owned && (self.on_main_line || self.documents.live(uri).is_none()) {
                wanted.insert(uri.clone(), None);
            }
        }
    }

    /// Documents whose file comes or changes. Of two files with one URI, the one that has it keeps it.
    fn arrive(&mut self, files: Vec<File<'_>>, wanted: &mut Wanted) {
        let leaving: HashSet<&[u8]> =
            files.iter().filter(|file| file.entry.is_none()).map(|file| file.path).collect();
        let mut taken: HashMap<String, &[u8]> = HashMap::new();
        for File { uri, path, entry } in files {
            let Some(entry) = entry else { continue };
            let before = self.owner(&uri).filter(|owner| !leaving.contains(owner));
            match taken.get(&uri).copied().or(before) {
                Some(owner) if owner != path => {
                    let owner = String::from_utf8_lossy(owner).into_owned();
                    self.skip(path, SkippedReason::SameUri { uri, owner });
                }
                _ => {
                    taken.insert(uri.clone(), path);
                    wanted.insert(uri, Some(Placed { path: path.to_vec(), entry: entry.clone() }));
                }
            }
        }
    }

    /// The file that has this URI in the state that the commit changes.
    fn owner(&self, uri: &str) -> Option<&[u8]> {
        let placed = match self.on_main_line {
            true => self.documents.live(uri),
            false => self.documents.working(uri),
        };
        placed.map(|placed| placed.path.as_slice())
    }

    fn skip(&mut self, path: &[u8], reason: SkippedReason) {
        let path = String::from_utf8_lossy(path).into_owned();
        self.skipped.push(Skipped { commit: self.commit.clone(), path, reason });
    }
}
