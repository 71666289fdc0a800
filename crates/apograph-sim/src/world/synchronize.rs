//! A synchronization here: the engine's own, question by question, over this world's lines.

use apograph::Database;
use apograph::format::{PartitionId, SyncQuestion, SyncScope, Timestamp};
use apograph::synchronize::{
    Snapshot, SyncAnswer, SyncError, SyncMarker, SyncPhase, Transfer, TransferError,
};
use apograph_replication::carrier::RefusalKind;
use apograph_replication::link::Event as LinkEvent;
use apograph_replication::sync::{Phase, SyncFailure, SyncReason};
use bytes::{Bytes, BytesMut};

use super::{Checked, Event, World};
use crate::os;

/// How long a copy waits for an answer.
const ANSWER_US: u64 = 10_000_000;

/// A synchronization under way.
pub(super) struct Synchronizing {
    why: SyncReason,
    round: u32,
    snapshot: Option<Snapshot>,
    /// Which partition comes next.
    next: usize,
    transfer: Option<Transfer>,
    question: Option<SyncQuestion>,
    /// What the source is answering, in which of its lives; it is gone with the source.
    answer: Option<(u64, Option<SyncAnswer>)>,
    buffer: BytesMut,
    left_out: u64,
}

/// What comes back.
#[derive(Debug)]
pub(super) enum Answered {
    Snapshot(Box<Snapshot>),
    Piece(Option<Bytes>),
    Refused(RefusalKind, String),
    Silence,
    /// Of a stream: for the link.
    Told(LinkEvent, String),
}

/// Why it ended.
type Failed = (SyncFailure, String);

fn sync_failed(error: SyncError) -> Failed {
    (error.failure(), error.to_string())
}

fn transfer_failed(error: TransferError) -> Failed {
    (error.failure(), error.to_string())
}

impl World {
    pub(super) fn synchronize(&mut self, host: usize, why: SyncReason, round: u32) -> Checked {
        let Some(database) = self.server(host).database() else { return Ok(()) };
        let begun = database.sync_marker().filter(|marker| marker.round >= round);
        let snapshot = begun.map(|marker| marker.snapshot);
        let Some(driver) = self.link(host) else { return Ok(()) };
        let is_begun = snapshot.is_some();
        driver.synchronizing = Some(Synchronizing {
            why,
            round,
            snapshot,
            next: 0,
            transfer: None,
            question: None,
            answer: None,
            buffer: BytesMut::new(),
            left_out: 0,
        });
        if is_begun { self.go_on(host) } else { self.ask(host) }
    }

    /// A source is gone: nothing of it is held any more.
    pub(super) fn lose_answers(&mut self, source: usize) {
        for host in 0..self.servers.len() {
            let Some(driver) = self.link(host).filter(|driver| driver.source == source) else { continue };
            if let Some(answer) = driver.synchronizing.as_mut().and_then(|of| of.answer.as_mut()) {
                answer.1 = None;
            }
        }
    }

    /// Sends what is to be asked.
    fn ask(&mut self, host: usize) -> Checked {
        let Some(driver) = self.link(host) else { return Ok(()) };
        let (number, source) = (driver.number, driver.source);
        match self.way(host, source) {
            Some(way) => self.after(way, Event::Ask(host, number)),
            None => self.after(ANSWER_US, Event::Answered(host, number, Answered::Silence)),
        }
        Ok(())
    }

    /// A copy of this copy needs something newer than what is here: its source is asked for that.
    fn ask_for_newer(&mut self, host: usize, above: Timestamp) {
        let Some(source) = self.server(host).source else { return };
        if let Some(way) = self.way(host, source) {
            self.after(way, Event::AskNewer(host, above));
        }
    }

    /// At the source: what it has is of no use to who asked, but it may write something newer, or ask for that.
    pub(super) fn make_newer(&mut self, host: usize, above: Timestamp) -> Checked {
        let view = self.server(host).database().map(|database| database.view());
        let source = self.server(host).source;
        let (Some(view), Some(source)) = (view, source) else { return Ok(()) };
        let Some(database) = self.server(source).database() else { return Ok(()) };
        let (_, lacks_room) = snapshot(source, &database, (view, above));
        drop(database);
        self.look_around(source)?;
        if lacks_room {
            self.ask_for_newer(source, above);
        }
        Ok(())
    }

