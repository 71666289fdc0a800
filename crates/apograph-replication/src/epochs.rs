//! Which history counts, when roles moved: epochs form a tree, and one way through it is the history.
//!
//! ```text
//! 1 ──▶ 2-p… ──▶ 3-s…          the history: what leads to the highest epoch
//! └───▶ 2-p…                    another beginning of the number two: everything in it is cut off
//! ```
//!
//! - Every epoch names the one that it goes on from, and the last commit timestamp that it took over of it: its *base*.
//! - The history that counts is that of the highest epoch known ([`Epoch`] has the order). What another server knows may be more;
//!   whoever knows the same decides the same.
//! - What was written in an epoch counts up to the base of the one that follows it on that way. In an epoch beside that way nothing
//!   counts, whatever its time.

use apograph_format::{Epoch, Timestamp};

/// The beginning of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// Which.
    pub epoch: Epoch,
    /// The one whose history it goes on with. `None` where that was not noted: then it is the one below it.
    pub previous: Option<Epoch>,
    /// The last commit timestamp of that history.
    pub base: Timestamp,
}

/// Which epoch cut off what was written in `epoch` at `at`; `None` if it counts, as far as these epochs go. Takes them highest
/// first. An epoch that is higher than all of them has not been heard of, and may count.
pub fn cut_by(
    highest_first: impl IntoIterator<Item = Beginning>,
    epoch: Epoch,
    at: Timestamp,
) -> Option<Epoch> {
    let mut way = Way::default();
    let mut cut = None;
    for start in highest_first {
        if start.epoch <= epoch {
            break;
        }
        if !way.passes(start.epoch) {
            continue;
        }
        way.take(&start);
        if at > start.base {
            cut = Some(start.epoch);
        }
    }
    if way.passes(epoch) { cut } else { way.last }
}

/// Where the history that counts and the one of what was cut off parted: the last commit timestamp of both. `None` if it counts.
pub fn parted_at(
    highest_first: impl IntoIterator<Item = Beginning> + Clone,
    epoch: Epoch,
    at: Timestamp,
) -> Option<Timestamp> {
    cut_by(highest_first.clone(), epoch, at)?;
    let (mut counting, mut other) = (Way::default(), Way { last: None, next: Some(epoch) });
    let mut parted = Timestamp::MAX;
    for start in highest_first {
        match (counting.passes(start.epoch), other.passes(start.epoch)) {
            (true, true) => break,
            (true, false) => counting.take(&start),
            (false, true) => other.take(&start),
            (false, false) => continue,
        }
        parted = parted.min(start.base);
    }
    Some(parted)
}

/// In which epoch of the history that counts something was written that counts, by its time. Takes them highest first.
pub fn epoch_at(highest_first: impl IntoIterator<Item = Beginning>, at: Timestamp) -> Option<Epoch> {
    let mut way = Way::default();
    for start in highest_first {
        if !way.passes(start.epoch) {
            continue;
        }
        if start.base < at {
            return Some(start.epoch);
        }
        way.take(&start);
    }
    None
}

/// The way down from the highest epoch.
#[derive(Default)]
struct Way {
    /// The lowest epoch that was passed.
    last: Option<Epoch>,
    /// Where it goes on, if that was noted.
    next: Option<Epoch>,
}

impl Way {
    /// Does it lead through here? Not through two epochs of one number; what lies below an epoch of which nothing is known may be on
    /// it.
    fn passes(&self, epoch: Epoch) -> bool {
        self.next.is_none_or(|next| epoch == next || epoch.number() < next.number())
    }

    fn take(&mut self, start: &Beginning) {
        (self.last, self.next) = (Some(start.epoch), start.previous);
    }
}

#[cfg(test)]
mod tests {
    use apograph_format::{Right, ServerKey};

    use super::*;

    const A: ServerKey = ServerKey([1; 32]);
    const B: ServerKey = ServerKey([2; 32]);
    const C: ServerKey = ServerKey([3; 32]);

    fn start(epoch: Epoch, previous: Option<Epoch>, base: u64) -> Beginning {
        Beginning { epoch, previous, base: Timestamp(base) }
    }

    fn next(of: Epoch, by: ServerKey, right: Right) -> Epoch {
        of.next(&by, right).unwrap()
    }

    fn cut(known: &[Beginning], epoch: Epoch, at: u64) -> Option<Epoch> {
        let mut known = known.to_vec();
        known.sort_by_key(|start| std::cmp::Reverse(start.epoch));
        cut_by(known, epoch, Timestamp(at))
    }

