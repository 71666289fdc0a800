//! A switchover: the primary gives its role to the other one of the two that may have it, and nothing is lost. What comes
//! next `apograph_replication::switchover` decides, as in a server; here are the questions between the two, and who dies.

use std::time::Duration;

use apograph::Role;
use apograph::database::roles::{EpochStart, Handover, Promote};
use apograph::format::{Position, ServerKey};
use apograph::status::ServerIdentity;
use apograph_replication::link::State as LinkState;
use apograph_replication::switchover::{
    self, Act, Answer as Word, End, Event as GivingEvent, Giving, State, Step, Taking,
};

use super::{Checked, Event, Mishap, SERVERS, World};
use crate::os;

/// How often the primary looks how far it is, and the copy whether it arrived.
const LOOK_US: u64 = 5_000;
/// How long a copy waits for an answer.
const ANSWER_US: u64 = 10_000_000;

/// At the primary.
pub(super) struct Switchover {
    from: usize,
    life: u64,
    to: ServerIdentity,
    begun_us: u64,
    giving: Giving,
}

/// At the copy.
pub(super) struct Takeover {
    from: usize,
    to: usize,
    life: u64,
    begun_us: u64,
    /// Of the question under way.
    question: u64,
    taking: Taking,
    reaches: Option<(Vec<Position>, u64)>,
}

/// What the primary says to a copy that asks.
#[derive(Debug)]
pub(super) enum Said {
    Word(Word, Vec<Position>),
    Given(Box<(Handover, Vec<EpochStart>)>),
    Silence,
}

impl World {
    /// Somebody wants the other server to be primary.
    pub(super) fn switch_over(&mut self) -> Checked {
        let from = self.acting;
        let to = 1 - from.min(1);
        let may = self.switchover.is_none() && self.takeover.is_none() && self.is_following(to);
        let Some(database) = self.server(from).database().filter(|_| may) else { return Ok(()) };
        let Some(identity) = self.server(to).up.as_ref().map(|up| up.folder.identity()) else {
            return Ok(());
        };
        let is_primary = database.role() == Role::Primary && database.check_writable().is_ok();
        let is_asleep = self.server(from).paused_until_us > self.now();
        if !is_primary
            || is_asleep
            || os::as_host(from, || database.announce_copy(&identity, Role::Replica)).is_err()
        {
            return self.look_around(from);
        }
        self.note_of(from, &format!("is to give its role to {}", SERVERS[to].0));
        self.figures.faults += 1;
        let (begun_us, life) = (self.now(), self.server(from).life);
        let giving = Giving::new(switchover::TIMEOUT);
        self.switchover = Some(Switchover { from, life, to: identity, begun_us, giving });
        self.after(LOOK_US, Event::Give);
        let life = self.server(to).life;
        let taking = Taking::new(Duration::ZERO);
        self.takeover = Some(Takeover { from, to, life, begun_us, question: 0, taking, reaches: None });
        if let Some(way) = self.way(from, to) {
            self.after(way, Event::Take);
        } else {
            self.takeover = None;
        }
        self.look_around(from)
    }

    fn is_following(&mut self, host: usize) -> bool {
        self.link(host).is_some_and(|driver| driver.link.state() == LinkState::Following)
    }

    /// Is this server about to give its role away?
    pub(super) fn is_switching(&self, host: usize) -> bool {
        self.switchover.as_ref().is_some_and(|of| of.from == host)
    }

    /// Of what goes on at the primary; whoever died knows nothing of it.
    fn giving(&mut self) -> Option<&mut Switchover> {
        let (from, life) = self.switchover.as_ref().map(|of| (of.from, of.life))?;
        let server = self.server(from);
        if server.life != life || server.up.is_none() {
            self.switchover = None;
        }
        self.switchover.as_mut()
    }

    fn on_giving(&mut self, event: GivingEvent) -> Vec<Act> {
        let now = self.now();
        let Some(of) = self.giving() else { return Vec::new() };
        of.giving.on(event, Duration::from_micros(now - of.begun_us))
    }

