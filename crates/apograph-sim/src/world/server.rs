//! A server: its data folder, its database while it runs, and how it dies.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use apograph::settings::{DatabaseSettings, ServerSettings, SourceSettings};
use apograph::{Database, Folder, Role};
use bytes::BytesMut;

use apograph::format::{Epoch, Frame, Position, View};

use super::client::Asked;
use super::link::LinkDriver;
use super::{Checked, Event, MAIN, OF_A_PART, World};
use crate::disk::survival::Survival;
use crate::os;

/// Whoever opened its database does the work of an idle moment so often.
const IDLE_US: u64 = 250_000;

/// A server.
pub(super) struct Server {
    pub(super) host: usize,
    pub(super) name: &'static str,
    role: Role,
    /// Whom it follows while it is a copy.
    pub(super) source: Option<usize>,
    pub(super) up: Option<Up>,
    /// Grows whenever it dies: what was to happen to the one before does not.
    pub(super) life: u64,
    /// Bits of its disk are others than those that it wrote.
    pub(super) is_rotten: bool,
    /// It stands still until then.
    pub(super) paused_until_us: u64,
    /// Somebody looks then whether its disk has done what it was asked.
    pub(super) rests_us: u64,
}

/// A server that runs. Fields are dropped in this order.
pub(super) struct Up {
    pub(super) link: Option<LinkDriver>,
    pub(super) asked: Vec<Asked>,
    pub(super) database: Option<Database>,
    pub(super) folder: Folder,
    /// Its worker is to do something.
    is_awake: bool,
    stopped_since_us: Option<u64>,
}

impl Server {
    pub(super) fn new(host: usize, name: &'static str, role: Role, source: Option<usize>) -> Server {
        Server {
            host,
            name,
            role,
            source,
            up: None,
            life: 0,
            is_rotten: false,
            paused_until_us: 0,
            rests_us: 0,
        }
    }

    pub(super) fn home(&self) -> PathBuf {
        os::with(|os| os.folder(self.host)).join("data")
    }

    pub(super) fn database(&self) -> Option<Database> {
        self.up.as_ref()?.database.clone()
    }
}

/// Asks a future once.
pub(super) fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

impl World {
    /// A new data folder.
    pub(super) fn make(&mut self, host: usize) -> Checked {
        let plan = self.plan.clone();
        let server = self.server(host);
        let mut database = DatabaseSettings::new(server.role);
        database.partitions = plan.partitions;
        database.segment_bytes_max = Some(plan.segment_bytes_max);
        database.retention_bytes_max = plan.retention_bytes_max;
        database.write_memory_bytes = Some(u64::from(plan.partitions) << 20);
        database.read_memory_bytes = Some(u64::from(plan.partitions) << 20);
        if host == OF_A_PART {
            database.held_partitions = plan.part.map(|part| part.held);
        }
        database.source =
            (server.role != Role::Primary).then(|| SourceSettings::new("http://source", "none"));
        let settings = ServerSettings {
            name: server.name.to_owned(),
            listen: format!("{}:1", server.name),
            url: None,
            backup_folder: None,
            databases: BTreeMap::from([(MAIN.to_owned(), database)]),
        };
        let home = server.home();
        let made = os::as_host(host, || Folder::init(&home, &settings).map(drop));
        made.map_err(|error| format!("a new folder: {error}"))
    }

    /// Starts it, if it does not run. Unless the disk fails meanwhile it must start.
    pub(super) fn start(&mut self, host: usize) -> Checked {
        if self.server(host).up.is_some() {
            return Ok(());
        }
        let home = self.server(host).home();
        let opened = os::as_host(host, || -> Result<_, String> {
            let folder = Folder::open(&home).map_err(|error| error.to_string())?.driven_by_steps();
            let database = folder.database(MAIN).map_err(|error| error.to_string())?;
            Ok((folder, database))
        });
        let (is_cut, is_failing) = os::with(|os| {
            let host = os.host(host);
            (host.is_cut, host.failed || host.is_full)
        });
        match opened {
            Ok((folder, database)) => {
                let up = Up {
                    link: None,
                    asked: Vec::new(),
                    database,
                    folder,
                    is_awake: false,
                    stopped_since_us: None,
                };
                self.server(host).up = Some(up);
                if is_cut {
                    return self.die(host, true);
                }
                self.started(host)
            }
            Err(_) if is_cut => self.die(host, true),
            Err(_) if is_failing => {
                self.note_of(host, "cannot start: its disk fails");
                // Whoever looks at it makes it start again.
                self.die(host, true)
            }
            Err(error) if self.server(host).is_rotten => {
                self.noticed(host, &format!("does not start: {error}"));
                self.begin_anew(host)
            }
            Err(error) => Err(format!("{} does not start: {error}", self.server(host).name)),
        }
    }

