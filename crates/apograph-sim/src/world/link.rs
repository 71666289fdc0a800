//! What drives the state machine of a link here: the same as the worker of a server's link, with this world's lines.

use std::time::Duration;

use apograph::database::roles::RoleError;
use apograph::format::{Epoch, Partitioning, Position, View};
use apograph::{Database, Handshake, Role};
use apograph_replication::carrier::RefusalKind;
use apograph_replication::link::{
    Action, Before, Event as LinkEvent, Greeting, Held, Link, State, StopReason,
};
use apograph_replication::sync::SyncReason;
use apograph_replication::versions::{Offered, Versions};

use super::synchronize::Synchronizing;
use super::{Checked, Event, MAIN, World};
use crate::os;

/// How often a link looks after itself.
const TICK_US: u64 = 500_000;
/// A source must greet within this time.
const ANSWER_US: u64 = 10_000_000;

/// A link into a server.
pub(super) struct LinkDriver {
    pub(super) link: Link,
    id: u64,
    /// Changes when it closes: what its streams had still to say comes to nothing then.
    pub(super) number: u64,
    pub(super) source: usize,
    view: View,
    begun_us: u64,
    due: u64,
    handshake: Option<Handshake>,
    proven: Vec<Option<Position>>,
    pub(super) synchronizing: Option<Synchronizing>,
    detail: String,
}

/// What a source answers to a greeting.
pub(super) type Greeted = Result<Handshake, (RefusalKind, String)>;

impl World {
    /// A copy follows its source.
    pub(super) fn begin_link(&mut self, host: usize, view: View) {
        self.end_link(host);
        let (number, now) = (self.number(), self.now());
        let server = self.server(host);
        let (Some(source), life) = (server.source, server.life) else { return };
        let Some(up) = &mut server.up else { return };
        let due =
            up.database.as_ref().and_then(|database| database.sync_marker()).map(|_| SyncReason::Unfinished);
        let held = up.database.as_ref().map(held);
        up.link = Some(LinkDriver {
            link: Link::new(view, held, Before { paused: false, due }),
            id: number,
            number,
            source,
            view,
            begun_us: now,
            due: number,
            handshake: None,
            proven: Vec::new(),
            synchronizing: None,
            detail: String::new(),
        });
        self.after(100, Event::Due(host, number));
        self.after(TICK_US, Event::Tick(host, life));
    }

    pub(super) fn end_link(&mut self, host: usize) {
        let Some(up) = &mut self.server(host).up else { return };
        if let Some(link) = up.link.take() {
            self.close_streams(host, link.number);
        }
    }

    pub(super) fn link(&mut self, host: usize) -> Option<&mut LinkDriver> {
        self.server(host).up.as_mut()?.link.as_mut()
    }

    pub(super) fn due(&mut self, host: usize, number: u64) -> Checked {
        match self.link(host) {
            Some(driver) if driver.due == number => {}
            _ => return Ok(()),
        }
        let until = self.server(host).paused_until_us;
        if until > self.now() {
            self.at(until, Event::Due(host, number));
            return Ok(());
        }
        self.happened(host, LinkEvent::Due, "")
    }

    pub(super) fn tick(&mut self, host: usize) -> Checked {
        let life = self.server(host).life;
        if self.link(host).is_none() {
            return Ok(());
        }
        self.after(TICK_US, Event::Tick(host, life));
        if self.server(host).paused_until_us > self.now() {
            return Ok(());
        }
        self.happened(host, LinkEvent::Tick, "")?;
        let Some(database) = self.server(host).database() else { return Ok(()) };
        if self.link(host).is_some_and(|driver| driver.link.state() == State::Following)
            && database.has_suspects()
        {
            self.happened(host, LinkEvent::Needs(SyncReason::Damaged), "")?;
        }
        let Ok(status) = os::as_host(host, || database.status()) else { return Ok(()) };
        let found: Vec<Option<Position>> =
            status.partitions.iter().map(|partition| partition.last_checkpoint).collect();
        let Some(driver) = self.link(host) else { return Ok(()) };
        if driver.proven != found {
            driver.proven = found;
            self.happened(host, LinkEvent::Proven, "")?;
        }
        self.report(host, &database)
    }

