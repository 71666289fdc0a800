//! The real collection: 8,140 commits, 1,229 of them merges.

use std::path::Path;

use super::super::{Import, Repository};
use super::history::git;
use super::model::Model;

const MAIN_LINE_COMMITS_PER_CHECK: usize = 200;

#[test]
fn the_real_history_keeps_the_laws() {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/rfcs.bundle");
    let Ok(bundle) = bundle.canonicalize() else {
        println!("skipped: no data");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle.to_string_lossy();
    git(folder.path(), &["clone", "--quiet", "--bare", &bundle, "rfcs.git"], b"");
    let path = folder.path().join("rfcs.git");
    let repository = Repository::open(&path).unwrap();
    let main_line = repository.main_line(Some("master")).unwrap();
    let mut import = Import::start(&repository, &main_line, None).unwrap();
    let mut model = Model::default();
    let (mut transactions, mut on_main_line) = (0, 0);
    while let Some(transaction) = import.next().unwrap() {
        model.apply(&transaction);
        transactions += 1;
        if transaction.on_main_line {
            on_main_line += 1;
            if on_main_line % MAIN_LINE_COMMITS_PER_CHECK == 0 {
                model.compare(&path, &transaction.commit);
            }
        }
    }
    assert_eq!(transactions, main_line.commits);
    assert!(model.skipped.is_empty());
    model.compare(&path, &main_line.head);
}
