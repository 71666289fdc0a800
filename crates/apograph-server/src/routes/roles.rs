//! Who is primary, and how that changes: `POST /v1/databases/{db}/promote|switchover|handover|epoch`.

use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;

use apograph::database::roles::{Promote, PromotionPlan, RoleError};
use apograph::status::ServerIdentity;
use apograph::{Database, Role};
use apograph_client::types::{
    CutTransaction, EpochAnswer, EpochNotice, FollowRequest, HandoverAnswer, HandoverRequest, HandoverState,
    LinkState, PromoteRequest, PromotionAnswer, PromotionBlock, PromotionOther, PromotionPartition,
    SwitchoverAnswer, SwitchoverRequest,
};

use super::shape;
use crate::app::App;
use crate::clock;
use crate::limits::{ORDER_BYTES_MAX, REPORT_AGE_MAX, REPORT_BYTES_MAX};
use crate::links;
use crate::problem::{Answer, Code, Refused, failed};
use crate::request::json;
use crate::request::path::InDatabase;

/// A source that was heard within this time is alive.
const HEARD: Duration = Duration::from_secs(5);
/// Entries that a copy may lack when writes are held for it: it takes them in well under a second.
const NEAR_ENTRIES: u64 = 2_000;
/// Writes are held at most so long without a word of the copy.
const HOLD_MAX: Duration = Duration::from_secs(5);
/// A switchover is given up after so long, if nothing else is said; and at most: whoever asked waits for the answer.
const SWITCHOVER_TIMEOUT: Duration = Duration::from_secs(30);
const SWITCHOVER_TIMEOUT_MAX: Duration = Duration::from_secs(50);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Makes this copy the primary, or says what that would mean.
pub(super) async fn promote(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: PromoteRequest = json::whole(&app, &headers, body, ORDER_BYTES_MAX).await?;
    let planned = database.clone();
    let plan = app.blocking(move || planned.plan_promotion()).await?;
    let mut answer = plan_answer(&app, database.name(), plan);
    if asked.plan {
        return Ok(Json(answer).into_response());
    }
    let blocks: Vec<_> =
        answer.blocks.iter().filter(|block| !(asked.force && block.may_be_forced)).cloned().collect();
    if !blocks.is_empty() {
        let details: Vec<_> = blocks.iter().map(|block| block.detail.as_str()).collect();
        let detail = format!("this server cannot be promoted: {}", details.join("; "));
        let blocks = serde_json::to_value(&blocks).unwrap_or_default();
        return Err(Code::NotPromotable.because(detail).with("blocks", blocks));
    }
    let reason = asked.reason.unwrap_or_else(|| "promoted by an administrator".to_owned());
    let order = Promote { reason, force: asked.force, handover: None };
    let promoted = app.blocking(move || database.promote(order)).await?;
    app.roles.changed();
    answer.promoted = true;
    answer.blocks = Vec::new();
    (answer.next_epoch, answer.base) = (promoted.epoch, promoted.base);
    Ok(Json(answer).into_response())
}

fn plan_answer(app: &App, name: &str, plan: PromotionPlan) -> PromotionAnswer {
    let contact = app.board.last_contact(name);
    let mut blocks: Vec<PromotionBlock> = plan
        .blocks
        .iter()
        .map(|block| PromotionBlock {
            code: block.code().to_owned(),
            detail: block.to_string(),
            may_be_forced: block.may_be_forced(),
        })
        .collect();
    let heard_us = i64::try_from(HEARD.as_micros()).unwrap_or(i64::MAX);
    if let Some((LinkState::Following, at)) = contact
        && clock::now_us().saturating_sub(at) < heard_us
    {
        blocks.push(PromotionBlock {
            code: "source-answers".to_owned(),
            detail: "its source answers: `switchover` at the primary loses nothing".to_owned(),
            may_be_forced: true,
        });
    }
    let is_recent = |at: i64| {
        let age = clock::now_us().saturating_sub(at);
        age < i64::try_from(REPORT_AGE_MAX.as_micros()).unwrap_or(i64::MAX)
    };
    let others = app.board.copies(name).into_iter().filter(|(.., at)| is_recent(*at)).map(
        |(server, visible, _, _)| PromotionOther {
            name: server.name,
            visible,
            has_more: visible > plan.base,
        },
    );
    PromotionAnswer {
        promoted: false,
        role: shape::role(plan.role),
        epoch: plan.epoch,
        next_epoch: plan.next_epoch,
        primary: shape::identity(plan.primary),
        last_contact: contact.map(|(_, at)| at),
        base: plan.base,
        partitions: plan
            .partitions
            .into_iter()
            .map(|of| PromotionPartition {
                partition: of.partition,
                applied: of.applied,
                durable: of.durable,
                acknowledged: of.acknowledged,
            })
            .collect(),
        cut: plan
            .cut
            .into_iter()
            .map(|cut| CutTransaction {
                timestamp: cut.timestamp,
                partitions: cut.partitions.into_iter().collect(),
                author: cut.author,
                comment: cut.comment,
                documents: cut.documents,
            })
            .collect(),
        cut_total: plan.cut_total,
        others: others.collect(),
        blocks,
    }
}