    /// At the source.
    pub(super) fn answer_there(&mut self, host: usize, number: u64) -> Checked {
        let Some(view) =
            self.server(host).database().map(|database| (database.view(), database.sync_floor()))
        else {
            return Ok(());
        };
        let Some(driver) = self.link(host).filter(|driver| driver.number == number) else { return Ok(()) };
        let source = driver.source;
        let bytes = self.piece_bytes();
        let database = self.server(source).database();
        let life = self.server(source).life;
        let Some(synchronizing) = self.link(host).and_then(|driver| driver.synchronizing.as_mut()) else {
            return Ok(());
        };
        let is_first = synchronizing.answer.is_none();
        let heard =
            synchronizing.question.clone().zip(synchronizing.transfer.as_ref().map(Transfer::partition));
        if let Some(database) = database.as_ref().filter(|_| is_first)
            && self.asks_twice(host)
        {
            // One of the two answers goes nowhere.
            answer_nobody(source, database, view, heard, bytes);
        }
        let Some(synchronizing) = self.link(host).and_then(|driver| driver.synchronizing.as_mut()) else {
            return Ok(());
        };
        let mut newer = None;
        let answered = match (&database, &mut synchronizing.answer) {
            (None, _) => Answered::Refused(RefusalKind::Unavailable, "nobody answers".to_owned()),
            (Some(_), Some((of, Some(answer)))) if *of == life => piece(source, answer, bytes),
            (Some(_), Some(_)) => Answered::Piece(None),
            (Some(database), None) => match &synchronizing.question {
                None => {
                    let (answered, lacks_room) = snapshot(source, database, view);
                    if lacks_room {
                        newer = Some(view.1);
                    }
                    answered
                }
                Some(question) => {
                    let Some(partition) = synchronizing.transfer.as_ref().map(Transfer::partition) else {
                        return Ok(());
                    };
                    let question = question.clone();
                    match os::as_host(source, || database.answer(partition, question)) {
                        Err(error) => Answered::Refused(error.refusal(), error.to_string()),
                        Ok(mut answer) => {
                            let first = piece(source, &mut answer, bytes);
                            synchronizing.answer = Some((life, Some(answer)));
                            first
                        }
                    }
                }
            },
        };
        if let Some(database) = database {
            // A snapshot is the work of its worker.
            drop(database);
            self.look_around(source)?;
        }
        if let Some(above) = newer {
            self.ask_for_newer(source, above);
        }
        let answered = match answered {
            Answered::Piece(Some(piece)) => Answered::Piece(Some(self.spoilt_of_answer(host, piece))),
            Answered::Snapshot(snapshot) => {
                Answered::Snapshot(Box::new(self.snapshot_from(host, source, *snapshot)))
            }
            answered => answered,
        };
        match self.way(source, host) {
            Some(mut way) => {
                if let Some(late) = self.is_late(host) {
                    self.after(ANSWER_US, Event::Answered(host, number, Answered::Silence));
                    way += ANSWER_US + late;
                }
                self.after(way, Event::Answered(host, number, answered));
            }
            None => self.after(ANSWER_US, Event::Answered(host, number, Answered::Silence)),
        }
        Ok(())
    }

    pub(super) fn answered(&mut self, host: usize, number: u64, answered: Answered) -> Checked {
        if self.link(host).is_none_or(|driver| driver.number != number) {
            return Ok(());
        }
        let until = self.server(host).paused_until_us.max(self.busy_until(host));
        if until > self.now() {
            self.at(until, Event::Answered(host, number, answered));
            return Ok(());
        }
        match answered {
            Answered::Told(event, detail) => self.link_happened(host, number, event, &detail),
            Answered::Silence => {
                self.sync_ended(host, Err((SyncFailure::Cut, "no answer in time".to_owned())))
            }
            Answered::Refused(kind, detail) => {
                let failure = match kind {
                    RefusalKind::Unavailable => SyncFailure::Cut,
                    RefusalKind::SnapshotExpired => SyncFailure::Expired,
                    kind => SyncFailure::Refused(kind),
                };
                self.sync_ended(host, Err((failure, detail)))
            }
            Answered::Snapshot(snapshot) => match self.begin_sync(host, *snapshot) {
                Ok(()) => self.go_on(host),
                Err(failed) => self.sync_ended(host, Err(failed)),
            },
            Answered::Piece(None) => {
                let detail = "the source ended an answer before its end".to_owned();
                self.sync_ended(host, Err((SyncFailure::Cut, detail)))
            }
            Answered::Piece(Some(bytes)) => {
                self.link_happened(host, number, LinkEvent::Received, "")?;
                match self.take_answer(host, &bytes) {
                    Ok(true) => self.go_on(host),
                    Ok(false) => self.ask(host),
                    Err(failed) => self.sync_ended(host, Err(failed)),
                }
            }
        }
    }

    /// So much of an answer comes at once.
    fn piece_bytes(&self) -> usize {
        (16 << 10) * self.plan.pieces()
    }

    fn begin_sync(&mut self, host: usize, snapshot: Snapshot) -> Result<(), Failed> {
        let gone = || (SyncFailure::Halted, "nothing is synchronized".to_owned());
        let database = self.server(host).database().ok_or_else(gone)?;
        let snapshot = database.part_of(snapshot);
        let began = i64::try_from(self.now()).unwrap_or_default();
        let synchronizing =
            self.link(host).and_then(|driver| driver.synchronizing.as_mut()).ok_or_else(gone)?;
        let before = database.sync_marker();
        let forked = synchronizing.why == SyncReason::UnknownPosition;
        let marker = SyncMarker {
            phase: SyncPhase::Transferring,
            reason: before
                .as_ref()
                .map_or(synchronizing.why.as_str(), |before| before.reason.as_str())
                .to_owned(),
            round: synchronizing.round.max(before.as_ref().map_or(0, |before| before.round)),
            began,
            snapshot: snapshot.clone(),
            keep_journals: forked || before.is_some_and(|before| before.keep_journals),
            since: Timestamp::ZERO,
            max_versions: 0,
            documents: 0,
            bytes: 0,
            equal: false,
            left_out: 0,
        };
        synchronizing.snapshot = Some(snapshot);
        os::as_host(host, || database.begin_sync(marker)).map_err(sync_failed)
    }

