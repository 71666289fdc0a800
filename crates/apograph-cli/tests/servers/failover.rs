//! The runs of `cargo xtask failover-runs`, with a few rounds: what they find must be as it should be. Bounds of time do
//! not count here.

use std::time::Duration;

use apograph_bench::failover::{FailoverRun, FailoverScale};
use apograph_client::format::Durability;

fn as_it_should_be(run: FailoverRun, scale: FailoverScale) {
    let root = tempfile::tempdir().unwrap();
    let report = run.run(root.path(), scale);
    println!("{report}");
    assert_eq!(report.misses(), Vec::<String>::new(), "{report}");
}

#[test]
fn switchovers_lose_and_double_nothing() {
    as_it_should_be(FailoverRun::Switchovers, FailoverScale::small());
}

#[test]
fn what_crashes_cut_off_is_listed_and_comes_back() {
    as_it_should_be(FailoverRun::Crashes, FailoverScale::small());
}

#[test]
fn what_a_replica_has_no_crash_cuts_off() {
    let durability = Durability::of(1);
    let within = Duration::from_millis(300);
    as_it_should_be(FailoverRun::Crashes, FailoverScale { durability, within, ..FailoverScale::small() });
}

#[test]
fn a_split_network_ends_in_one_history_and_a_list() {
    as_it_should_be(FailoverRun::Split, FailoverScale { rounds: 3, ..FailoverScale::small() });
}

#[test]
fn switchovers_that_are_killed_in_the_middle_leave_one_primary() {
    as_it_should_be(FailoverRun::Interrupted, FailoverScale::small());
}
