//! The runs of `cargo xtask sync-runs` on a few thousand documents: what they find must be as it should be. Bounds of
//! time and memory do not count here; those of bytes do.

use apograph_bench::runs::{Run, Scale, Stage};

/// Runs these, one after the other, on servers of their own.
fn as_it_should_be(scale: Scale, runs: &[Run]) {
    let root = tempfile::tempdir().unwrap();
    let mut stage = Stage::set_up(root.path(), scale);
    for run in runs {
        let report = run.run(&mut stage);
        println!("{report}");
        assert_eq!(report.misses(), Vec::<String>::new(), "{report}");
    }
}

#[test]
fn from_empty_and_by_difference() {
    as_it_should_be(Scale::small(3000), &[Run::Full, Run::Difference]);
}

#[test]
fn from_empty_and_by_difference_in_four_partitions() {
    as_it_should_be(Scale { partitions: 4, ..Scale::small(3000) }, &[Run::Full, Run::Difference]);
}

#[test]
fn killed_again_and_again() {
    as_it_should_be(Scale::small(3000), &[Run::Kills]);
}

#[test]
fn beside_writes() {
    as_it_should_be(Scale::small(3000), &[Run::Writes]);
}

#[test]
fn altered_behind_its_back() {
    as_it_should_be(Scale::small(500), &[Run::Altered]);
}

#[test]
fn a_data_folder_that_is_not_its_own() {
    as_it_should_be(Scale::small(1000), &[Run::Swapped]);
}
