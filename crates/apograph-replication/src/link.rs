//! What a link does next: one state machine, forever and without a person.
//!
//! ```text
//! connecting ─▶ following                                           in the window
//! connecting ─▶ planning ─▶ transferring ─▶ installing ─▶ connecting      otherwise
//! ```
//!
//! It has no clock, no sockets and no randomness: the worker that drives it says what happened and when, and does what
//! comes out, in order. `tests/link.transcript` is its specification.
//!
//! - A copy that following cannot make equal synchronizes; which of the reasons it was, the state says. One that began
//!   comes to its end before anything else, whatever interrupts it.
//! - A link that lost its source comes back after growing waits, which start over when every stream made progress.
//! - A link that *stopped* says why, and asks again at long intervals: whoever repairs the cause has nothing to restart.
//! - One stream that fails takes the others with it: all positions are durable, a new start costs nothing.
//! - It never spins: rounds that follow each other without progress wait, and so does a copy that differs again before
//!   a checkpoint proved it equal.

mod event;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use apograph_format::{PartitionId, View};

use crate::backoff::Backoff;
use crate::carrier::RefusalKind;
use crate::sync::{Phase, SyncFailure, SyncReason};
use crate::versions::{self, Versions};

pub use event::{Action, Before, Event, Greeting, Held, Misfit};
pub use state::{Cause, State, StopReason};

/// A stream that brings no frame for this long is dead: heartbeats come every second.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How often a stopped link asks again, and how long a copy that differs again waits.
pub const STOPPED_RETRY: Duration = Duration::from_secs(30);
/// Rounds of synchronization that follow each other at once; later ones wait first.
pub const ROUNDS_AT_ONCE: u32 = 3;

/// One link's state machine.
#[derive(Debug, Clone)]
pub struct Link {
    view: View,
    versions: Versions,
    held: Option<Held>,
    state: State,
    cause: Cause,
    /// Why a synchronization is due before anything can be followed.
    due: Option<SyncReason>,
    /// Rounds of synchronization since every stream made progress.
    round: u32,
    /// A difference was synchronized away, and no checkpoint proved it since.
    mended: bool,
    /// What an operator asked for while something was being installed.
    after: After,
    backoff: Backoff,
    heard: BTreeMap<PartitionId, Duration>,
    /// Streams that took nothing since they were opened.
    still: BTreeSet<PartitionId>,
}

#[derive(Debug, Clone, Copy, Default)]
struct After {
    pause: bool,
    again: bool,
}

impl Link {
    /// A link of a copy that holds `held`, or nothing yet.
    pub fn new(view: View, held: Option<Held>, before: Before) -> Link {
        let (state, cause) =
            if before.paused { (State::Paused, Cause::Paused) } else { (State::Connecting, Cause::Due) };
        Link {
            view,
            versions: Versions::CURRENT,
            held,
            state,
            cause,
            due: before.due,
            round: u32::from(before.due.is_some()),
            mended: false,
            after: After::default(),
            backoff: Backoff::default(),
            heard: BTreeMap::new(),
            still: BTreeSet::new(),
        }
    }

