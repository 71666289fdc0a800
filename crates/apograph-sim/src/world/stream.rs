//! A journal's way from a source to a copy: pieces of any size, in order, late, held up, or broken off.

use std::pin::Pin;

use apograph::Database;
use apograph::database::Feed;
use apograph::error::TakeError;
use apograph::format::{Heartbeat, PartitionId, Position, ServerKey, SourcePoint, Timestamp, View};
use apograph_replication::batch::{BatchLimits, batch};
use apograph_replication::carrier::RefusalKind;
use apograph_replication::link::Event as LinkEvent;
use apograph_replication::sync::SyncReason;
use bytes::{Bytes, BytesMut};

use super::server::poll;
use super::{Checked, Event, World};
use crate::os;

/// What the engine is handed at once: little, so that there is much to interrupt.
const AT_ONCE: BatchLimits = BatchLimits { entries_max: 16, bytes_max: 64 << 10 };
/// Pieces that are on their way at once; a source waits when there are more.
const UNDER_WAY_MAX: usize = 4;
/// Heartbeats on an idle stream; and after something became visible.
const HEARTBEAT_US: u64 = 1_000_000;
const HEARTBEAT_GAP_US: u64 = 20_000;
/// What a line holds up is sent again after so long.
const AGAIN_US: u64 = 700_000;

/// A stream.
pub(super) struct Stream {
    pub(super) copy: usize,
    pub(super) source: usize,
    /// Of the link.
    pub(super) number: u64,
    partition: PartitionId,
    view: View,
    from: Position,
    behind: Option<SourcePoint>,
    key: ServerKey,
    /// Of the journals that it is taken into.
    generation: u64,
    there: Option<There>,
    under_way: usize,
    /// Nothing arrives before this.
    arrives_us: u64,
    buffer: BytesMut,
    taking: Option<Taking>,
    /// Its reader is slow until then.
    pub(super) slow_until_us: u64,
}

impl Stream {
    /// The source's end is gone.
    pub(super) fn leave_half_open(&mut self) {
        self.there = None;
    }
}

/// The source's end.
struct There {
    feed: Feed,
    told: Timestamp,
    next_beat_us: u64,
}

type Taking = Pin<Box<dyn Future<Output = Result<(), TakeError>>>>;

/// What comes out at the copy's end.
#[derive(Debug)]
pub(super) enum Arrival {
    Refused(RefusalKind, String),
    Piece(Bytes),
    /// No more will come.
    Broken(&'static str),
}

impl World {
    /// A link opens a stream for each partition.
    pub(super) fn open_streams(
        &mut self,
        copy: usize,
        source: usize,
        number: u64,
        key: ServerKey,
        database: &Database,
    ) {
        for (partition, from, behind) in database.resume() {
            let stream = Stream {
                copy,
                source,
                number,
                partition,
                view: database.view(),
                from,
                behind,
                key,
                generation: database.generation(),
                there: None,
                under_way: 0,
                arrives_us: 0,
                buffer: BytesMut::new(),
                taking: None,
                slow_until_us: 0,
            };
            let id = self.number();
            self.streams.insert(id, stream);
            // A question that does not arrive is asked again by the link, when it was silent for too long.
            if let Some(way) = self.way(copy, source) {
                self.after(way, Event::Open(id));
            }
        }
    }

    pub(super) fn open_there(&mut self, id: u64) -> Checked {
        let Some(stream) = self.streams.get(&id) else { return Ok(()) };
        let (source, partition, view) = (stream.source, stream.partition, stream.view);
        let (from, behind) = (stream.from, stream.behind);
        let Some(database) = self.server(source).database() else {
            self.send(id, Arrival::Refused(RefusalKind::Unavailable, "nobody answers".to_owned()));
            return Ok(());
        };
        match os::as_host(source, || database.feed(partition, view, from, behind)) {
            Err(error) => self.send(id, Arrival::Refused(error.refusal(), error.to_string())),
            Ok(feed) => {
                let now = self.now();
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.there = Some(There { feed, told: Timestamp::ZERO, next_beat_us: now });
                }
                self.after(0, Event::Pump(id));
            }
        }
        Ok(())
    }