    /// The next question, or the last step.
    fn go_on(&mut self, host: usize) -> Checked {
        match self.next_question(host) {
            Ok(true) => self.ask(host),
            Ok(false) => {
                let number = self.link(host).map_or(0, |driver| driver.number);
                self.link_happened(host, number, LinkEvent::Synchronizing(Phase::Installing), "")?;
                let Some(database) = self.server(host).database() else { return Ok(()) };
                let left_out = self
                    .link(host)
                    .and_then(|driver| driver.synchronizing.as_ref())
                    .map_or(0, |synchronizing| synchronizing.left_out);
                let done = os::as_host(host, || database.finish_sync(left_out).map(drop));
                self.look_around(host)?;
                self.sync_ended(host, done.map_err(sync_failed))
            }
            Err(failed) => self.sync_ended(host, Err(failed)),
        }
    }

    fn next_question(&mut self, host: usize) -> Result<bool, Failed> {
        let gone = || (SyncFailure::Halted, "nothing is synchronized".to_owned());
        let database = self.server(host).database().ok_or_else(gone)?;
        let synchronizing =
            self.link(host).and_then(|driver| driver.synchronizing.as_mut()).ok_or_else(gone)?;
        let snapshot = synchronizing.snapshot.clone().ok_or_else(gone)?;
        os::as_host(host, || {
            loop {
                if synchronizing.transfer.is_none() {
                    let Some(of) = snapshot.partitions.get(synchronizing.next) else { return Ok(false) };
                    synchronizing.next += 1;
                    let scope = SyncScope::default();
                    synchronizing.transfer =
                        Some(database.transfer(&snapshot, of, scope).map_err(sync_failed)?);
                }
                let Some(transfer) = &mut synchronizing.transfer else { return Ok(false) };
                synchronizing.answer = None;
                synchronizing.buffer.clear();
                synchronizing.question = transfer.next_question().map_err(transfer_failed)?;
                if synchronizing.question.is_some() {
                    return Ok(true);
                }
                synchronizing.left_out += transfer.progress().left_out;
                synchronizing.transfer = None;
            }
        })
    }

    /// Answers whether the answer is over.
    fn take_answer(&mut self, host: usize, bytes: &[u8]) -> Result<bool, Failed> {
        let gone = || (SyncFailure::Halted, "nothing is synchronized".to_owned());
        let synchronizing =
            self.link(host).and_then(|driver| driver.synchronizing.as_mut()).ok_or_else(gone)?;
        synchronizing.buffer.extend_from_slice(bytes);
        let transfer = synchronizing.transfer.as_mut().ok_or_else(gone)?;
        let buffer = &mut synchronizing.buffer;
        os::as_host(host, || transfer.take(buffer)).map_err(transfer_failed)
    }

    fn sync_ended(&mut self, host: usize, done: Result<(), Failed>) -> Checked {
        let Some(driver) = self.link(host) else { return Ok(()) };
        driver.synchronizing = None;
        let number = driver.number;
        match done {
            Ok(()) => {
                self.figures.synchronizations += 1;
                self.note_of(host, "has synchronized");
                self.link_happened(host, number, LinkEvent::Installed, "")
            }
            Err((failure, detail)) => {
                self.link_happened(host, number, LinkEvent::SyncFailed(failure), &detail)
            }
        }
    }
}

/// The newest state of a source, and whether its own source is to be asked for a newer one.
fn snapshot(
    source: usize,
    database: &Database,
    (view, above): (apograph::format::View, Timestamp),
) -> (Answered, bool) {
    let taken = os::as_host(source, || database.snapshot(view, above));
    let lacks_room = database.lacks_room(above, &taken);
    let answered = match taken {
        Ok(snapshot) => Answered::Snapshot(Box::new(snapshot)),
        Err(error) => Answered::Refused(error.refusal(), error.to_string()),
    };
    (answered, lacks_room)
}

/// Answers, and nobody hears it.
fn answer_nobody(
    source: usize,
    database: &Database,
    view: (apograph::format::View, Timestamp),
    question: Option<(SyncQuestion, PartitionId)>,
    bytes: usize,
) {
    match question {
        None => drop(snapshot(source, database, view)),
        Some((question, partition)) => {
            if let Ok(mut answer) = os::as_host(source, || database.answer(partition, question)) {
                while matches!(piece(source, &mut answer, bytes), Answered::Piece(Some(_))) {}
            }
        }
    }
}

fn piece(source: usize, answer: &mut SyncAnswer, bytes: usize) -> Answered {
    match os::as_host(source, || answer.next(bytes)) {
        Ok(piece) => Answered::Piece(piece),
        Err(error) => Answered::Refused(error.refusal(), error.to_string()),
    }
}