    /// The same, of a server of these versions.
    pub fn speaking(self, versions: Versions) -> Link {
        Link { versions, ..self }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it stands there.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Why a synchronization is due or under way, if one is; and which round it is.
    pub fn synchronization(&self) -> Option<(SyncReason, u32)> {
        self.due.map(|reason| (reason, self.round))
    }

    /// It follows, and every stream made progress: whatever was synchronized before is of the past.
    pub fn is_settled(&self) -> bool {
        self.state == State::Following && self.round == 0
    }

    /// What happened, when (on a clock that never jumps), and a random number: what to do, in order.
    pub fn on(&mut self, event: Event, now: Duration, random: u16) -> Vec<Action> {
        match event {
            Event::Due => self.wake(),
            Event::Greeted(greeting) => self.greeted(greeting, now, random),
            Event::Adopted(held) => {
                self.held = Some(held);
                self.begin(now)
            }
            Event::Known(held) => {
                self.held = Some(held);
                Vec::new()
            }
            Event::Refused(kind) => self.refused(kind, random),
            Event::Progress(partition) => self.progress(partition, now),
            Event::Alive(partition) => self.alive(partition, now),
            Event::Proven => self.proven(),
            Event::Ended(_) => self.broken(Cause::Ended, random),
            Event::Rejected(_) => self.broken(Cause::Rejected, random),
            Event::Misfit(misfit) => self.broken(Cause::Misfit(misfit), random),
            Event::Needs(reason) => self.needs(reason, random),
            Event::Synchronizing(phase) => self.phase(phase),
            Event::Received => self.received(),
            Event::Installed => self.installed(),
            Event::SyncFailed(failure) => self.failed(failure, random),
            Event::Requested => self.requested(),
            Event::Pause => self.pause(),
            Event::Resume => self.resume(),
            Event::Halted(reason) => self.stop(reason),
            Event::Tick => self.tick(now, random),
        }
    }

    fn wake(&mut self) -> Vec<Action> {
        match self.state {
            State::Following | State::Synchronizing(_) | State::Paused => Vec::new(),
            State::Connecting | State::Waiting | State::Stopped(_) => self.connect(Cause::Due),
        }
    }

    fn connect(&mut self, cause: Cause) -> Vec<Action> {
        self.enter(State::Connecting, cause);
        vec![Action::Greet]
    }

    fn greeted(&mut self, greeting: Greeting, now: Duration, random: u16) -> Vec<Action> {
        if self.state != State::Connecting {
            return Vec::new();
        }
        if let Err(reason) = check(&greeting, self.view, &self.versions, self.held.as_ref()) {
            return self.stop(reason);
        }
        // Whether the primary of a higher one may be one is seen when that epoch arrives.
        if self.held.as_ref().is_some_and(|held| greeting.epoch < held.epoch) {
            return self.again(Cause::Misfit(Misfit::LowerEpoch), random);
        }
        if self.held.is_some() { self.begin(now) } else { vec![Action::Adopt] }
    }

    /// There is contact: what is due is synchronized before anything is followed.
    fn begin(&mut self, now: Duration) -> Vec<Action> {
        match (self.state, self.due) {
            (State::Connecting, None) => self.open(now),
            (State::Connecting, Some(reason)) => self.synchronize(reason),
            _ => Vec::new(),
        }
    }

    fn open(&mut self, now: Duration) -> Vec<Action> {
        let Some(held) = &self.held else {
            return Vec::new();
        };
        let partitions = held.held;
        self.enter(State::Following, Cause::Greeted);
        self.heard = partitions.iter().map(|partition| (partition, now)).collect();
        self.still = self.heard.keys().copied().collect();
        vec![Action::Open { partitions }]
    }

    fn synchronize(&mut self, reason: SyncReason) -> Vec<Action> {
        self.enter(State::Synchronizing(Phase::Planning), Cause::Needs(reason));
        vec![Action::Synchronize { reason, round: self.round }]
    }

    fn refused(&mut self, kind: RefusalKind, random: u16) -> Vec<Action> {
        match (self.state, kind) {
            (State::Following, RefusalKind::OutOfWindow) => self.needs(SyncReason::OutOfWindow, random),
            (State::Following, RefusalKind::UnknownPosition) => {
                self.needs(SyncReason::UnknownPosition, random)
            }
            (State::Following | State::Connecting, _) => match reason_of(kind) {
                Some(reason) => self.stop(reason),
                None => self.again(Cause::Refused(kind), random),
            },
            _ => Vec::new(),
        }
    }

    /// Waits start over only when every stream got on: one that is refused again and again must not be asked ever
    /// faster because the others are well.
    fn progress(&mut self, partition: PartitionId, now: Duration) -> Vec<Action> {
        if self.state == State::Following {
            self.still.remove(&partition);
            if self.still.is_empty() {
                self.backoff.reset();
                self.round = 0;
            }
        }
        self.alive(partition, now)
    }

    fn alive(&mut self, partition: PartitionId, now: Duration) -> Vec<Action> {
        if self.state == State::Following {
            self.heard.insert(partition, now);
        }
        Vec::new()
    }

    fn proven(&mut self) -> Vec<Action> {
        if self.state == State::Following {
            self.mended = false;
        }
        Vec::new()
    }

    fn broken(&mut self, cause: Cause, random: u16) -> Vec<Action> {
        if self.state == State::Following { self.again(cause, random) } else { Vec::new() }
    }

    /// At once, unless that was tried again and again.
    fn needs(&mut self, reason: SyncReason, random: u16) -> Vec<Action> {
        if self.state != State::Following {
            return Vec::new();
        }
        self.due = Some(reason);
        self.round = self.round.saturating_add(1);
        if reason == SyncReason::Diverged && self.mended {
            return self.wait(Cause::Repeated(reason), STOPPED_RETRY);
        }
        if self.round > ROUNDS_AT_ONCE {
            return self.again(Cause::Repeated(reason), random);
        }
        let close = self.close();
        close.into_iter().chain(self.synchronize(reason)).collect()
    }

    fn phase(&mut self, phase: Phase) -> Vec<Action> {
        if matches!(self.state, State::Synchronizing(_)) {
            self.state = State::Synchronizing(phase);
        }
        Vec::new()
    }

    /// Rounds that come to nothing do not follow each other ever faster because some answers came.
    fn received(&mut self) -> Vec<Action> {
        if matches!(self.state, State::Synchronizing(_)) && self.round <= ROUNDS_AT_ONCE {
            self.backoff.reset();
        }
        Vec::new()
    }

    fn installed(&mut self) -> Vec<Action> {
        if !matches!(self.state, State::Synchronizing(_)) {
            return Vec::new();
        }
        self.mended |= self.due == Some(SyncReason::Diverged);
        let After { pause, again } = std::mem::take(&mut self.after);
        self.due = again.then_some(SyncReason::Requested);
        self.round = if again { 1 } else { self.round };
        if pause {
            self.enter(State::Paused, Cause::Paused);
            return Vec::new();
        }
        self.connect(Cause::Installed)
    }

    fn failed(&mut self, failure: SyncFailure, random: u16) -> Vec<Action> {
        let (State::Synchronizing(_), Some(reason)) = (self.state, self.due) else {
            return Vec::new();
        };
        let After { pause, again } = std::mem::take(&mut self.after);
        let reason = if again { SyncReason::Requested } else { reason };
        self.due = Some(reason);
        if pause {
            self.enter(State::Paused, Cause::Paused);
            return Vec::new();
        }
        // It is over already: there is nothing to close.
        self.state = State::Connecting;
        let cause = Cause::SyncFailed(failure);
        match failure {
            SyncFailure::Cut => self.again(cause, random),
            SyncFailure::Halted => self.stop(StopReason::Halted),
            SyncFailure::Expired
            | SyncFailure::Refused(RefusalKind::OutOfWindow | RefusalKind::UnknownPosition) => {
                self.round = self.round.saturating_add(1);
                if self.round > ROUNDS_AT_ONCE { self.again(cause, random) } else { self.synchronize(reason) }
            }
            SyncFailure::Refused(kind) => match reason_of(kind) {
                Some(reason) => self.stop(reason),
                None => self.again(cause, random),
            },
        }
    }

    /// What an operator asks for comes first, and starts the rounds anew.
    fn requested(&mut self) -> Vec<Action> {
        if self.state == State::Synchronizing(Phase::Installing) {
            self.after.again = true;
            return Vec::new();
        }
        self.due = Some(SyncReason::Requested);
        self.round = 1;
        match self.state {
            State::Following | State::Synchronizing(_) => {
                let close = self.close();
                close.into_iter().chain(self.synchronize(SyncReason::Requested)).collect()
            }
            State::Waiting | State::Stopped(_) => self.connect(Cause::Needs(SyncReason::Requested)),
            State::Connecting | State::Paused => Vec::new(),
        }
    }

    fn pause(&mut self) -> Vec<Action> {
        if self.state == State::Synchronizing(Phase::Installing) {
            self.after.pause = true;
            self.cause = Cause::Pausing;
            return Vec::new();
        }
        let close = self.close();
        self.enter(State::Paused, Cause::Paused);
        close.into_iter().collect()
    }

    fn resume(&mut self) -> Vec<Action> {
        if let (true, Some(reason)) = (self.after.pause, self.due) {
            self.after.pause = false;
            self.cause = Cause::Needs(reason);
        }
        // Who repaired a cause need not wait until the link asks again by itself.
        match self.state {
            State::Paused | State::Waiting | State::Stopped(_) => self.connect(Cause::Resumed),
            State::Connecting | State::Following | State::Synchronizing(_) => Vec::new(),
        }
    }

    fn tick(&mut self, now: Duration, random: u16) -> Vec<Action> {
        let silent = self.heard.values().any(|heard| now.saturating_sub(*heard) >= SILENCE_MAX);
        if silent { self.broken(Cause::Silent, random) } else { Vec::new() }
    }

    fn again(&mut self, cause: Cause, random: u16) -> Vec<Action> {
        let after = self.backoff.after_failure(random);
        self.wait(cause, after)
    }

    fn wait(&mut self, cause: Cause, after: Duration) -> Vec<Action> {
        let close = self.close();
        self.enter(State::Waiting, cause);
        close.into_iter().chain([Action::Wait { after }]).collect()
    }

    fn stop(&mut self, reason: StopReason) -> Vec<Action> {
        let close = self.close();
        let After { pause, .. } = std::mem::take(&mut self.after);
        if pause || self.state == State::Paused {
            self.enter(State::Paused, Cause::Paused);
            return close.into_iter().collect();
        }
        self.enter(State::Stopped(reason), Cause::Stopped(reason));
        close.into_iter().chain([Action::Wait { after: STOPPED_RETRY }]).collect()
    }

    fn enter(&mut self, state: State, cause: Cause) {
        self.state = state;
        self.cause = cause;
    }

    fn close(&mut self) -> Option<Action> {
        self.heard.clear();
        matches!(self.state, State::Following | State::Synchronizing(_)).then_some(Action::Close)
    }
}

fn check(
    greeting: &Greeting,
    view: View,
    versions: &Versions,
    held: Option<&Held>,
) -> Result<(), StopReason> {
    versions::fits(versions, &greeting.offered)?;
    if greeting.view != view {
        return Err(StopReason::NoSuchDatabase);
    }
    let Some(held) = held else {
        return Ok(());
    };
    if greeting.database != held.database || greeting.partitions != held.partitions {
        return Err(StopReason::OtherDatabase);
    }
    if !greeting.held.covers(held.held) {
        return Err(StopReason::PartitionsElsewhere);
    }
    match (held.primary, greeting.primary) {
        // In one epoch there is one primary.
        (Some(pinned), Some(found)) if pinned != found && greeting.epoch == held.epoch => {
            Err(StopReason::KeyChanged)
        }
        _ => Ok(()),
    }
}

/// `None` for what passes by itself.
fn reason_of(kind: RefusalKind) -> Option<StopReason> {
    match kind {
        RefusalKind::Denied => Some(StopReason::Denied),
        RefusalKind::NoSuchDatabase => Some(StopReason::NoSuchDatabase),
        RefusalKind::NotApograph => Some(StopReason::NotApograph),
        RefusalKind::ProtocolNewer => Some(StopReason::SourceNewer),
        RefusalKind::OutOfWindow
        | RefusalKind::UnknownPosition
        | RefusalKind::SnapshotExpired
        | RefusalKind::Unavailable => None,
    }
}