    /// The source sends what it has.
    pub(super) fn pump(&mut self, id: u64) -> Checked {
        let Some(stream) = self.streams.get(&id) else { return Ok(()) };
        let source = stream.source;
        let until = self.server(source).paused_until_us;
        if until > self.now() {
            self.at(until, Event::Pump(id));
            return Ok(());
        }
        let again = self.ways.between(1_000, 40_000);
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if stream.under_way >= UNDER_WAY_MAX {
            self.after(again, Event::Pump(id));
            return Ok(());
        }
        let (Some(database), now) = (self.server(source).database(), self.now()) else { return Ok(()) };
        let bytes = (200 + self.ways.index(20_000)) * self.plan.pieces();
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let Some(there) = &mut stream.there else { return Ok(()) };
        let visible = database.visible();
        let is_due = now >= there.next_beat_us
            || (visible > there.told && now + HEARTBEAT_US >= there.next_beat_us + HEARTBEAT_GAP_US);
        let (partition, view) = (stream.partition, stream.view);
        // Signed before the feed is read to its end: everything up to it was sent before it.
        let beat = is_due.then(|| os::as_host(source, || database.heartbeat(partition, view)));
        match os::as_host(source, || there.feed.next(bytes)) {
            Ok(Some(piece)) => {
                self.after(again / 8, Event::Pump(id));
                self.send_in_pieces(id, piece);
            }
            Ok(None) => {
                let sent = Some(there.feed.sent());
                if beat.is_some() {
                    there.told = visible;
                    there.next_beat_us = now + HEARTBEAT_US;
                }
                self.after(again, Event::Pump(id));
                if let Some(beat) = beat {
                    self.send_in_pieces(id, Heartbeat { sent, ..beat }.encode());
                }
            }
            Err(error) => {
                stream.there = None;
                self.note_of(source, &format!("a stream ends: {error}"));
                self.send(id, Arrival::Broken("the source ended the stream"));
            }
        }
        Ok(())
    }

