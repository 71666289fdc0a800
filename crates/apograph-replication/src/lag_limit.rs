//! How far a copy may be behind before writes wait for it, and what happens when it is not heard of.
//!
//! A limit is looked at before transactions are taken, never in the middle of one: what was taken is committed.

use std::time::Duration;

/// What happens to writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reaction {
    /// They go on; the status says what is wrong.
    Warn,
    /// They wait, a bounded time, and are refused then.
    Stall,
    /// They are refused at once.
    Reject,
}

/// What a copy must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LagLimit {
    /// Age of the oldest transaction that it does not have on disk.
    pub age: Option<Duration>,
    /// Entries that it does not have on disk.
    pub entries: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// What happens beyond one of them.
    pub beyond: Reaction,
    /// What happens when it is not heard of.
    pub lost: Reaction,
    /// After so long it is lost.
    pub lost_after: Duration,
    /// Writes are refused at once whenever it does not follow.
    pub crucial: bool,
}

/// How a copy stands. What is not known is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Since when nothing was heard of it, at most since this server began.
    pub silent: Duration,
    /// It says that it follows.
    pub follows: bool,
    /// Age of the oldest transaction that it does not have on disk; zero when it has all.
    pub age: Option<Duration>,
    /// Entries that it does not have on disk.
    pub entries: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
}

/// What is wrong with a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was heard of it for so long.
    Lost(Duration),
    /// It is crucial, and does not follow.
    NotFollowing,
    /// It lacks something older than this.
    Age(Duration),
    /// It lacks more entries.
    Entries(u64),
    /// It lacks more bytes.
    Bytes(u64),
}

impl LagLimit {
    /// What is wrong with a copy, if anything is, and what happens to writes then. The hardest reaction counts.
    pub fn judge(&self, seen: &Seen) -> Option<(Fault, Reaction)> {
        let is_lost = seen.silent > self.lost_after;
        if self.crucial && (is_lost || !seen.follows) {
            let fault = if is_lost { Fault::Lost(seen.silent) } else { Fault::NotFollowing };
            return Some((fault, Reaction::Reject));
        }
        let beyond = [
            seen.age.filter(|age| self.age.is_some_and(|max| *age > max)).map(Fault::Age),
            seen.entries.filter(|count| self.entries.is_some_and(|max| *count > max)).map(Fault::Entries),
            seen.bytes.filter(|bytes| self.bytes.is_some_and(|max| *bytes > max)).map(Fault::Bytes),
        ];
        // Of a lost copy the numbers are those of its last word: what happens then is decided by `lost` alone.
        if is_lost {
            return Some((Fault::Lost(seen.silent), self.lost));
        }
        beyond.into_iter().flatten().next().map(|fault| (fault, self.beyond))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limit() -> LagLimit {
        LagLimit {
            age: Some(10 * SECOND),
            entries: Some(100),
            bytes: None,
            beyond: Reaction::Stall,
            lost: Reaction::Warn,
            lost_after: 5 * SECOND,
            crucial: false,
        }
    }

    fn follows() -> Seen {
        Seen { follows: true, age: Some(Duration::ZERO), entries: Some(0), bytes: Some(0), ..Seen::default() }
    }

    #[test]
    fn each_number_counts_that_is_limited_and_known() {
        let limit = limit();
        assert_eq!(limit.judge(&follows()), None);
        let at = Seen { age: Some(10 * SECOND), entries: Some(100), bytes: Some(u64::MAX), ..follows() };
        assert_eq!(limit.judge(&at), None, "the limit itself is no fault, and bytes have none");
        let age = Seen { age: Some(11 * SECOND), ..follows() };
        assert_eq!(limit.judge(&age), Some((Fault::Age(11 * SECOND), Reaction::Stall)));
        let entries = Seen { entries: Some(101), ..follows() };
        assert_eq!(limit.judge(&entries), Some((Fault::Entries(101), Reaction::Stall)));
        let unknown = Seen { age: None, entries: None, bytes: None, ..follows() };
        assert_eq!(limit.judge(&unknown), None);
        let bytes = LagLimit { bytes: Some(5), beyond: Reaction::Reject, ..limit };
        let seen = Seen { bytes: Some(6), ..follows() };
        assert_eq!(bytes.judge(&seen), Some((Fault::Bytes(6), Reaction::Reject)));
    }

    #[test]
    fn a_lost_copy_is_what_the_setting_says_and_a_crucial_one_must_follow() {
        let far = Seen { silent: 6 * SECOND, age: Some(100 * SECOND), ..follows() };
        assert_eq!(limit().judge(&far), Some((Fault::Lost(6 * SECOND), Reaction::Warn)));
        let paused = Seen { follows: false, ..follows() };
        assert_eq!(limit().judge(&paused), None);
        let crucial = LagLimit { crucial: true, ..limit() };
        assert_eq!(crucial.judge(&paused), Some((Fault::NotFollowing, Reaction::Reject)));
        assert_eq!(crucial.judge(&far), Some((Fault::Lost(6 * SECOND), Reaction::Reject)));
        assert_eq!(crucial.judge(&follows()), None);
    }
}
