//! `GET /v1/databases/{db}/partitions/{p}/journal?from=&view=&source=&follow=`: a body of entries without end.
//!
//! A heartbeat is sent only after everything up to its visible timestamp: whoever reads it, and took all before it,
//! has everything up to then, also in a view where most transactions leave no entry.

use std::io;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use apograph::Database;
use apograph::database::Feed;
use apograph::error::FeedError;
use apograph_client::media_type;
use apograph_format::{Heartbeat, PartitionId, Position, Timestamp, View};

use crate::app::App;
use crate::limits::{HEARTBEAT_GAP_MIN, HEARTBEAT_INTERVAL, STREAM_PIECE_BYTES};
use crate::problem::{Answer, Code, Refused};
use crate::request::params::{self, Params};
use crate::request::path::InPartition;
use crate::serve::patience::Patience;
use crate::stream::broken;
use crate::tokens::{Principal, TokenRole};

/// From where, and what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JournalParams {
    from: String,
    view: Option<String>,
    source: Option<String>,
    #[serde(default = "yes")]
    follow: bool,
}

fn yes() -> bool {
    true
}

/// The entries of a view of a partition behind a position.
pub(super) async fn get(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    Extension(patience): Extension<Patience>,
    InPartition { database, partition }: InPartition,
    Params(asked): Params<JournalParams>,
) -> Answer {
    patience.set(true);
    let view =
        view_for(&principal, params::parse("view", asked.view.as_deref())?.unwrap_or(database.view()))?;
    let from: Option<Position> = params::parse("from", Some(asked.from.as_str()))?;
    let from = from.ok_or_else(|| Code::QueryInvalid.because("from is missing"))?;
    let source = params::parse("source", asked.source.as_deref())?;
    let visible = database.watch_visible();
    let opening = database.clone();
    let feed = app.blocking(move || opening.feed(partition, view, from, source)).await?;
    let now = Instant::now();
    let follow = Follow {
        app,
        principal,
        database,
        partition,
        view,
        feed: Some(feed),
        visible,
        beat: None,
        told: Timestamp::ZERO,
        next_beat: now,
        endless: asked.follow,
    };
    let body = stream::try_unfold(follow, async |mut follow| {
        let piece = follow.next().await.inspect_err(|_| follow.app.metrics.stream_broke())?;
        Ok::<_, io::Error>(piece.map(|piece| (piece, follow)))
    });
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::JOURNAL));
    Ok(response)
}

/// `link:staging` sees what is published and nothing else.
pub(super) fn view_for(principal: &Principal, view: View) -> Answer<View> {
    match (principal.role, view) {
        (TokenRole::LinkStaging, View::Full) => {
            Err(Code::Forbidden.because("the token's role is link:staging; it sees the published view only"))
        }
        _ => Ok(view),
    }
}

/// One reader.
struct Follow {
    app: App,
    principal: Principal,
    database: Database,
    partition: PartitionId,
    view: View,
    /// Away while a thread reads from it.
    feed: Option<Feed>,
    visible: watch::Receiver<Timestamp>,
    /// Signed before the feed was read to its end: everything up to it was sent.
    beat: Option<Heartbeat>,
    /// Visible timestamp of the last heartbeat sent.
    told: Timestamp,
    next_beat: Instant,
    endless: bool,
}

impl Follow {
    /// The next piece: entries as long as there are any, heartbeats in between.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if self.app.shutdown.is_cancelled() || !self.app.tokens.still_good(&self.principal) {
                return Ok(None);
            }
            if self.beat.is_none() && self.is_beat_due() {
                self.visible.borrow_and_update();
                self.beat = Some(self.database.heartbeat(self.partition, self.view));
            }
            if let Some(entries) = self.read().await? {
                return Ok(Some(entries));
            }
            if !self.endless {
                return Ok(None);
            }
            if let Some(beat) = self.beat.take() {
                self.told = beat.visible;
                self.next_beat = Instant::now() + HEARTBEAT_INTERVAL;
                let sent = self.feed.as_ref().map(Feed::sent);
                return Ok(Some(Heartbeat { sent, ..beat }.encode()));
            }
            self.pause().await;
        }
    }

    fn is_beat_due(&self) -> bool {
        let moved = self.database.visible() > self.told && self.earliest_beat() <= Instant::now();
        self.endless && (moved || self.next_beat <= Instant::now())
    }

    fn earliest_beat(&self) -> Instant {
        self.next_beat.checked_sub(HEARTBEAT_INTERVAL).unwrap_or(self.next_beat) + HEARTBEAT_GAP_MIN
    }

    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        let Some(mut feed) = self.feed.take() else {
            return Err(io::Error::other("the feed failed before"));
        };
        // A copy that is up to date is served from memory: the way to another thread and back costs more than that.
        let is_quick = feed.is_quick();
        let read = move || feed.next(STREAM_PIECE_BYTES).map(|piece| (piece, feed));
        let read = if is_quick {
            read().map_err(Refused::from)
        } else {
            self.app.blocking::<_, FeedError, _>(read).await
        };
        let (piece, feed) = read.map_err(broken)?;
        self.feed = Some(feed);
        Ok(piece)
    }

    /// Until something is new, a heartbeat is due, or the server stops.
    async fn pause(&mut self) {
        let wake = if self.database.visible() > self.told { self.earliest_beat() } else { self.next_beat };
        tokio::select! {
            () = self.app.shutdown.cancelled() => {}
            () = sleep_until(wake.min(self.next_beat)) => {}
            _ = self.visible.changed() => {}
        }
    }
}