    /// Tells its source of itself, and of epochs: a primary names the copies that it knows to all others.
    fn report(&mut self, host: usize, database: &Database) -> Checked {
        let Some(driver) = self.link(host) else { return Ok(()) };
        let (source, is_following) = (driver.source, driver.link.state() == State::Following);
        let is_heard = self.way(host, source).is_some() && self.server(source).paused_until_us <= self.now();
        let Some(told) = self.server(source).database().filter(|_| is_heard) else { return Ok(()) };
        if database.view() != View::Full {
            return Ok(());
        }
        // It would wait until writes go on, and nothing else would happen meanwhile.
        let is_held = self.is_switching(source);
        let newest = database.epochs().pop().filter(|start| start.epoch > Epoch::FIRST);
        let Some(me) = self.server(host).up.as_ref().map(|up| up.folder.identity()) else { return Ok(()) };
        let noted = os::as_host(source, || -> Result<(), RoleError> {
            told.learn(newest.into_iter().collect())?;
            if is_following && !is_held && told.check_writable().is_ok() {
                told.announce_copy(&me, Role::Replica)?;
            }
            Ok(())
        });
        if let Err(error) = noted {
            self.note_of(source, &format!("does not believe a report: {error}"));
        }
        self.look_around(source)
    }

    /// Something happened to a link, if it is still this one.
    pub(super) fn link_happened(
        &mut self,
        host: usize,
        number: u64,
        event: LinkEvent,
        detail: &str,
    ) -> Checked {
        if self.link(host).is_some_and(|driver| driver.number == number) {
            self.happened(host, event, detail)?;
        }
        Ok(())
    }

    /// The same, in a moment.
    pub(super) fn later_link_event(&mut self, host: usize, number: u64, event: LinkEvent, detail: String) {
        self.after(0, Event::Answered(host, number, super::synchronize::Answered::Told(event, detail)));
    }

    fn happened(&mut self, host: usize, event: LinkEvent, detail: &str) -> Checked {
        let random = u16::try_from(self.ways.below(1 << 16)).unwrap_or_default();
        let now = self.now();
        let Some(driver) = self.link(host) else { return Ok(()) };
        let (id, before) = (driver.id, driver.link.state());
        let actions = driver.link.on(event, Duration::from_micros(now - driver.begun_us), random);
        let (state, cause) = (driver.link.state(), driver.link.cause());
        let is_news = state != before || (!detail.is_empty() && driver.detail != detail);
        if is_news {
            detail.clone_into(&mut driver.detail);
            let why = if detail.is_empty() { String::new() } else { format!(": {detail}") };
            self.note_of(host, &format!("link {} ({cause}){why}", state.as_str()));
        }
        for action in actions {
            // What was done may have changed the role, and ended the link.
            if self.link(host).is_none_or(|driver| driver.id != id) {
                return Ok(());
            }
            self.act(host, action)?;
        }
        Ok(())
    }

    fn act(&mut self, host: usize, action: Action) -> Checked {
        match action {
            Action::Greet => self.greet(host),
            Action::Adopt => return self.adopt(host),
            Action::Open { .. } => self.open(host),
            Action::Synchronize { reason, round } => return self.synchronize(host, reason, round),
            Action::Close => {
                if let Some(driver) = self.link(host) {
                    let number = driver.number;
                    driver.synchronizing = None;
                    self.close_streams(host, number);
                    self.new_number(host);
                }
            }
            Action::Wait { after } => {
                let due = self.number();
                if let Some(driver) = self.link(host) {
                    driver.due = due;
                }
                self.after(u64::try_from(after.as_micros()).unwrap_or(u64::MAX), Event::Due(host, due));
            }
        }
        Ok(())
    }

