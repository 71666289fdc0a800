//! Whose journal it is, and who has it open.

use apograph_format::{DatabaseId, PartitionId};
use apograph_journal::{
    Beginning, CreateError, Identity, Journal, JournalReader, OpenError, VerifyError, verify,
};

use crate::support::{acknowledged_journal, create, folder, identity, options, restore};

#[test]
fn only_one_writer_and_only_the_right_one() {
    let dir = tempfile::tempdir().unwrap();
    let journal = create(dir.path());
    assert!(matches!(Journal::open(dir.path(), None, options()), Err(OpenError::Locked { .. })));
    drop(journal);
    for other in [
        Identity { database: DatabaseId([8; 16]), ..identity() },
        Identity { partition: PartitionId(0), ..identity() },
        Identity { view: apograph_format::View::Published, ..identity() },
    ] {
        let error = Journal::open(dir.path(), Some(&other), options()).unwrap_err();
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    }
    Journal::open(dir.path(), Some(&identity()), options()).unwrap();
}

#[test]
fn a_folder_without_a_journal_says_so_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    for dir in [dir.path().to_owned(), dir.path().join("nowhere")] {
        assert!(matches!(Journal::open(&dir, None, options()), Err(OpenError::Empty { .. })));
    }
    assert!(matches!(JournalReader::open_read_only(dir.path()), Err(OpenError::Empty { .. })));
    assert!(matches!(verify(dir.path(), &mut |_| {}), Err(VerifyError::Empty { .. })));
    assert!(folder(dir.path()).is_empty());
}

#[test]
fn creation_is_repeatable_until_it_is_complete_and_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path());
    let whole = folder(dir.path());
    let again = || Journal::create(dir.path(), identity(), options(), Beginning::genesis(&identity()));
    assert!(matches!(again(), Err(CreateError::Exists { .. })));
    for (name, bytes) in &whole {
        for length in [0, 10] {
            let mut files = whole.clone();
            files.insert(name.clone(), bytes[..length].to_vec());
            if name == "acknowledged" {
                files.retain(|name, _| name == "acknowledged");
            }
            restore(dir.path(), &files);
            // Whoever opens it is told that nothing is here, and may create it.
            let opened = Journal::open(dir.path(), None, options());
            assert!(matches!(opened, Err(OpenError::Empty { .. })), "{name} of {length} bytes: {opened:?}");
            again().unwrap();
            assert_eq!(folder(dir.path()).keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>());
        }
    }
    restore(dir.path(), &Default::default());
    acknowledged_journal(dir.path(), 3);
    assert!(matches!(again(), Err(CreateError::Exists { .. })));
}

#[test]
fn an_unknown_segment_format_has_its_own_error() {
    let dir = tempfile::tempdir().unwrap();
    acknowledged_journal(dir.path(), 8);
    let whole = folder(dir.path());
    for name in whole.keys().filter(|name| name.ends_with(".segment")) {
        let mut files = whole.clone();
        let bytes = files.get_mut(name).unwrap();
        bytes[4] = 7;
        let checksum = crc32c::crc32c(&bytes[..92]);
        bytes[92..96].copy_from_slice(&checksum.to_le_bytes());
        restore(dir.path(), &files);
        let error = Journal::open(dir.path(), None, options()).unwrap_err();
        assert!(matches!(error, OpenError::Format { found: 7, .. }), "{name}: {error}");
        assert_eq!(folder(dir.path()), files);
    }
}