/// Gives the role of primary to a copy; answers when that is done, or given up.
pub(super) async fn switchover(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: SwitchoverRequest = json::whole(&app, &headers, body, ORDER_BYTES_MAX).await?;
    let timeout = asked.timeout_s.map_or(SWITCHOVER_TIMEOUT, Duration::from_secs);
    if timeout.is_zero() || timeout > SWITCHOVER_TIMEOUT_MAX {
        return Err(Code::BodyInvalid.because("timeout_s: from 1 to 50 seconds"));
    }
    if database.role() != Role::Primary {
        let detail = format!("this server holds a {} of the database", database.role());
        return Err(Code::NotPrimary.because(detail).with_some("primary_url", database.primary_url()));
    }
    database.check_writable()?;
    let to = target(&app, &database, &asked.to)?;
    let name = database.name().to_owned();
    let (announced, server) = (database.clone(), to.clone());
    app.blocking(move || announced.announce_copy(&server, Role::Replica)).await?;
    if !app.roles.begin(&name, to.key, Instant::now() + timeout) {
        return Err(Code::Busy.because("another switchover of this database is under way"));
    }
    // Whoever asked may go away: what was begun comes to its end.
    let work = app.tasks.spawn(drive(app.clone(), database, to, Instant::now() + timeout));
    let answer = work.await.map_err(|error| failed(&error))??;
    Ok(Json(answer).into_response())
}

/// The copy that `to` names, which must follow now.
fn target(app: &App, database: &Database, to: &str) -> Answer<ServerIdentity> {
    let copies = app.board.copies(database.name());
    let is_named = |server: &apograph_client::types::ServerIdentity| {
        let url = server.url.as_deref().map(|url| url.trim_end_matches('/'));
        server.name == to || url == Some(to.trim_end_matches('/'))
    };
    let names: Vec<_> = copies.iter().map(|(server, ..)| server.name.clone()).collect();
    let Some((server, _, state, at)) = copies.into_iter().find(|(server, ..)| is_named(server)) else {
        let known = if names.is_empty() { "none does".to_owned() } else { names.join(", ") };
        let detail = format!("no full copy called {to:?} reports to this server; those that do: {known}");
        return Err(Code::UnknownServer.because(detail));
    };
    let silent_us = clock::now_us().saturating_sub(at);
    let is_silent = silent_us > i64::try_from(REPORT_AGE_MAX.as_micros()).unwrap_or(i64::MAX);
    if state != LinkState::Following || is_silent {
        let state = if is_silent { "it does not report any more".to_owned() } else { state.to_string() };
        let detail = format!("{} does not follow this server: {state}", server.name);
        return Err(Code::SwitchoverFailed.because(detail).with("reason", "target-does-not-follow"));
    }
    Ok(shape::engine_identity(server))
}

async fn drive(app: App, database: Database, to: ServerIdentity, until: Instant) -> Answer<SwitchoverAnswer> {
    let name = database.name().to_owned();
    let _under_way = app.roles.under_way(&name);
    while Instant::now() < until && database.role() == Role::Primary && !app.shutdown.is_cancelled() {
        tokio::time::sleep(LOOK).await;
    }
    let stood = app.roles.switchover(&name);
    let release = database.clone();
    // Behind this nobody steps down any more.
    let released = app.blocking(move || release.release_writes()).await;
    if database.role() == Role::Primary {
        released?;
        let (reason, detail) = match stood {
            Some(stood) if stood.held.is_some() => ("not-reached", "it did not reach the end in time"),
            Some(stood) if stood.asked => ("behind", "it is too far behind"),
            _ => ("no-answer", "it did not ask for the role"),
        };
        let detail = format!("{} did not become primary: {detail}", to.name);
        return Err(Code::SwitchoverFailed.because(detail).with("reason", reason));
    }
    let start = database.epochs().into_iter().rev().find(|start| start.primary.key == to.key);
    let start = start.ok_or_else(|| Code::Failed.because("the epoch that was given is not known"))?;
    while Instant::now() < until && database.handover().is_some() && !app.shutdown.is_cancelled() {
        tokio::time::sleep(LOOK).await;
    }
    let held = app.roles.switchover(&name).and_then(|switchover| switchover.held);
    let paused = held.map_or(Duration::ZERO, |held| held.elapsed());
    Ok(SwitchoverAnswer {
        primary: shape::identity(start.primary),
        epoch: start.epoch,
        base: start.base,
        paused_ms: u64::try_from(paused.as_millis()).unwrap_or(u64::MAX),
        confirmed: database.handover().is_none(),
    })
}

