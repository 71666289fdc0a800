//! Taking back what nobody was told about.

use apograph_journal::{CutError, ReadError};

use crate::support::{Chain, check, create, folder, open, read_all};

#[test]
fn unacknowledged_entries_can_be_cut_at_every_place() {
    for keep in 2..=10 {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = create(dir.path());
        let mut chain = Chain::new();
        let mut entries = chain.extend(&mut journal, 2, 60);
        chain.sync(&mut journal);
        journal.acknowledge(&journal.end()).unwrap();
        let mut kept = chain.clone();
        let mut model = Vec::new();
        for count in 2..10 {
            if count == keep {
                kept = chain.clone();
                model = entries.clone();
            }
            entries.extend(chain.extend(&mut journal, 1, 60));
        }
        if keep == 10 {
            (kept, model) = (chain.clone(), entries.clone());
        }
        chain.sync(&mut journal);
        let reader = journal.reader();
        let mut behind = reader.entries(&reader.start()).unwrap();
        behind.next().unwrap().unwrap();
        let mut beyond = reader.entries(&journal.end()).unwrap();
        assert_eq!(journal.cut_after(&kept.after).unwrap(), 10 - keep as u64);
        assert_eq!((journal.end(), journal.synced_sequence()), (kept.after, keep as u64));
        assert_eq!(read_all(&reader).unwrap(), model);
        assert_eq!(behind.next().unwrap().as_ref(), model.get(1));
        if keep < 10 {
            assert!(matches!(beyond.next(), Err(ReadError::Cut { .. })));
        } else {
            assert!(beyond.next().unwrap().is_none());
        }
        assert!(matches!(journal.cut_after(&model[0].position()), Err(CutError::Acknowledged { .. })));
        assert!(matches!(journal.cut_after(&chain.after), Err(CutError::Locate(_))) || keep == 10);

        // Another history goes on, and the journal is what it would be without the first one.
        kept.timestamp += 5;
        model.extend(kept.extend(&mut journal, 4, 33));
        kept.sync(&mut journal);
        assert_eq!(read_all(&reader).unwrap(), model);
        journal.close().unwrap();
        assert!(check(dir.path()).is_sound());
        let straight = tempfile::tempdir().unwrap();
        let mut copy = create(straight.path());
        model.iter().for_each(|entry| copy.append(entry).unwrap());
        copy.sync().unwrap();
        copy.acknowledge(&model[1].position()).unwrap();
        copy.close().unwrap();
        assert_eq!(folder(dir.path()), folder(straight.path()), "kept {keep}");
        assert_eq!(read_all(&open(dir.path()).reader()).unwrap(), model);
    }
}
