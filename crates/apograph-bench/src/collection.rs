//! The repository to import, and what git says of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::process::done;

/// A bare repository.
#[derive(Debug)]
pub struct Collection {
    /// Where it is.
    pub path: PathBuf,
    /// The branch whose history counts.
    pub branch: &'static str,
}

/// What git says of a commit.
#[derive(Debug, PartialEq, Eq)]
pub struct Commit {
    /// Name and address.
    pub author: String,
    /// Author time, seconds since 1970.
    pub time_s: i64,
    /// Without the white space at its end.
    pub message: String,
}

/// The bundle of the real collection: what `APOGRAPH_BUNDLE` names, or beside the project.
pub fn bundle() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/rfcs.bundle");
    let bundle = std::env::var_os("APOGRAPH_BUNDLE").map_or(beside, PathBuf::from);
    bundle.exists().then_some(bundle)
}

impl Collection {
    /// The real collection, or a small one with the same kinds of things in it.
    pub fn bare(root: &Path) -> Collection {
        let path = root.join("collection.git");
        let Some(real) = Collection::real(&path) else {
            println!("rfcs.bundle is not there: a small repository instead");
            small(&path);
            return Collection { path, branch: "master" };
        };
        real
    }

    /// The real collection as a bare repository at this path, if it is there.
    pub fn real(path: &Path) -> Option<Collection> {
        let bundle = bundle()?;
        done(Command::new("git").args(["clone", "-q", "--bare"]).arg(bundle).arg(path));
        Some(Collection { path: path.to_owned(), branch: "master" })
    }

    /// A git command in it.
    pub fn git(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.path).args(["-c", "core.quotePath=false"]).args(arguments);
        command
    }

    /// Every commit of the branch, by its name.
    pub fn commits(&self) -> BTreeMap<String, Commit> {
        let format = "--format=%H%x00%an <%ae>%x00%at%x00%B%x01";
        let log = done(&mut self.git(&["log", "--encoding=UTF-8", format, self.branch])).stdout;
        let log = String::from_utf8_lossy(&log).into_owned();
        let commit = |record: &str| {
            let mut fields = record.trim_start_matches('\n').splitn(4, '\0');
            let name = fields.next()?.to_owned();
            let author = fields.next()?.to_owned();
            let time_s = fields.next()?.parse().ok()?;
            let message = fields.next()?.trim_end().to_owned();
            Some((name, Commit { author, time_s, message }))
        };
        log.split('\u{1}').filter_map(commit).collect()
    }

    /// Every file at the head of the branch: path and bytes.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let tree = done(&mut self.git(&["ls-tree", "-r", "-z", self.branch])).stdout;
        let tree = String::from_utf8(tree).unwrap();
        let mut batch =
            self.git(&["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = batch.stdin.take().unwrap();
        let mut output = BufReader::new(batch.stdout.take().unwrap());
        let mut files = BTreeMap::new();
        for line in tree.split('\0').filter(|line| !line.is_empty()) {
            let (about, path) = line.split_once('\t').unwrap();
            let object = about.split(' ').nth(2).unwrap();
            writeln!(input, "{object}").unwrap();
            let mut header = String::new();
            output.read_line(&mut header).unwrap();
            let length: usize = header.trim().rsplit(' ').next().unwrap().parse().unwrap();
            let mut bytes = vec![0; length + 1];
            output.read_exact(&mut bytes).unwrap();
            bytes.pop();
            files.insert(format!("/{path}"), bytes);
        }
        drop(input);
        batch.wait().unwrap();
        files
    }
}

/// A hundred commits with edits, renames, deletions, binary files, odd names, and a side branch that is merged.
fn small(path: &Path) {
    done(Command::new("git").args(["init", "-q", "--bare", "-b", "master"]).arg(path));
    let mut import = Command::new("git")
        .arg("-C")
        .arg(path)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = import.stdin.take().unwrap();
    let mut commit = |branch: &str, mark: u32, from: &str, changes: &[u8]| {
        let message = format!("commit {mark}\n\nwith a body");
        let who = format!("Ann Author {mark} <ann{mark}@example.org> {} +0200", 1_400_000_000 + mark);
        let head = format!("commit refs/heads/{branch}\nmark :{mark}\nauthor {who}\ncommitter {who}\n");
        write!(stream, "{head}data {}\n{message}\n{from}", message.len()).unwrap();
        stream.write_all(changes).unwrap();
        stream.write_all(b"\n").unwrap();
    };
    let file = |name: &str, bytes: &[u8]| {
        let head = format!("M 100644 inline {name}\ndata {}\n", bytes.len());
        [head.as_bytes(), bytes, b"\n"].concat()
    };
    for n in 1..=100_u32 {
        let text = format!("text {n}\n").repeat(40);
        let changes = match n % 10 {
            3 if n > 10 => format!("R text/{}.md text/moved-{}.md\n", n - 2, n - 2).into_bytes(),
            5 if n > 10 => format!("D text/{}.md\n", n - 3).into_bytes(),
            7 => file(&format!("binary/{n}.png"), &[0, 159, n as u8, 255, 10, 0]),
            9 => file(&format!("\"text/\\303\\266dd name {n}.md\""), text.as_bytes()),
            _ => {
                [file(&format!("text/{n}.md"), text.as_bytes()), file("README.md", text.as_bytes())].concat()
            }
        };
        let from = if n == 1 { String::new() } else { format!("from :{}\n", n - 1) };
        commit("master", n, &from, &changes);
    }
    commit("side", 200, "from :50\n", &file("side.md", b"on the side"));
    let merged = file("side.md", b"on the side");
    commit("master", 201, "from :100\nmerge :200\n", &merged);
    drop(stream);
    assert!(import.wait().unwrap().success());
}
