//! Where a link stands, and why, in words for people.

use std::fmt;

use super::event::Misfit;
use crate::carrier::RefusalKind;
use crate::sync::{Phase, SyncFailure, SyncReason};
use crate::versions::Skew;

/// Where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Asks the source who it is.
    Connecting,
    /// Streams are open.
    Following,
    /// Brings over what differs; it does not follow meanwhile.
    Synchronizing(Phase),
    /// Waits before the next attempt.
    Waiting,
    /// An operator paused it.
    Paused,
    /// Stopped, with a reason; asks again at long intervals.
    Stopped(StopReason),
}

/// Why a link is in the state that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The server began, or the wait is over.
    Due,
    /// The source greeted.
    Greeted,
    /// A stream ended or broke off.
    Ended,
    /// A stream brought nothing for too long.
    Silent,
    /// What arrived was damaged or misdirected.
    Rejected,
    /// The source is of an epoch that this copy cannot take.
    Misfit(Misfit),
    /// The source refuses.
    Refused(RefusalKind),
    /// Following cannot make this copy equal.
    Needs(SyncReason),
    /// It has to synchronize again, and waits lest it do nothing else.
    Repeated(SyncReason),
    /// A synchronization broke off.
    SyncFailed(SyncFailure),
    /// A synchronization is over: this copy shows the source's snapshot.
    Installed,
    /// An operator paused it.
    Paused,
    /// An operator paused it; what is being installed comes to its end first.
    Pausing,
    /// An operator lets it go on.
    Resumed,
    /// It cannot go on without a person.
    Stopped(StopReason),
}

/// Why a link stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// Whoever answers does not speak Apograph.
    NotApograph,
    /// The source has another database under that name.
    OtherDatabase,
    /// The source has no such database, or does not give this view.
    NoSuchDatabase,
    /// The source holds some partitions only, and not all that this copy holds.
    PartitionsElsewhere,
    /// Another primary signs than the one pinned at the first contact.
    KeyChanged,
    /// The source's versions are newer than this server's: it may say what is not known here.
    SourceNewer,
    /// The source is older than what this server still understands.
    SourceOlder,
    /// The token is missing, wrong, or may not see this view.
    Denied,
    /// The file that an operator may edit before a synchronization cannot be understood.
    SyncRequest,
    /// A signature is not the primary's.
    Signature,
    /// This server cannot take entries: disk, damage.
    Halted,
}

impl State {
    /// The name, as in status.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Connecting => "connecting",
            State::Following => "following",
            State::Synchronizing(phase) => phase.as_str(),
            State::Waiting => "waiting",
            State::Paused => "paused",
            State::Stopped(reason) if reason.is_skew() => "paused",
            State::Stopped(_) => "stopped",
        }
    }

    /// Why it stopped, if it did.
    pub fn reason(self) -> Option<StopReason> {
        match self {
            State::Stopped(reason) => Some(reason),
            State::Connecting
            | State::Following
            | State::Synchronizing(_)
            | State::Waiting
            | State::Paused => None,
        }
    }
}