    /// What streams and synchronizations had still to say is of the past.
    fn new_number(&mut self, host: usize) {
        let number = self.number();
        if let Some(driver) = self.link(host) {
            driver.number = number;
        }
    }

    fn greet(&mut self, host: usize) {
        let Some(driver) = self.link(host) else { return };
        let (number, source) = (driver.number, driver.source);
        match self.way(host, source) {
            Some(way) => self.after(way, Event::Greet(host, number)),
            None => self.no_answer(host, number),
        }
    }

    fn no_answer(&mut self, host: usize, number: u64) {
        let silent = (RefusalKind::Unavailable, "no answer in time".to_owned());
        self.after(ANSWER_US, Event::Greeted(host, number, Box::new(Err(silent))));
    }

    /// At the source.
    pub(super) fn greet_there(&mut self, host: usize, number: u64) -> Checked {
        let Some(driver) = self.link(host) else { return Ok(()) };
        let (source, view) = (driver.source, driver.view);
        let until = self.server(source).paused_until_us;
        if until > self.now() {
            self.at(until, Event::Greet(host, number));
            return Ok(());
        }
        let greeted = match self.server(source).database() {
            None => Err((RefusalKind::Unavailable, "nobody answers".to_owned())),
            Some(database) => {
                if self.asks_twice(host) {
                    // One of the two answers goes nowhere.
                    drop(os::as_host(source, || database.handshake(view)));
                }
                let handshake = os::as_host(source, || database.handshake(view));
                handshake.map_err(|error| (error.refusal(), error.to_string()))
            }
        };
        let greeted = greeted.map(|greeting| self.greeting_from(host, source, greeting));
        match self.way(source, host) {
            Some(mut way) => {
                if let Some(late) = self.is_late(host) {
                    self.no_answer(host, number);
                    way += ANSWER_US + late;
                }
                self.after(way, Event::Greeted(host, number, Box::new(greeted)));
            }
            None => self.no_answer(host, number),
        }
        Ok(())
    }

    pub(super) fn greeted(&mut self, host: usize, number: u64, greeted: Greeted) -> Checked {
        if self.link(host).is_none_or(|driver| driver.number != number) {
            return Ok(());
        }
        let handshake = match greeted {
            Err((kind, detail)) => return self.happened(host, LinkEvent::Refused(kind), &detail),
            Ok(handshake) => handshake,
        };
        if let Some(database) = self.server(host).database() {
            let epochs = handshake.epochs.clone();
            if let Some(signed) = &handshake.servers
                && let Err(error) =
                    os::as_host(host, || database.learn_servers(&handshake.server.key, signed))
            {
                self.note_of(host, &format!("what the source says of servers is not believed: {error}"));
            }
            if let Err(error) = os::as_host(host, || database.learn(epochs)) {
                self.note_of(host, &format!("what the source says of epochs is not believed: {error}"));
            }
            self.look_around(host)?;
            if self.is_given_to(host, handshake.handover.as_ref())
                && let Some(handover) = handshake.handover.clone()
            {
                let given = handover.epoch;
                self.use_handover(host, handover, handshake.epochs.clone())?;
                if database.role() == Role::Primary {
                    return Ok(());
                }
                // One that could not take over tries again; a right that was used before is nothing to wait for.
                if database.epoch() < given {
                    let refused = LinkEvent::Refused(RefusalKind::Unavailable);
                    return self.happened(host, refused, "it could not take over");
                }
            }
            self.happened(host, LinkEvent::Known(held(&database)), "")?;
        }
        let greeting = Greeting {
            offered: Offered {
                software: Some(Versions::CURRENT.software),
                protocol: handshake.protocol,
                format: Versions::CURRENT.format,
            },
            database: handshake.database,
            view: handshake.view,
            partitions: handshake.partitions,
            held: match &handshake.held {
                Some(held) => held.iter().copied().collect(),
                None => {
                    Partitioning::new(handshake.partitions).map(Partitioning::everyone).unwrap_or_default()
                }
            },
            primary: Some(handshake.primary.key),
            epoch: handshake.epochs.iter().map(|start| start.epoch).max().unwrap_or(handshake.epoch),
        };
        if let Some(driver) = self.link(host) {
            driver.handshake = Some(handshake);
        }
        self.happened(host, LinkEvent::Greeted(greeting), "")
    }