    #[test]
    fn a_line_of_epochs_cuts_what_is_beyond_a_base() {
        let second = next(Epoch::FIRST, B, Right::Taken);
        let third = next(second, A, Right::Given);
        let known = [
            start(Epoch::FIRST, None, 0),
            start(second, Some(Epoch::FIRST), 10),
            start(third, Some(second), 20),
        ];
        assert_eq!((cut(&known, Epoch::FIRST, 10), cut(&known, Epoch::FIRST, 11)), (None, Some(second)));
        assert_eq!((cut(&known, second, 20), cut(&known, second, 21)), (None, Some(third)));
        assert_eq!(cut(&known, third, 1_000), None);
        assert_eq!(cut(&known, next(third, B, Right::Taken), 1_000), None, "not heard of");
        // The first one that did it.
        assert_eq!(cut(&known, Epoch::FIRST, 30), Some(second));
    }

    #[test]
    fn two_beginnings_of_one_number_are_two_epochs_and_the_lower_one_is_cut_whole() {
        let given = next(Epoch::FIRST, B, Right::Given);
        let taken = next(Epoch::FIRST, C, Right::Taken);
        assert!(given > taken);
        let known = [
            start(Epoch::FIRST, None, 0),
            start(given, Some(Epoch::FIRST), 20),
            start(taken, Some(Epoch::FIRST), 10),
        ];
        // Also what was written there before the other one began.
        assert_eq!((cut(&known, taken, 15), cut(&known, taken, 25)), (Some(given), Some(given)));
        // What both go on with counts, and so does what only the higher one has.
        assert_eq!((cut(&known, Epoch::FIRST, 10), cut(&known, Epoch::FIRST, 20)), (None, None));
        assert_eq!(cut(&known, Epoch::FIRST, 21), Some(given));
        // One who did not hear of the lower one says the same of it.
        assert_eq!(cut(&known[..2], taken, 15), Some(given));
        // So does one who heard of a third one that goes on with the higher one.
        let third = start(next(given, C, Right::Given), Some(given), 30);
        assert_eq!(cut(&[known[0], known[2], third], taken, 15), Some(third.epoch));
        // One who did not hear of the higher one does not know.
        assert_eq!(cut(&[known[0], known[2]], given, 15), None);
        // An operator decides for the other one: it begins the next number.
        let third = next(given, C, Right::Taken);
        let known = [known[0], known[1], known[2], start(third, Some(taken), 30)];
        assert_eq!((cut(&known, taken, 25), cut(&known, given, 21)), (None, Some(third)));
        assert_eq!((cut(&known, Epoch::FIRST, 10), cut(&known, Epoch::FIRST, 11)), (None, Some(taken)));
    }

    #[test]
    fn histories_part_at_the_lower_of_two_bases() {
        let given = next(Epoch::FIRST, B, Right::Given);
        let taken = next(Epoch::FIRST, C, Right::Taken);
        let known = [
            start(given, Some(Epoch::FIRST), 20),
            start(taken, Some(Epoch::FIRST), 10),
            start(Epoch::FIRST, None, 0),
        ];
        let parted = |epoch, at| parted_at(known, epoch, Timestamp(at)).map(|at| at.0);
        assert_eq!((parted(taken, 15), parted(taken, 25)), (Some(10), Some(10)));
        assert_eq!((parted(Epoch::FIRST, 20), parted(Epoch::FIRST, 21)), (None, Some(20)));
    }

    #[test]
    fn where_the_previous_epoch_was_not_noted_it_is_the_one_below() {
        let plain = |number| Epoch::plain(number);
        let known = [start(plain(1), None, 0), start(plain(2), None, 10), start(plain(3), None, 20)];
        assert_eq!((cut(&known, plain(1), 10), cut(&known, plain(1), 11)), (None, Some(plain(2))));
        assert_eq!(cut(&known, plain(2), 21), Some(plain(3)));
        // Forgotten ones: what is below the lowest that is known counts up to its base.
        assert_eq!((cut(&known[2..], plain(1), 20), cut(&known[2..], plain(1), 21)), (None, Some(plain(3))));
    }

    #[test]
    fn the_epoch_of_a_time_is_one_of_the_history_that_counts() {
        let given = next(Epoch::FIRST, B, Right::Given);
        let taken = next(Epoch::FIRST, C, Right::Taken);
        let known = [
            start(given, Some(Epoch::FIRST), 20),
            start(taken, Some(Epoch::FIRST), 10),
            start(Epoch::FIRST, None, 0),
        ];
        assert_eq!(epoch_at(known, Timestamp(15)), Some(Epoch::FIRST));
        assert_eq!(epoch_at(known, Timestamp(21)), Some(given));
        assert_eq!(epoch_at(known, Timestamp(0)), None);
    }
}
