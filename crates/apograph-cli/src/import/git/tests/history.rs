//! Throw-away repositories, written by `git fast-import` from a list of commits.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::{Import, MainLine, Oid, Repository};

/// A change of one file relative to a commit's first parent.
#[derive(Debug, Clone)]
pub(super) enum Edit<'a> {
    File(&'a [u8], &'a str),
    Executable(&'a [u8], &'a str),
    Link(&'a [u8], &'a str),
    Module(&'a [u8]),
    Gone(&'a [u8]),
    Renamed(&'a [u8], &'a [u8]),
}

/// Commits to be written; each is known by a name of its own.
#[derive(Debug, Default)]
pub(super) struct History {
    stream: Vec<u8>,
    marks: HashMap<String, usize>,
    last: usize,
}

/// A repository on disk whose branch `main` ends with the last commit.
pub(super) struct Written {
    folder: tempfile::TempDir,
    pub(super) repository: Repository,
    pub(super) main_line: MainLine,
}

impl History {
    pub(super) fn commit(&mut self, name: &str, parents: &[&str], edits: &[Edit<'_>]) -> &mut History {
        self.last += 1;
        self.marks.insert(name.to_owned(), self.last);
        let time = 1_700_000_000 + self.last;
        if parents.is_empty() {
            self.text("reset refs/heads/work\n");
        }
        self.text(&format!("commit refs/heads/work\nmark :{}\n", self.last));
        self.text(&format!("author Ada <ada@example.org> {time} +0200\n"));
        self.text(&format!("committer Bob <bob@example.org> {} +0000\n", time + 60));
        self.data(name.as_bytes());
        for (index, parent) in parents.iter().enumerate() {
            let verb = if index == 0 { "from" } else { "merge" };
            let mark = self.marks[*parent];
            self.text(&format!("{verb} :{mark}\n"));
        }
        edits.iter().for_each(|edit| self.edit(edit));
        self.text("\n");
        self
    }

    pub(super) fn write(&mut self) -> Written {
        let end = format!("reset refs/heads/main\nfrom :{}\n\ndone\n", self.last);
        self.text(&end);
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "--quiet", "--bare", "-b", "main"], b"");
        git(folder.path(), &["fast-import", "--quiet", "--force", "--done"], &self.stream);
        let repository = Repository::open(folder.path()).unwrap();
        let main_line = repository.main_line(None).unwrap();
        Written { folder, repository, main_line }
    }

    fn edit(&mut self, edit: &Edit<'_>) {
        match edit {
            Edit::File(path, content) => self.modify("100644", path, content),
            Edit::Executable(path, content) => self.modify("100755", path, content),
            Edit::Link(path, target) => self.modify("120000", path, target),
            Edit::Module(path) => {
                let path = quoted(path);
                self.text(&format!("M 160000 {} {path}\n", "1234567890".repeat(4)));
            }
            Edit::Gone(path) => {
                let path = quoted(path);
                self.text(&format!("D {path}\n"));
            }
            Edit::Renamed(from, to) => {
                let (from, to) = (quoted(from), quoted(to));
                self.text(&format!("R {from} {to}\n"));
            }
        }
    }

    fn modify(&mut self, mode: &str, path: &[u8], content: &str) {
        let path = quoted(path);
        self.text(&format!("M {mode} inline {path}\n"));
        self.data(content.as_bytes());
    }

    fn data(&mut self, bytes: &[u8]) {
        self.text(&format!("data {}\n", bytes.len()));
        self.stream.extend_from_slice(bytes);
        self.text("\n");
    }

    fn text(&mut self, text: &str) {
        self.stream.extend_from_slice(text.as_bytes());
    }
}

impl Written {
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn import(&self) -> Import {
        Import::start(&self.repository, &self.main_line, None).unwrap()
    }

    /// The main line as it was when `head` was its newest commit.
    pub(super) fn main_line_at(&self, head: &Oid) -> MainLine {
        MainLine { head: head.clone(), ..self.main_line.clone() }
    }
}

/// Runs git and answers its output.
pub(super) fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .current_dir(folder)
        .env_remove("GIT_DIR")
        .env_remove("GIT_INDEX_FILE")
        // Loose objects, so that a test can take one away.
        .args(["-c", "init.defaultBranch=main", "-c", "fastimport.unpackLimit=10000"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", output.status);
    output.stdout
}

/// Twenty lines of their own, so that a rename with a change is still seen as one.
pub(super) fn text(topic: &str) -> String {
    (0..20).map(|line| format!("{topic}: line {line}\n")).collect()
}

fn quoted(path: &[u8]) -> String {
    format!("\"{}\"", path.iter().map(|byte| format!("\\{byte:03o}")).collect::<String>())
}