impl Cause {
    /// The name, as in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Due => "due",
            Cause::Greeted => "greeted",
            Cause::Ended => "ended",
            Cause::Silent => "silent",
            Cause::Rejected => "rejected",
            Cause::Misfit(misfit) => misfit.as_str(),
            Cause::Refused(kind) => kind.as_str(),
            Cause::Needs(reason) => reason.as_str(),
            Cause::Repeated(SyncReason::Diverged) => "diverged-again",
            Cause::Repeated(_) => "again",
            Cause::SyncFailed(failure) => failure.as_str(),
            Cause::Installed => "installed",
            Cause::Paused => "paused",
            Cause::Pausing => "pausing",
            Cause::Resumed => "resumed",
            Cause::Stopped(reason) => reason.as_str(),
        }
    }

    /// In a sentence, for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Cause::Due => "it asks the source who it is",
            Cause::Greeted => "the source's journal reaches back to where this copy is",
            Cause::Ended => "a stream ended; it is opened again by itself",
            Cause::Silent => "the source was silent for too long; it is asked again by itself",
            Cause::Rejected => "what arrived was damaged or not for this copy; it is asked for again",
            Cause::Misfit(Misfit::LowerEpoch) => {
                "the source goes on with an epoch that is over; it is asked again by itself, until it follows the new primary"
            }
            Cause::Misfit(Misfit::UnknownPrimary) => {
                "the primary that it names was not known before it became one; it is asked again by itself, until a server document says so"
            }
            Cause::Refused(RefusalKind::Unavailable) => {
                "it is asked again by itself: start the source, or check its url"
            }
            Cause::Refused(_) => "the source refuses; it is asked again by itself",
            Cause::Needs(reason) => reason.sentence(),
            Cause::Repeated(SyncReason::Diverged) => {
                "this copy differs again although what differed was brought over: look for failing memory or disks"
            }
            Cause::Repeated(_) => {
                "the source's journal was gone again before this copy could follow: let it keep more"
            }
            Cause::SyncFailed(SyncFailure::Cut) => "the synchronization goes on by itself, where it was",
            Cause::SyncFailed(_) => "the synchronization begins again by itself; what was brought over stays",
            Cause::Installed => "a synchronization is over: this copy shows the source's state",
            Cause::Paused => "an operator paused it; resume lets it go on",
            Cause::Pausing => "an operator paused it; what is being installed comes to its end first",
            Cause::Resumed => "an operator lets it go on",
            Cause::Stopped(reason) => reason.next(),
        }
    }
}

impl StopReason {
    /// All of them.
    pub const ALL: [StopReason; 11] = [
        StopReason::NotApograph,
        StopReason::OtherDatabase,
        StopReason::NoSuchDatabase,
        StopReason::PartitionsElsewhere,
        StopReason::KeyChanged,
        StopReason::SourceNewer,
        StopReason::SourceOlder,
        StopReason::Denied,
        StopReason::SyncRequest,
        StopReason::Signature,
        StopReason::Halted,
    ];

    /// The name, as in status.
    pub fn as_str(self) -> &'static str {
        match self {
            StopReason::NotApograph => "not-apograph",
            StopReason::OtherDatabase => "other-database",
            StopReason::NoSuchDatabase => "no-such-database",
            StopReason::PartitionsElsewhere => "partitions-elsewhere",
            StopReason::KeyChanged => "key-changed",
            StopReason::SourceNewer => "source-newer",
            StopReason::SourceOlder => "source-older",
            StopReason::Denied => "denied",
            StopReason::SyncRequest => "sync-request",
            StopReason::Signature => "signature",
            StopReason::Halted => "halted",
        }
    }

    /// Versions that do not fit pause a link: nothing is wrong with either side, and it goes on by itself when one is updated.
    pub fn is_skew(self) -> bool {
        matches!(self, StopReason::SourceNewer | StopReason::SourceOlder)
    }

    /// What a person can do about it.
    pub fn next(self) -> &'static str {
        match self {
            StopReason::NotApograph => "check the source's url: something else answers there",
            StopReason::OtherDatabase => {
                "point the link at the database it was made from, or start a new copy in an empty folder"
            }
            StopReason::NoSuchDatabase => "check the database's name at the source, and which views it holds",
            StopReason::PartitionsElsewhere => {
                "point the link at the primary, or at a copy that holds at least the partitions of this one"
            }
            StopReason::KeyChanged => {
                "another primary signs: compare its key out of band, then start a new copy in an empty folder"
            }
            StopReason::SourceNewer => {
                "update this server: it goes on by itself then. Copies are updated before their sources"
            }
            StopReason::SourceOlder => {
                "update the source, by way of a version between the two if there is one: this copy goes on by itself then"
            }
            StopReason::Denied => "put the source's link token for this role into the token file",
            StopReason::SyncRequest => "correct sync-request.json, or remove it: it is then written anew",
            StopReason::Signature => "somebody between here and the primary changes what is sent",
            StopReason::Halted => "see the database's reason in status, repair it, restart this server",
        }
    }
}

impl From<Skew> for StopReason {
    fn from(skew: Skew) -> StopReason {
        match skew {
            Skew::SourceNewer => StopReason::SourceNewer,
            Skew::SourceOlder => StopReason::SourceOlder,
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