    /// The primary looks how far its switchover is.
    pub(super) fn give(&mut self) -> Checked {
        let Some(of) = self.giving() else { return Ok(()) };
        let (from, to, state) = (of.from, of.to.key, of.giving.state());
        let until = self.server(from).paused_until_us.max(self.busy_until(from));
        if until > self.now() {
            self.at(until, Event::Give);
            return Ok(());
        }
        let Some(database) = self.server(from).database() else { return Ok(()) };
        let stepped_down = |database: &apograph::Database| {
            let start = database.epochs().pop().filter(|start| start.primary.key == to);
            let start = start.filter(|_| database.role() != Role::Primary);
            start.map(|start| GivingEvent::SteppedDown { epoch: start.epoch, base: start.base })
        };
        let is_given = matches!(state, State::Given { .. });
        let event = match () {
            () if is_given && database.handover().is_none() => GivingEvent::Confirmed,
            () if is_given || database.role() == Role::Primary => GivingEvent::Tick,
            () => stepped_down(&database).unwrap_or(GivingEvent::LostRole),
        };
        for act in self.on_giving(event) {
            if act == Act::Release {
                // A server that stopped holds nothing.
                drop(os::as_host(from, || database.release_writes()));
                let event = stepped_down(&database).unwrap_or(GivingEvent::Released);
                self.on_giving(event);
                self.wake(from);
            }
        }
        let end = self.giving().and_then(|of| of.giving.end());
        match end {
            None => self.after(LOOK_US, Event::Give),
            Some(end) => {
                let how = match end {
                    End::Given { epoch, base, .. } => format!("gave its role: epoch {epoch} from {base}"),
                    End::Failed(failure) => format!("did not give its role: {}", failure.detail()),
                };
                self.note_of(from, &how);
                self.switchover = None;
            }
        }
        self.look_around(from)
    }

    /// The copy does what comes next.
    pub(super) fn take_over(&mut self) -> Checked {
        let now = self.now();
        let Some(of) = &self.takeover else { return Ok(()) };
        let (to, life) = (of.to, of.life);
        let (until, alive) = (self.server(to).paused_until_us, self.server(to).life == life);
        if !alive || self.server(to).up.is_none() {
            self.takeover = None;
            return Ok(());
        }
        if until > now {
            self.at(until, Event::Take);
            return Ok(());
        }
        let ends = self.ends(to);
        let Some(of) = &mut self.takeover else { return Ok(()) };
        if let Some((positions, until)) = of.reaches.take()
            && now < until
            && ends != positions
        {
            of.reaches = Some((positions, until));
            self.after(LOOK_US, Event::Take);
            return Ok(());
        }
        let step = of.taking.due(Duration::from_micros(now - of.begun_us));
        self.next_step(step, Vec::new())
    }

    fn next_step(&mut self, step: Step, positions: Vec<Position>) -> Checked {
        let (now, question) = (self.now(), self.number());
        let Some(of) = &mut self.takeover else { return Ok(()) };
        let (from, to) = (of.from, of.to);
        match step {
            Step::Ask => {
                of.question = question;
                match self.way(to, from) {
                    Some(way) => self.after(way, Event::Asked(question)),
                    None => self.after(ANSWER_US, Event::Said(question, Said::Silence)),
                }
            }
            Step::Wait { after } => self.after(us(after), Event::Take),
            Step::Reach { at_most } => {
                of.reaches = Some((positions, now + us(at_most)));
                self.after(LOOK_US, Event::Take);
            }
            // What was given is used where it is said.
            Step::Begin | Step::Stop => self.takeover = None,
        }
        Ok(())
    }

    /// At the primary: the copy asks for the role.
    pub(super) fn asked(&mut self, question: u64) -> Checked {
        let Some(of) = self.takeover.as_ref().filter(|of| of.question == question) else { return Ok(()) };
        let (from, to) = (of.from, of.to);
        let until = self.server(from).paused_until_us.max(self.busy_until(from));
        if until > self.now() {
            self.at(until, Event::Asked(question));
            return Ok(());
        }
        let positions = self.ends(to);
        let identity = self.server(to).up.as_ref().map(|up| up.folder.identity());
        let said = match (identity, self.server(from).database()) {
            (Some(identity), Some(database)) => self.say(from, &database, &identity, &positions),
            _ => Said::Silence,
        };
        self.look_around(from)?;
        match self.way(from, to) {
            Some(way) => self.after(way, Event::Said(question, said)),
            None => self.after(ANSWER_US, Event::Said(question, Said::Silence)),
        }
        Ok(())
    }

