//! What operators tell a link: durable before it is answered.

use std::path::Path;

use tokio::sync::mpsc;

use apograph::Database;
use apograph_client::types::LinkStatus;
use apograph_format::Timestamp;
use apograph_replication::carrier::{Refusal, RefusalKind};
use apograph_replication::link::{Event, State};
use apograph_replication::sync::{Phase, SyncMeasure, SyncReason, SyncRequest};
use tokio::sync::oneshot;

use super::{Worker, explanation};
use crate::clock;
use crate::links::control::{Control, Throttled};
use crate::links::greet;
use crate::links::order::{Asked, Order, Wanted};
use crate::links::request_file::{RequestFile, RequestFileError};
use crate::problem::{Answer, Code, failed};

/// What operators told the link before. A file that cannot be understood pauses it: somebody wrote something, and what
/// it was is not known.
pub(super) fn told(folder: &Path) -> (Control, Option<String>) {
    match Control::read(folder) {
        Ok(control) => (control, None),
        Err(error) => {
            let reason = format!("paused: {error}; correct or remove it, or resume the link");
            tracing::error!(%error, "what operators told a link cannot be understood: it is paused");
            (Control { paused: true, ..Control::default() }, Some(reason))
        }
    }
}

/// A synchronization that was due when the server stopped, and whether `sync-request.json` is there. The engine knows of
/// one that had begun.
pub(super) fn due(folder: &Path, database: Option<&Database>) -> (Option<SyncReason>, bool) {
    let begun = database.and_then(Database::sync_marker);
    let is_requested = |reason: &str| reason == SyncReason::Requested.as_str();
    match RequestFile::read(folder, now()) {
        Ok(None) => (begun.map(|_| SyncReason::Unfinished), false),
        Ok(Some(file)) if begun.is_none() => (Some(file.reason), true),
        // Asked for while another one was under way, and not begun.
        Ok(Some(file))
            if file.reason == SyncReason::Requested
                && begun.is_some_and(|begun| !is_requested(&begun.reason)) =>
        {
            (Some(SyncReason::Requested), true)
        }
        // What is wrong with the file is said when it is needed.
        Ok(Some(_)) | Err(_) => (Some(SyncReason::Unfinished), true),
    }
}

impl Worker {
    pub(super) async fn asked(&mut self, asked: Asked) {
        match asked {
            Asked::Order(order, answer) => {
                let done = self.obey(order).await;
                let _ = answer.send(done);
            }
            Asked::Measure(wanted, answer) => self.measure(wanted, answer),
        }
    }

    async fn obey(&mut self, order: Order) -> Answer<LinkStatus> {
        let event = match order {
            Order::Pause => {
                self.keep(Control { paused: true, ..self.control })?;
                Some(Event::Pause)
            }
            Order::Resume => {
                self.keep(Control { paused: false, ..self.control })?;
                Some(Event::Resume)
            }
            Order::Throttle(bound) => {
                let throttle = bound.map_or(Throttled::Off, Throttled::BytesPerSecond);
                self.keep(Control { throttle: Some(throttle), ..self.control })?;
                self.throttle.set(self.control.bytes_per_second(&self.source));
                None
            }
            Order::Synchronize(wanted) => {
                let file = RequestFile {
                    request: wanted.bounded(&self.source),
                    reason: SyncReason::Requested,
                    approved: !self.source.review,
                };
                file.write(&self.folder).map_err(|error| failed(&error))?;
                (self.has_request, self.has_begun) = (true, false);
                self.progress = None;
                Some(Event::Requested)
            }
        };
        if let Some(event) = event {
            let waits = matches!(self.link.state(), State::Waiting | State::Stopped(_));
            if waits || matches!(event, Event::Pause) {
                self.due = None;
            }
            self.happened(event, None).await;
        }
        self.show().await;
        self.app.board.of(&self.name).ok_or_else(|| Code::NotReady.because("the link begins"))
    }

    fn keep(&mut self, control: Control) -> Answer<()> {
        control.write(&self.folder).map_err(|error| failed(&error))?;
        self.control = control;
        Ok(())
    }

    /// What may be asked of the source now; `None` while somebody has to approve it first.
    pub(super) fn approved(
        &mut self,
        why: SyncReason,
        round: u32,
    ) -> Result<Option<SyncRequest>, RequestFileError> {
        let file = match RequestFile::read(&self.folder, now())? {
            Some(file) => file,
            None => {
                let request = Wanted::of_settings().bounded(&self.source);
                let file = RequestFile { request, reason: why, approved: !self.source.review };
                file.write(&self.folder)?;
                file
            }
        };
        self.has_request = true;
        if file.approved {
            if self.unapproved.take().is_some() {
                self.reason = Some(explanation(self.link.cause(), None));
            }
            return Ok(Some(file.request));
        }
        self.unapproved = Some((why, round));
        let path = RequestFile::path(&self.folder);
        self.reason = Some(format!(
            "{why}: {}; waits for sync-request.json to be approved: edit {}, and set `approved` to true",
            why.sentence(),
            path.display()
        ));
        Ok(None)
    }

    /// Somebody may have approved what waits for it.
    pub(super) async fn look_for_approval(&mut self) {
        let (Some((why, round)), State::Synchronizing(Phase::Planning)) =
            (self.unapproved, self.link.state())
        else {
            return;
        };
        if let Some((event, detail)) = self.synchronize(why, round) {
            self.happened(event, detail).await;
        }
    }

    /// Once the link follows, nothing is left of what was synchronized.
    pub(super) fn settle(&mut self) {
        if self.link.synchronization().is_none() {
            self.progress = None;
        }
        if !(self.has_request && self.link.is_settled()) {
            return;
        }
        match RequestFile::remove(&self.folder) {
            Ok(()) => (self.has_request, self.has_begun) = (false, false),
            Err(error) => tracing::warn!(%error, "sync-request.json stays"),
        }
    }

    /// What a synchronization would bring: asked beside what the link does, and changes nothing.
    fn measure(&self, wanted: Wanted, answer: oneshot::Sender<Result<SyncMeasure, Refusal>>) {
        let client = greet::client(self.app.folder.path(), &self.source);
        let (client, database) = match (client, &self.database) {
            (Ok(client), Some(database)) => (client, database.clone()),
            (Err(refusal), _) => return drop(answer.send(Err(refusal))),
            (Ok(_), None) => {
                let detail = "this copy has not met its source yet: all of it would come";
                return drop(answer.send(Err(Refusal::new(RefusalKind::Unavailable, detail))));
            }
        };
        let (held, view, versions) = (greet::held(&database), self.role.view(), self.app.versions);
        let request = wanted.bounded(&self.source);
        // Nobody is told how far this is.
        let (news, _) = mpsc::channel(1);
        let mut measured =
            self.synchronization(database, client.clone(), request, SyncReason::Requested, 1, news);
        measured.closed = self.app.shutdown.child_token();
        let (shutdown, there) = (self.app.shutdown.clone(), self.database_there().to_owned());
        self.app.tasks.spawn(async move {
            let measure = async {
                let handshake = greet::greet(&client, &there, view).await?;
                match greet::misfit(&greet::greeting(&handshake), &versions, Some(&held)) {
                    Some(misfit) => Err(Refusal::new(RefusalKind::NoSuchDatabase, misfit)),
                    None => measured.measure().await,
                }
            };
            let measured = tokio::select! {
                measured = measure => measured,
                () = shutdown.cancelled() => return,
            };
            let _ = answer.send(measured);
        });
    }
}

fn now() -> Timestamp {
    Timestamp(u64::try_from(clock::now_us()).unwrap_or(0))
}
