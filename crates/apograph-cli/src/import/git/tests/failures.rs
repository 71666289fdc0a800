//! Repositories that are none, that are broken, or that hold too much.

use std::path::Path;

use super::super::{GitError, ImportError, Oid, PlannedOperation, Repository};
use super::history::Edit::File;
use super::history::{History, Written, git};

fn written() -> Written {
    let mut history = History::default();
    history.commit("one", &[], &[File(b"a", "first"), File(b"dir/b", "second")]).commit(
        "two",
        &["one"],
        &[File(b"a", "third")],
    );
    history.write()
}

fn remove_object(written: &Written, revision: &str) -> String {
    let oid = String::from_utf8(git(written.path(), &["rev-parse", revision], b"")).unwrap();
    let (folder, name) = oid.trim().split_at(2);
    std::fs::remove_file(written.path().join("objects").join(folder).join(name)).unwrap();
    oid.trim().to_owned()
}

#[test]
fn what_is_no_repository_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| Repository::open(path).unwrap_err();
    assert!(matches!(open(folder.path()), GitError::NotARepository { .. }));
    assert!(matches!(open(&folder.path().join("absent")), GitError::NotARepository { .. }));
    let file = folder.path().join("x.bundle");
    std::fs::write(&file, "x").unwrap();
    assert!(open(&file).to_string().contains("git clone --bare"));
    // A folder inside a repository is not that repository.
    let inside = written();
    let nested = inside.path().join("nested");
    std::fs::create_dir(&nested).unwrap();
    assert!(matches!(open(&nested), GitError::NotARepository { .. }));
}

#[test]
fn main_lines_are_looked_up() {
    let written = written();
    let line = written.repository.main_line(Some("main")).unwrap();
    assert_eq!((line.branch.as_str(), line.commits), ("main", 2));
    assert_ne!(line.root, line.head);
    for name in ["absent", "--all", "main^", "main..main", ""] {
        let error = written.repository.main_line(Some(name)).unwrap_err();
        assert!(matches!(error, GitError::NoSuchBranch { .. }), "{name}: {error}");
    }
    let error = written.repository.main_line(Some("master")).unwrap_err();
    assert_eq!(error.to_string(), "the repository has no commits on master; its branches: main, work");
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet", "-b", "main"], b"");
    let error = Repository::open(folder.path()).unwrap().main_line(None).unwrap_err();
    assert_eq!(error.to_string(), "the repository has no commits on main; it has no branches yet");
}

#[test]
fn a_head_without_commits_leaves_no_doubt_if_there_is_one_branch() {
    let written = written();
    git(written.path(), &["branch", "-q", "-D", "work"], b"");
    git(written.path(), &["symbolic-ref", "HEAD", "refs/heads/absent"], b"");
    let line = written.repository.main_line(None).unwrap();
    assert_eq!((line.branch.as_str(), line.instead_of.as_deref()), ("main", Some("absent")));
    assert_eq!(written.repository.main_line(Some("main")).unwrap().instead_of, None);
    git(written.path(), &["branch", "-q", "other", "main"], b"");
    let error = written.repository.main_line(None).unwrap_err();
    assert_eq!(error.to_string(), "the repository has no commits on absent; its branches: main, other");
}

#[test]
fn a_shallow_clone_is_refused() {
    let written = written();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", written.path().display());
    git(folder.path(), &["clone", "--quiet", "--depth", "1", &url, "clone"], b"");
    let error = Repository::open(&folder.path().join("clone")).unwrap_err();
    assert!(matches!(error, GitError::Shallow { .. }), "{error}");
}

#[test]
fn a_broken_repository_ends_in_the_words_of_git() {
    let written = written();
    remove_object(&written, "main^:dir");
    let mut import = written.import();
    let error = loop {
        match import.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the end of a history that cannot be read"),
            Err(error) => break error,
        }
    };
    let ImportError::Git(GitError::Failed { command: "fast-export", stderr, .. }) = &error else {
        panic!("{error:?}");
    };
    assert!(!stderr.is_empty());
}

#[test]
fn contents_that_cannot_be_had_do_not_end_the_import() {
    let written = written();
    let missing = remove_object(&written, "main:dir/b");
    let mut import = written.import().with_blob_bytes_max(5);
    let missing = Oid::parse(&missing).unwrap();
    assert!(matches!(import.blob(&missing), Err(ImportError::Git(GitError::MissingObject { .. }))));
    let root = &written.main_line.root;
    assert!(matches!(import.blob(root), Err(ImportError::Git(GitError::WrongType { .. }))));
    let first = import.next().unwrap().unwrap();
    let Some(PlannedOperation::Put { blob, .. }) = first.operations.first() else { panic!("{first:?}") };
    assert_eq!(import.blob(blob).unwrap(), b"first");
    let mut import = written.import().with_blob_bytes_max(4);
    let Err(ImportError::Git(GitError::TooLarge { bytes: 5, bytes_max: 4, .. })) = import.blob(blob) else {
        panic!("a content above the limit was read");
    };
    assert_eq!(import.blob_size(blob).unwrap(), 5);
    assert_eq!(import.next().unwrap(), Some(first));
}
