//! Who is primary, and how that changes: `POST /v1/databases/{db}/promote|epoch`, `PUT …/source`. A planned change: `switchover.rs`.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;

use apograph::database::roles::{Promote, PromotionPlan, RoleError};
use apograph::{Database, Role};
use apograph_client::types::{
    CutTransaction, EpochAnswer, EpochNotice, FollowRequest, LinkState, PromoteRequest, PromotionAnswer,
    PromotionBlock, PromotionOther, PromotionPartition,
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
    let mut answer = plan_answer(&app, &database, plan);
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
    let keeper = app.clone();
    // Links hear of it though whoever asked is gone before it is done; so everywhere that roles change.
    let promoted = move || database.promote(order).inspect(|_| keeper.roles.changed());
    let promoted = app.blocking(promoted).await?;
    answer.promoted = true;
    answer.blocks = Vec::new();
    (answer.next_epoch, answer.base) = (promoted.epoch, promoted.base);
    Ok(Json(answer).into_response())
}

fn plan_answer(app: &App, database: &Database, plan: PromotionPlan) -> PromotionAnswer {
    let name = database.name();
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
    let others = app
        .board
        .copies(name, database.partitioning().count())
        .into_iter()
        .filter(|(.., at)| is_recent(*at))
        .map(|(server, visible, _, _)| PromotionOther {
            name: server.name,
            visible,
            has_more: visible > plan.base,
        });
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
        told.become_replica()?;
        keeper.roles.changed();
        Ok(())
    };
    app.blocking(change).await?;
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

/// A primary says that it is one: whoever believed to be one becomes its replica.
pub(super) async fn epoch(
    State(app): State<App>,
    InDatabase(database): InDatabase,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let notice: EpochNotice = json::whole(&app, &headers, body, REPORT_BYTES_MAX).await?;
    let (keeper, told) = (app.clone(), database.clone());
    let hear = move || -> Result<(), Refused> {
        told.learn(shape::engine_epochs(notice.epochs))?;
        let is_primary = told.primary().key == notice.server.key;
        let was_primary = told.fenced().is_some_and(|fenced| fenced.seen > fenced.epoch);
        let handed = told.handover().is_some();
        if !is_primary || !(was_primary || handed) {
            return Ok(());
        }
        if let Some(url) = &notice.server.url {
            links::follow(&keeper, told.name(), url, &notice.token).map_err(|error| failed(&error))?;
        }
        if was_primary {
            told.become_replica()?;
        }
        told.confirm_handover(&notice.server.key)?;
        keeper.roles.changed();
        Ok(())
    };
    app.blocking(hear).await?;
    Ok(Json(answer_of(&database)).into_response())
}