    fn started(&mut self, host: usize) -> Checked {
        let life = self.server(host).life;
        let database = self.server(host).database();
        let visible = database.as_ref().map_or(0, |database| database.visible().0);
        let role = database.as_ref().map_or(self.server(host).role, Database::role);
        self.note_of(host, &format!("starts as {role}, visible up to {visible}"));
        self.after(IDLE_US, Event::Idle(host, life));
        self.after(IDLE_US / 2, Event::Maintain(host, life));
        // A promotion that a crash interrupted is finished by the next start.
        let began = database.filter(|_| role == Role::Primary).and_then(|database| database.epochs().pop());
        if let Some(start) = began.filter(|start| start.epoch > Epoch::FIRST) {
            self.began(host, start)?;
        }
        self.look_around(host)?;
        self.roles_changed(host);
        Ok(())
    }

    /// The role of a server may have changed: links begin and end.
    pub(super) fn roles_changed(&mut self, host: usize) {
        let role = self.server(host).database().map_or(self.server(host).role, |database| database.role());
        match role {
            Role::Primary => {
                self.end_link(host);
                let life = self.server(host).life;
                self.after(1_000, Event::Tell(host, life));
            }
            Role::Replica | Role::Staging => self.begin_link(host, role.view()),
        }
    }

    /// What the worker of a server is asked, it does a while later.
    pub(super) fn wake(&mut self, host: usize) {
        let delay = self.ways.between(10, self.plan.work_us);
        let server = self.server(host);
        let (life, until) = (server.life, server.paused_until_us);
        let Some(up) = &mut server.up else { return };
        if !std::mem::replace(&mut up.is_awake, true) {
            let at = (self.now() + delay).max(until);
            self.at(at, Event::Step(host, life));
        }
    }

    fn is_paused(&mut self, host: usize, event: fn(usize, u64) -> Event) -> bool {
        let server = self.server(host);
        let (until, life) = (server.paused_until_us, server.life);
        let until = until.max(self.busy_until(host));
        let is_paused = until > self.now();
        if is_paused {
            self.at(until, event(host, life));
        }
        is_paused
    }

    pub(super) fn step(&mut self, host: usize) -> Checked {
        if self.is_paused(host, Event::Step) {
            return Ok(());
        }
        if let Some(up) = &mut self.server(host).up {
            up.is_awake = false;
        }
        let Some(database) = self.server(host).database() else { return Ok(()) };
        let did = os::as_host(host, || database.step());
        if did {
            self.wake(host);
        }
        self.look_around(host)
    }

    pub(super) fn idle(&mut self, host: usize) -> Checked {
        if self.is_paused(host, Event::Idle) {
            return Ok(());
        }
        let life = self.server(host).life;
        self.after(IDLE_US, Event::Idle(host, life));
        let Some(database) = self.server(host).database() else { return Ok(()) };
        os::as_host(host, || database.idle());
        self.look_around(host)
    }

    pub(super) fn maintain(&mut self, host: usize) -> Checked {
        if self.is_paused(host, Event::Maintain) {
            return Ok(());
        }
        let life = self.server(host).life;
        let Some(database) = self.server(host).database() else {
            // A copy may meet its source yet.
            self.after(400_000, Event::Maintain(host, life));
            return Ok(());
        };
        let more = os::as_host(host, || database.maintain());
        let pause = if more { 1_000 } else { self.ways.between(20_000, 400_000) };
        self.after(pause, Event::Maintain(host, life));
        self.look_around(host)
    }

    /// After something was done on a server: who waits is answered, who judges looks.
    pub(super) fn look_around(&mut self, host: usize) -> Checked {
        if os::with(|os| os.host(host).is_cut) {
            return Ok(());
        }
        self.witness(host)?;
        if !self.is_at_work(host) {
            self.answer_clients(host);
            self.answer_streams(host);
        }
        self.look_at_health(host)
    }