/// Has a copy follow another server; a primary that another one followed becomes its replica.
pub(super) async fn follow(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked: FollowRequest = json::whole(&app, &headers, body, ORDER_BYTES_MAX).await?;
    let name = database.name().to_owned();
    let there = app.folder.settings().databases.get(&name);
    let there = there.and_then(|settings| settings.source.as_ref()?.database.clone());
    let there = there.unwrap_or_else(|| name.clone());
    let source = links::who_is(&asked.url, &asked.token, &there, database.view()).await;
    let source = source.map_err(|refusal| Code::SourceUnavailable.because(refusal.to_string()))?;
    if source.database != database.id() || source.server.key == app.folder.identity().key {
        let detail = format!("{} at {} is no other server of this database", source.server.name, asked.url);
        return Err(Code::SourceUnavailable.because(detail));
    }
    let (keeper, told) = (app.clone(), database.clone());
    let change = move || -> Result<(), Refused> {
        let seen = source.seen();
        told.learn(source.epochs)?;
        if seen < told.epoch_seen() {
            return Err(RoleError::LowerEpoch { epoch: seen, seen: told.epoch_seen() }.into());
        }
        if told.role() == Role::Primary && told.fenced().is_none() {
            return Err(RoleError::NotFenced.into());
        }
        links::follow(&keeper, &name, &asked.url, &asked.token).map_err(|error| failed(&error))?;
        Ok(told.become_replica()?)
    };
    app.blocking(change).await?;
    app.roles.changed();
    Ok(Json(answer_of(&database)).into_response())
}

/// What this server knows of epochs now.
fn answer_of(database: &Database) -> EpochAnswer {
    EpochAnswer {
        role: shape::role(database.role()),
        epoch: database.epoch_seen(),
        epochs: shape::epochs(database),
    }
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
    let server = shape::engine_identity(asked.server.clone());
    let given = database.handover().filter(|handover| handover.to.key == server.key);
    if given.is_none() {
        let Some(wanted) = app.roles.wanted(&name, &server.key) else {
            return Ok(stands(HandoverState::None));
        };
        app.roles.change(&name, |switchover| switchover.asked = true);
        let ends = database.resume();
        let lacks: u64 = ends
            .iter()
            .zip(&asked.positions)
            .map(|((_, end, _), at)| end.sequence.saturating_sub(at.sequence))
            .sum();
        if lacks > NEAR_ENTRIES || ends.len() != asked.positions.len() {
            return Ok(stands(HandoverState::Behind));
        }
        let at_most = HOLD_MAX.min(wanted.until.saturating_duration_since(Instant::now()));
        let held = database.clone();
        app.roles
            .change(&name, |switchover| switchover.held = switchover.held.or_else(|| Some(Instant::now())));
        let held = app.blocking(move || held.hold_writes(at_most)).await?;
        if held.positions != asked.positions {
            let answer = HandoverAnswer {
                state: HandoverState::Held,
                positions: held.positions,
                handover: None,
                epochs: Vec::new(),
            };
            return Ok(Json(answer).into_response());
        }
    }
    let Some(url) = server.url.clone() else {
        return Err(Code::BodyInvalid.because("server.url: where the new primary can be followed"));
    };
    let (keeper, of) = (app.clone(), name.clone());
    let stepping = database.clone();
    let step_down = move || -> Result<_, Refused> {
        // First where to follow, then the role: a crash in between leaves a primary that has a note.
        links::follow(&keeper, &of, &url, &asked.token).map_err(|error| failed(&error))?;
        match given {
            Some(given) => Ok(given),
            None => Ok(stepping.step_down(server, asked.positions)?),
        }
    };
    let handover = app.blocking(step_down).await?;
    app.roles.changed();
    let answer = HandoverAnswer {
        state: HandoverState::Given,
        positions: handover.positions.clone(),
        handover: Some(shape::handover(handover)),
        epochs: shape::epochs(&database),
    };
    Ok(Json(answer).into_response())
}

fn stands(state: HandoverState) -> axum::response::Response {
    let answer = HandoverAnswer { state, positions: Vec::new(), handover: None, epochs: Vec::new() };
    Json(answer).into_response()
}

/// A primary says that it is one: whoever believed to be one becomes its replica.
pub(super) async fn epoch(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let notice: EpochNotice = json::whole(&app, &headers, body, REPORT_BYTES_MAX).await?;
    let (keeper, told) = (app.clone(), database.clone());
    let hear = move || -> Result<bool, Refused> {
        told.learn(shape::engine_epochs(notice.epochs))?;
        let is_primary = told.primary().key == notice.server.key;
        let was_primary = told.fenced().is_some_and(|fenced| fenced.seen > fenced.epoch);
        let handed = told.handover().is_some();
        if !is_primary || !(was_primary || handed) {
            return Ok(false);
        }
        if let Some(url) = &notice.server.url {
            links::follow(&keeper, told.name(), url, &notice.token).map_err(|error| failed(&error))?;
        }
        if was_primary {
            told.become_replica()?;
        }
        told.confirm_handover(&notice.server.key)?;
        Ok(true)
    };
    if app.blocking(hear).await? {
        app.roles.changed();
    }
    Ok(Json(answer_of(&database)).into_response())
}