    fn send_in_pieces(&mut self, id: u64, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let length = if self.ways.chance(300) { 1 + self.ways.index(bytes.len()) } else { bytes.len() };
            let piece = bytes.split_to(length.min(bytes.len()));
            let Some(copy) = self.streams.get(&id).map(|stream| stream.copy) else { return };
            for piece in self.spoilt_of_stream(copy, piece) {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.under_way += 1;
                }
                self.send(id, Arrival::Piece(piece));
            }
        }
    }

    /// To the copy's end, behind everything that was sent before.
    fn send(&mut self, id: u64, arrival: Arrival) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (source, copy) = (stream.source, stream.copy);
        let takes = self.way(source, copy).unwrap_or(AGAIN_US);
        let at = self.now() + takes;
        let slowness = self.slowness(id);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.arrives_us = stream.arrives_us.max(at) + slowness;
        let at = stream.arrives_us;
        self.at(at, Event::Arrive(id, arrival));
    }

    pub(super) fn arrive(&mut self, id: u64, arrival: Arrival) -> Checked {
        let Some(stream) = self.streams.get(&id) else { return Ok(()) };
        let (source, copy, number) = (stream.source, stream.copy, stream.number);
        if self.cut[source][copy] {
            // The line holds it up: what comes behind it is later still.
            let at = self.now() + AGAIN_US;
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.arrives_us = stream.arrives_us.max(at);
            }
            self.at(at, Event::Arrive(id, arrival));
            return Ok(());
        }
        let until = self.server(copy).paused_until_us;
        if until > self.now() {
            self.at(until, Event::Arrive(id, arrival));
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let partition = stream.partition;
        match arrival {
            Arrival::Refused(kind, detail) => {
                let is_empty = kind == RefusalKind::OutOfWindow && stream.from.sequence == 0;
                let event = match is_empty {
                    true => LinkEvent::Needs(SyncReason::EmptyCopy),
                    false => LinkEvent::Refused(kind),
                };
                self.streams.remove(&id);
                self.link_happened(copy, number, event, &detail)
            }
            Arrival::Broken(why) => {
                self.streams.remove(&id);
                self.link_happened(copy, number, LinkEvent::Ended(partition), why)
            }
            Arrival::Piece(bytes) => {
                stream.under_way = stream.under_way.saturating_sub(1);
                stream.buffer.extend_from_slice(&bytes);
                self.take(id)
            }
        }
    }

    /// Hands over what is whole, unless something is being taken.
    fn take(&mut self, id: u64) -> Checked {
        loop {
            let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
            let (copy, number, partition, key) = (stream.copy, stream.number, stream.partition, stream.key);
            if stream.taking.is_some() {
                return Ok(());
            }
            let Some(database) = self.server(copy).database() else { return Ok(()) };
            let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
            let (entries, heartbeat) = match batch(&mut stream.buffer, AT_ONCE) {
                Ok(found) => found,
                Err(error) => {
                    let event = LinkEvent::Rejected(partition);
                    return self.link_happened(copy, number, event, &error.to_string());
                }
            };
            if !entries.is_empty() {
                // A heartbeat behind them says nothing that the next does not say again.
                let mut taking: Taking = Box::pin(async move { database.take(partition, entries).await });
                let early = os::as_host(copy, || poll(taking.as_mut()));
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.taking = Some(early.map_or(taking, |early| Box::pin(std::future::ready(early))));
                }
                self.wake(copy);
                return Ok(());
            }
            let Some(heartbeat) = heartbeat else { return Ok(()) };
            let generation = stream.generation;
            if let Err(error) = database.note_heartbeat(partition, &heartbeat, &key) {
                return self.link_happened(copy, number, error.event(partition), &error.to_string());
            }
            if database.is_part() {
                if database.generation() != generation {
                    let event = LinkEvent::Ended(partition);
                    return self.link_happened(copy, number, event, "the journals here begin anew");
                }
                os::as_host(copy, || database.hear(partition, heartbeat.visible, generation));
                self.wake(copy);
            }
            self.link_happened(copy, number, LinkEvent::Progress(partition), "")?;
        }
    }

    /// What of the streams into a server is taken now.
    pub(super) fn answer_streams(&mut self, copy: usize) {
        let mut taken = Vec::new();
        for (id, stream) in self.streams.iter_mut().filter(|(_, stream)| stream.copy == copy) {
            let Some(taking) = &mut stream.taking else { continue };
            if let Some(outcome) = poll(taking.as_mut()) {
                stream.taking = None;
                taken.push((*id, stream.number, stream.partition, outcome));
            }
        }
        for (id, number, partition, outcome) in taken {
            let (event, detail) = match outcome {
                Ok(()) => (LinkEvent::Progress(partition), String::new()),
                Err(error) => (error.event(partition), error.to_string()),
            };
            let is_over = !matches!(event, LinkEvent::Progress(_));
            self.later_link_event(copy, number, event, detail);
            if !is_over {
                self.at(self.now(), Event::Arrive(id, Arrival::Piece(Bytes::new())));
            }
        }
    }

    /// A connection breaks: a part of what is under way still comes.
    pub(super) fn break_one_stream(&mut self) {
        let ids: Vec<u64> = self.streams.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = *self.chances.pick(&ids);
        self.break_stream(id);
    }

    fn break_stream(&mut self, id: u64) {
        let mut left = Vec::new();
        let of = |event: &Event| matches!(event, Event::Arrive(of, _) | Event::Pump(of) | Event::Open(of) if *of == id);
        let keys: Vec<(u64, u64)> =
            self.events.iter().filter(|(_, event)| of(event)).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(Event::Arrive(_, Arrival::Piece(piece))) = self.events.remove(&key) {
                left.push(piece);
            }
        }
        if let Some(mut piece) = left.into_iter().next() {
            let length = self.chances.index(piece.len() + 1);
            self.send(id, Arrival::Piece(piece.split_to(length)));
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.there = None;
        }
        self.send(id, Arrival::Broken("the connection was reset"));
    }

    /// A server is gone: streams out of it break, streams into it are forgotten.
    pub(super) fn lose_streams(&mut self, host: usize) {
        self.lose_answers(host);
        self.streams.retain(|_, stream| stream.copy != host);
        let from: Vec<u64> =
            self.streams.iter().filter(|(_, stream)| stream.source == host).map(|(id, _)| *id).collect();
        for id in from {
            // A machine that lost its power does not say so.
            if self.chances.chance(300) {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.there = None;
                }
            } else {
                self.break_stream(id);
            }
        }
    }

    /// A link closes its streams.
    pub(super) fn close_streams(&mut self, copy: usize, number: u64) {
        self.streams.retain(|_, stream| stream.copy != copy || stream.number != number);
    }
}
