//! A primary gives its role to a copy: `POST /v1/databases/{db}/switchover|handover`. What comes next is decided in
//! `apograph_replication::switchover`.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use apograph::database::roles::Handover;
use apograph::status::ServerIdentity;
use apograph::{Database, Role};
use apograph_client::types::{
    HandoverAnswer, HandoverRequest, HandoverState, LinkState, SwitchoverAnswer, SwitchoverRequest,
};
use apograph_replication::switchover::{
    self, Act, Answer as Word, Candidate, End, Event, Failure, TIMEOUT, TIMEOUT_MAX, TargetRefusal,
};

use super::shape;
use crate::app::App;
use crate::clock;
use crate::limits::{ORDER_BYTES_MAX, REPORT_AGE_MAX, REPORT_BYTES_MAX};
use crate::links;
use crate::problem::{Answer, Code, Refused, failed};
use crate::request::json;
use crate::request::path::InDatabase;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Gives the role of primary to a copy; answers when that is done, or given up.
pub(super) async fn switchover(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: SwitchoverRequest = json::whole(&app, &headers, body, ORDER_BYTES_MAX).await?;
    let timeout = asked.timeout_s.map_or(TIMEOUT, Duration::from_secs);
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err(Code::BodyInvalid.because("timeout_s: from 1 to 50 seconds"));
    }
    if database.role() != Role::Primary {
        let detail = format!("this server holds a {} of the database", database.role());
        return Err(Code::NotPrimary.because(detail).with_some("primary_url", database.primary_url()));
    }
    database.check_writable()?;
    let to = target(&app, &database, &asked.to)?;
    let (announced, server) = (database.clone(), to.clone());
    app.blocking(move || announced.announce_copy(&server, Role::Replica)).await?;
    if !app.roles.begin(database.name(), to.key, timeout) {
        return Err(Code::Busy.because("another switchover of this database is under way"));
    }
    // Whoever asked may go away: what was begun comes to its end.
    let work = app.tasks.spawn(drive(app.clone(), database, to));
    let answer = work.await.map_err(|error| failed(&error))??;
    Ok(Json(answer).into_response())
}

/// The copy that `to` names, which must follow now.
fn target(app: &App, database: &Database, to: &str) -> Answer<ServerIdentity> {
    let partitions = database.partitioning().count();
    if let Some(held) = app.board.part_of(database.name(), partitions, to) {
        let detail =
            format!("{to} holds partitions {held} only, of {partitions}: it cannot become the primary");
        return Err(Code::SwitchoverFailed.because(detail).with("reason", "target-holds-a-part"));
    }
    let mut copies = app.board.copies(database.name(), partitions);
    let states: Vec<String> = copies.iter().map(|(_, _, state, _)| state.to_string()).collect();
    let is_silent = |at: i64| {
        let silent_us = clock::now_us().saturating_sub(at);
        silent_us > i64::try_from(REPORT_AGE_MAX.as_micros()).unwrap_or(i64::MAX)
    };
    let candidates: Vec<Candidate<'_>> = copies
        .iter()
        .zip(&states)
        .map(|((server, _, state, at), shown)| Candidate {
            name: &server.name,
            url: server.url.as_deref(),
            state: (!is_silent(*at)).then_some(shown),
            is_following: *state == LinkState::Following,
        })
        .collect();
    let identity = app.folder.identity();
    let me =
        Candidate { name: &identity.name, url: identity.url.as_deref(), state: None, is_following: false };
    let found = switchover::target(to, &me, &candidates).map_err(|refusal| {
        let detail = refusal.to_string();
        match refusal {
            TargetRefusal::Unknown { .. } => Code::UnknownServer.because(detail),
            TargetRefusal::AlreadyPrimary { .. } => {
                Code::SwitchoverFailed.because(detail).with("reason", "already-primary")
            }
            TargetRefusal::DoesNotFollow { .. } => {
                Code::SwitchoverFailed.because(detail).with("reason", "target-does-not-follow")
            }
        }
    })?;
    drop(candidates);
    Ok(shape::engine_identity(copies.swap_remove(found).0))
}

/// Sees to it that a switchover comes to an end, and says which.
async fn drive(app: App, database: Database, to: ServerIdentity) -> Answer<SwitchoverAnswer> {
    let name = database.name().to_owned();
    let _under_way = app.roles.under_way(&name);
    let end = loop {
        let event = observe(&app, &database, &to);
        for act in app.roles.on(&name, event) {
            if act == Act::Release {
                let release = database.clone();
                let released = app.blocking(move || release.release_writes()).await;
                // Behind this nobody steps down any more: what is so now stays so.
                let event = stepped_down(&database, &to).unwrap_or(Event::Released);
                app.roles.on(&name, event);
                if event == Event::Released && database.role() == Role::Primary {
                    released?;
                }
            }
        }
        match app.roles.end(&name) {
            Some(end) => break end,
            None => tokio::time::sleep(LOOK).await,
        }
    };
    match end {
        End::Failed(failure) => Err(not_given(&to, failure, &database)),
        End::Given { epoch, base, confirmed, paused } => Ok(SwitchoverAnswer {
            primary: shape::identity(to),
            epoch,
            base,
            paused_ms: u64::try_from(paused.as_millis()).unwrap_or(u64::MAX),
            confirmed,
        }),
    }
}