    fn say(
        &mut self,
        from: usize,
        database: &apograph::Database,
        by: &ServerIdentity,
        asked: &[Position],
    ) -> Said {
        let given = database.handover().filter(|handover| handover.to.key == by.key);
        if let Some(given) = given {
            return Said::Given(Box::new((given, database.epochs())));
        }
        let is_wanted = |of: &&mut Switchover| of.from == from && of.to.key == by.key && of.giving.is_open();
        if self.giving().filter(is_wanted).is_none() {
            return Said::Word(Word::None, Vec::new());
        }
        let lacks = switchover::lacks(&self.ends(from), asked);
        let mut acts = self.on_giving(GivingEvent::Asked { lacks });
        let mut positions = Vec::new();
        loop {
            match acts.first().copied() {
                Some(Act::Hold { at_most }) => {
                    let Ok(held) = os::as_host(from, || database.hold_writes(at_most)) else {
                        return Said::Silence;
                    };
                    let reached = held.positions == asked;
                    positions = held.positions;
                    acts = self.on_giving(GivingEvent::Held { reached });
                }
                Some(Act::StepDown) => {
                    // First where to follow, then the role, as a server does.
                    let to = self.takeover.as_ref().map(|of| of.to);
                    self.server(from).source = to;
                    let stepped = os::as_host(from, || database.step_down(by.clone(), asked.to_vec()));
                    let handover = match stepped {
                        Ok(handover) => handover,
                        Err(error) => {
                            self.note_of(from, &format!("does not step down: {error}"));
                            return Said::Silence;
                        }
                    };
                    self.on_giving(GivingEvent::SteppedDown { epoch: handover.epoch, base: handover.base });
                    self.note_of(
                        from,
                        &format!("steps down: epoch {} from {}", handover.epoch, handover.base),
                    );
                    self.roles_changed(from);
                    return Said::Given(Box::new((handover, database.epochs())));
                }
                Some(Act::Answer(word)) => return Said::Word(word, positions),
                Some(Act::Release) | None => return Said::Word(Word::None, Vec::new()),
            }
        }
    }

    /// At the copy: this is what the primary says.
    pub(super) fn said(&mut self, question: u64, said: Said) -> Checked {
        let Some(of) = self.takeover.as_mut().filter(|of| of.question == question) else { return Ok(()) };
        let (to, life) = (of.to, of.life);
        let until = self.server(to).paused_until_us.max(self.busy_until(to));
        if until > self.now() {
            self.at(until, Event::Said(question, said));
            return Ok(());
        }
        if self.server(to).life != life || self.server(to).up.is_none() {
            self.takeover = None;
            return Ok(());
        }
        let Some(of) = self.takeover.as_mut() else { return Ok(()) };
        match said {
            Said::Silence => {
                let step = of.taking.answered(None);
                self.next_step(step, Vec::new())
            }
            Said::Word(word, positions) => {
                let step = of.taking.answered(Some(word));
                self.next_step(step, positions)
            }
            Said::Given(given) => {
                self.takeover = None;
                let (handover, epochs) = *given;
                self.use_handover(to, handover, epochs)
            }
        }
    }

    /// A copy was given the role, and begins.
    pub(super) fn use_handover(&mut self, to: usize, handover: Handover, epochs: Vec<EpochStart>) -> Checked {
        let Some(database) = self.server(to).database() else { return Ok(()) };
        self.given.insert(handover.epoch);
        let promoted = os::as_host(to, || {
            database.learn(epochs)?;
            let reason = "a switchover".to_owned();
            database.promote(Promote { reason, handover: Some(handover), ..Promote::default() })
        });
        match promoted {
            Ok(promoted) => {
                self.befell(
                    to,
                    Mishap::Switched,
                    &format!("takes over: epoch {} from {}", promoted.epoch, promoted.base),
                );
            }
            Err(error) => self.note_of(to, &format!("does not take over: {error}")),
        }
        if database.role() == Role::Primary && !os::with(|os| os.host(to).is_cut) {
            if let Some(start) = database.epochs().pop() {
                self.began(to, start)?;
            }
            self.roles_changed(to);
        }
        self.look_around(to)
    }

    /// Is it this one that was given the role, says the server it greeted?
    pub(super) fn is_given_to(&mut self, host: usize, handover: Option<&Handover>) -> bool {
        let me: Option<ServerKey> = self.server(host).up.as_ref().map(|up| up.folder.identity().key);
        handover.is_some_and(|handover| Some(handover.to.key) == me)
    }

    /// Where every partition ends.
    fn ends(&mut self, host: usize) -> Vec<Position> {
        let resume = self.server(host).database().map(|database| database.resume()).unwrap_or_default();
        resume.into_iter().map(|(_, end, _)| end).collect()
    }
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