    /// The first contact.
    fn adopt(&mut self, host: usize) -> Checked {
        let Some(handshake) = self.link(host).and_then(|driver| driver.handshake.clone()) else {
            return Ok(());
        };
        let Some(up) = &mut self.server(host).up else { return Ok(()) };
        match os::as_host(host, || up.folder.adopt(MAIN, &handshake)) {
            Ok(database) => {
                let held = held(&database);
                up.database = Some(database);
                self.happened(host, LinkEvent::Adopted(held), "")
            }
            Err(error) => {
                // Its disk failed: when it comes back it meets its source for the first time, again.
                let is_failing = os::with(|os| {
                    let host = os.host(host);
                    host.is_cut || host.failed || host.is_full
                });
                if !is_failing && !self.server(host).is_rotten {
                    return Err(format!("a copy cannot begin: {error}"));
                }
                self.happened(host, LinkEvent::Halted(StopReason::Halted), &error.to_string())
            }
        }
    }

    fn open(&mut self, host: usize) {
        let Some(database) = self.server(host).database() else { return };
        let Some(driver) = self.link(host) else { return };
        let (number, source) = (driver.number, driver.source);
        let Some(key) = driver.handshake.as_ref().map(|handshake| handshake.server.key) else { return };
        self.open_streams(host, source, number, key, &database);
    }

    /// A server that became primary tells the one that it followed before, until that one understood.
    pub(super) fn tell_the_former_primary(&mut self, host: usize) -> Checked {
        let Some(database) = self.server(host).database() else { return Ok(()) };
        let (Some(former), life) = (self.server(host).source, self.server(host).life) else { return Ok(()) };
        if database.role() != Role::Primary || database.epoch() <= Epoch::FIRST || database.fenced().is_some()
        {
            return Ok(());
        }
        let is_heard = self.way(host, former).is_some() && self.way(former, host).is_some();
        let is_there = self.server(former).paused_until_us <= self.now();
        if let Some(told) = self.server(former).database().filter(|_| is_heard && is_there) {
            let (epochs, me) = (database.epochs(), database.primary().key);
            let learned = os::as_host(former, || told.learn(epochs));
            let is_primary = learned.is_ok() && told.primary().key == me;
            let was_primary = told.fenced().is_some_and(|fenced| fenced.seen > fenced.epoch);
            if is_primary && (was_primary || told.handover().is_some()) {
                // As a server does: first where to follow, then the role, of which a crash may leave both or the first.
                self.server(former).source = Some(host);
            }
            let heard = os::as_host(former, || -> Result<bool, RoleError> {
                learned?;
                if is_primary && was_primary {
                    told.become_replica()?;
                }
                told.confirm_handover(&me)?;
                Ok(is_primary && was_primary)
            });
            self.look_around(former)?;
            match heard {
                Ok(has_changed) => {
                    if has_changed {
                        self.note_of(former, "hears that it is primary no more");
                        self.roles_changed(former);
                    }
                    if told.epoch_seen() >= database.epoch() {
                        return Ok(());
                    }
                }
                Err(error) => self.note_of(former, &format!("does not understand who is primary: {error}")),
            }
        }
        self.after(300_000, Event::Tell(host, life));
        Ok(())
    }
}

/// What a copy holds.
fn held(database: &Database) -> Held {
    Held {
        database: database.id(),
        partitions: database.partitioning().count(),
        held: database.held_partitions(),
        primary: Some(database.primary().key),
        epoch: database.epoch_seen(),
    }
}