/// What is durable here counts more than what was said about it.
fn observe(app: &App, database: &Database, to: &ServerIdentity) -> Event {
    let is_given = app.roles.is_given(database.name());
    if is_given && database.handover().is_none() {
        return Event::Confirmed;
    }
    if app.shutdown.is_cancelled() {
        return Event::Stopping;
    }
    if is_given || database.role() == Role::Primary {
        return Event::Tick;
    }
    stepped_down(database, to).unwrap_or(Event::LostRole)
}

/// The role is the other one's, if it is.
fn stepped_down(database: &Database, to: &ServerIdentity) -> Option<Event> {
    if database.role() == Role::Primary {
        return None;
    }
    let start = database.epochs().pop().filter(|start| start.primary.key == to.key)?;
    Some(Event::SteppedDown { epoch: start.epoch, base: start.base })
}

fn not_given(to: &ServerIdentity, failure: Failure, database: &Database) -> Refused {
    let detail = format!("{} did not become primary: {}", to.name, failure.detail());
    let url = database.primary_url().filter(|_| failure == Failure::LostRole);
    Code::SwitchoverFailed.because(detail).with("reason", failure.as_str()).with_some("primary_url", url)
}

/// A copy that is to become primary asks for it.
pub(super) async fn handover(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: HandoverRequest = json::whole(&app, &headers, body, REPORT_BYTES_MAX).await?;
    let name = database.name().to_owned();
    // What was given is given, also after a restart, which knows of no switchover.
    if let Some(given) = database.handover().filter(|handover| handover.to.key == asked.server.key) {
        return give(&app, &database, &asked, Some(given)).await;
    }
    if !app.roles.is_wanted(&name, &asked.server.key) {
        return Ok(says(Word::None));
    }
    let ends: Vec<_> = database.resume().into_iter().map(|(_, end, _)| end).collect();
    let lacks = switchover::lacks(&ends, &asked.positions);
    let mut acts = app.roles.on(&name, Event::Asked { lacks });
    let mut positions = Vec::new();
    loop {
        match acts.first().copied() {
            Some(Act::Hold { at_most }) => {
                let holding = database.clone();
                let held = app.blocking(move || holding.hold_writes(at_most)).await?;
                let reached = held.positions == asked.positions;
                positions = held.positions;
                acts = app.roles.on(&name, Event::Held { reached });
            }
            Some(Act::StepDown) => return give(&app, &database, &asked, None).await,
            Some(Act::Answer(Word::Held)) => {
                let answer = HandoverAnswer { positions, ..empty(HandoverState::Held) };
                return Ok(Json(answer).into_response());
            }
            Some(Act::Answer(word)) => return Ok(says(word)),
            Some(Act::Release) | None => return Ok(says(Word::None)),
        }
    }
}

/// Steps down for the copy that asked, unless that is done, and says so.
async fn give(app: &App, database: &Database, asked: &HandoverRequest, given: Option<Handover>) -> Answer {
    let server = shape::engine_identity(asked.server.clone());
    let Some(url) = server.url.clone() else {
        return Err(Code::BodyInvalid.because("server.url: where the new primary can be followed"));
    };
    let (keeper, stepping) = (app.clone(), database.clone());
    let (token, reached) = (asked.token.clone(), asked.positions.clone());
    let step_down = move || -> Result<Handover, Refused> {
        // First where to follow, then the role: a crash in between leaves a primary that has a note.
        links::follow(&keeper, stepping.name(), &url, &token).map_err(|error| failed(&error))?;
        let handover = match given {
            Some(given) => given,
            None => stepping.step_down(server, reached)?,
        };
        let stepped_down = Event::SteppedDown { epoch: handover.epoch, base: handover.base };
        keeper.roles.on(stepping.name(), stepped_down);
        keeper.roles.changed();
        Ok(handover)
    };
    let handover = app.blocking(step_down).await?;
    let answer = HandoverAnswer {
        state: HandoverState::Given,
        positions: handover.positions.clone(),
        handover: Some(shape::handover(handover)),
        epochs: shape::epochs(database),
    };
    Ok(Json(answer).into_response())
}

fn says(word: Word) -> Response {
    let state = match word {
        // Given, and meanwhile used: there is nothing to begin.
        Word::None | Word::Given => HandoverState::None,
        Word::Behind => HandoverState::Behind,
        Word::Held => HandoverState::Held,
    };
    Json(empty(state)).into_response()
}

fn empty(state: HandoverState) -> HandoverAnswer {
    HandoverAnswer { state, positions: Vec::new(), handover: None, epochs: Vec::new() }
}
