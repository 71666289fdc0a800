//! Damage is noticed before it is served.

use apograph_journal::{Journal, JournalReader, OpenError};

use crate::support::{acknowledged_journal, check, folder, identity, open, options, read_all, restore};

#[test]
fn every_flipped_byte_is_reported_and_nothing_wrong_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let entries = acknowledged_journal(dir.path(), 8);
    let whole = folder(dir.path());
    assert_eq!(whole.len(), 4, "three segments and the acknowledged position");
    let mut refused = 0;
    for (name, bytes) in &whole {
        for at in 0..bytes.len() {
            let path = dir.path().join(name);
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bad).unwrap();
            let report = check(dir.path());
            assert!(!report.is_sound(), "{name}, byte {at}");
            match JournalReader::open_read_only(dir.path()) {
                Err(_) => refused += 1,
                Ok((reader, recovery)) => {
                    assert_eq!(
                        recovery,
                        Default::default(),
                        "{name}, byte {at}: acknowledged entries are not cut"
                    );
                    let mut cursor = reader.entries(&reader.start()).unwrap();
                    let mut sound = 0;
                    while let Ok(Some(entry)) = cursor.next() {
                        assert_eq!(entry, entries[sound]);
                        sound += 1;
                    }
                    assert_eq!(sound == entries.len(), name == "acknowledged", "{name}, byte {at}");
                }
            }
            if let Err(error) = Journal::open(dir.path(), Some(&identity()), options()) {
                assert!(!matches!(error, OpenError::Io(_)), "{error}");
            }
            assert_eq!(std::fs::read(&path).unwrap(), bad, "{name}, byte {at}: damage is left as it is");
            std::fs::write(&path, bytes).unwrap();
        }
    }
    assert!(refused > 1000, "the open segment is read whole at opening: {refused}");
    assert!(check(dir.path()).is_sound());
}

#[test]
fn all_damaged_places_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let entries = acknowledged_journal(dir.path(), 8);
    let length = entries[0].bytes().len();
    let mut files = folder(dir.path());
    let first = files.get_mut("00000000000000000001.segment").unwrap();
    // The magic of the first entry, the facts of the second, a payload of the third.
    first[96] ^= 1;
    first[96 + length + 150] ^= 1;
    first[96 + 3 * length - 1] ^= 1;
    restore(dir.path(), &files);
    let report = check(dir.path());
    let places: Vec<_> = report.damage.iter().map(|damage| (damage.sequence, damage.offset)).collect();
    let at = |index: usize| (96 + index * length) as u64;
    assert_eq!(places, [(1, at(0)), (2, at(1)), (3, at(2))]);
    assert_eq!(report.entries, 5);
    assert_eq!(report.end, Some(entries[7].position()));
}

#[test]
fn missing_and_swapped_segments_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    acknowledged_journal(dir.path(), 12);
    let whole = folder(dir.path());
    let names: Vec<&String> = whole.keys().filter(|name| name.ends_with(".segment")).collect();
    assert_eq!(names.len(), 4);
    for missing in &names {
        let mut files = whole.clone();
        files.remove(*missing);
        restore(dir.path(), &files);
        let error = Journal::open(dir.path(), None, options()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged(_) | OpenError::Shorter { .. }), "{missing}: {error}");
        assert!(!check(dir.path()).is_sound());
        assert_eq!(folder(dir.path()), files);
    }
    let mut files = whole.clone();
    let (first, second) = (files[names[0]].clone(), files[names[1]].clone());
    files.insert(names[0].clone(), second);
    files.insert(names[1].clone(), first);
    restore(dir.path(), &files);
    assert!(matches!(Journal::open(dir.path(), None, options()), Err(OpenError::Damaged(_))));
    assert!(!check(dir.path()).is_sound());
    restore(dir.path(), &whole);
    assert!(check(dir.path()).is_sound());
    let mut files = whole.clone();
    files.remove("acknowledged");
    restore(dir.path(), &files);
    assert!(matches!(Journal::open(dir.path(), None, options()), Err(OpenError::Damaged(_))));
    assert!(!check(dir.path()).is_sound());
    restore(dir.path(), &whole);
    open(dir.path());
}

#[test]
fn a_closed_segment_cut_short_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    acknowledged_journal(dir.path(), 8);
    let whole = folder(dir.path());
    let name = whole.keys().next().unwrap();
    assert!(!name.starts_with('_'));
    for length in 0..whole[name].len() {
        std::fs::write(dir.path().join(name), &whole[name][..length]).unwrap();
        assert!(matches!(Journal::open(dir.path(), None, options()), Err(OpenError::Damaged(_))), "{length}");
        assert!(!check(dir.path()).is_sound(), "{length}");
        std::fs::write(dir.path().join(name), &whole[name]).unwrap();
    }
    let (reader, _) = JournalReader::open_read_only(dir.path()).unwrap();
    assert_eq!(read_all(&reader).unwrap().len(), 8);
}