    fn look_at_health(&mut self, host: usize) -> Checked {
        let Some(database) = self.server(host).database() else { return Ok(()) };
        let bad =
            |alarm: &&String| alarm.contains("differs from the primary") || alarm.contains("is damaged");
        if let Some(alarm) = database.alarms().iter().find(bad) {
            if self.server(host).is_rotten {
                return Ok(());
            }
            return Err(format!("{}: {alarm}", self.server(host).name));
        }
        let now = self.now();
        let is_full = os::with(|os| os.host(host).is_full);
        let Some(up) = &mut self.server(host).up else { return Ok(()) };
        let Some(reason) = database.stopped() else {
            up.stopped_since_us = None;
            return Ok(());
        };
        let since = *up.stopped_since_us.get_or_insert(now);
        let failed = os::with(|os| os.host(host).failed);
        if self.server(host).is_rotten && now - since > 1_000_000 {
            // Another start may not read what is damaged; else it is refused, or the next look finds it.
            self.noticed(host, &format!("stops: {reason}"));
            return self.die(host, false);
        }
        if failed {
            // The process ends when a sync failed. What the disk lost is lost when the power is.
            self.note_of(host, &format!("stops: {reason}"));
            return self.die(host, true);
        }
        if now - since > 5_000_000 && !is_full {
            return Err(format!(
                "{} stopped, and nothing is wrong with its disk: {reason}",
                self.server(host).name
            ));
        }
        Ok(())
    }

    /// What became visible on the primary is what happened.
    fn witness(&mut self, host: usize) -> Checked {
        if host != self.acting {
            return Ok(());
        }
        let Some(database) = self.server(host).database() else { return Ok(()) };
        let visible = database.visible();
        if visible <= self.truth.visible {
            if visible < self.truth.visible {
                let (name, before) = (self.server(host).name, self.truth.visible);
                return Err(format!("{name} showed everything up to {before}, and shows {visible} now"));
            }
            return Ok(());
        }
        for partition in database.partitioning().all() {
            let genesis = Position::beginning(database.id().genesis(View::Full, partition));
            let from = self.truth.end(partition).unwrap_or(genesis);
            let gone = |error: &dyn std::fmt::Display| {
                format!("partition {partition} does not go on from {from}, which was visible: {error}")
            };
            let mut feed = database.feed(partition, View::Full, from, None).map_err(|error| gone(&error))?;
            let mut buffer = BytesMut::new();
            while let Some(piece) = feed.next(1 << 20).map_err(|error| gone(&error))? {
                buffer.extend_from_slice(&piece);
                while let Some(frame) = Frame::take(&mut buffer).map_err(|error| gone(&error))? {
                    if let Frame::Entry(entry) = frame {
                        self.truth.take(partition, &entry)?;
                    }
                }
            }
        }
        self.truth.reached(visible)
    }

    /// It loses its power, or is killed, now.
    pub(super) fn die(&mut self, host: usize, is_power: bool) -> Checked {
        let survival = if is_power { *self.chances.pick(&Survival::ALL) } else { Survival::Everything };
        let seed = self.chances.next();
        self.note_of(
            host,
            &format!("{}, {survival:?}", if is_power { "loses its power" } else { "is killed" }),
        );
        self.end(host)?;
        os::survive(host, survival, seed).map_err(|error| format!("the disk of the simulation: {error}"))?;
        let down = if self.healed_us.is_some() { 1_000 } else { self.chances.between(50_000, 4_000_000) };
        self.after(down, Event::Start(host));
        Ok(())
    }

    /// Its process is gone.
    pub(super) fn end(&mut self, host: usize) -> Checked {
        self.figures.crashes += 1;
        os::compare(host)?;
        // Nothing that is dropped now does anything to the disk.
        os::with(|os| os.host(host).is_cut = true);
        self.lose_streams(host);
        self.lose_clients(host);
        let server = self.server(host);
        server.life += 1;
        (server.paused_until_us, server.rests_us) = (0, 0);
        let up = server.up.take();
        os::as_host(host, || drop(up));
        Ok(())
    }

    /// It is stopped in good order, and started again.
    pub(super) fn restart(&mut self, host: usize) -> Checked {
        self.note_of(host, "is stopped");
        if let Some(database) = self.server(host).database() {
            os::as_host(host, || database.shutdown());
            self.look_around(host)?;
            if os::with(|os| os.host(host).is_cut) {
                return Ok(());
            }
        }
        self.lose_streams(host);
        self.lose_clients(host);
        let server = self.server(host);
        server.life += 1;
        let up = server.up.take();
        os::as_host(host, || drop(up));
        let down = self.chances.between(1_000, 500_000);
        self.after(down, Event::Start(host));
        Ok(())
    }
}
