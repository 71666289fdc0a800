//! A server that became primary tells the one it followed before: that one may come back and believe to be primary
//! still. It is told until it understood.

use std::time::Duration;

use apograph::Database;
use apograph::settings::SourceSettings;
use apograph_client::types::EpochNotice;
use apograph_format::Epoch;

use super::greet;
use crate::app::App;
use crate::roles::own_link_token;
use crate::routes::shape;

/// The first wait between attempts; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest: a former primary that comes back acknowledges until it is told, and all of that becomes orphans.
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// One attempt: a machine that is gone answers nothing, and may be back a moment later.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Runs until the former source knows; never for a primary that was always one.
pub(super) async fn tell(app: App, database: Database, source: SourceSettings) {
    if database.epoch() <= Epoch::FIRST || database.fenced().is_some() {
        return;
    }
    let there = source.database.clone().unwrap_or_else(|| database.name().to_owned());
    let mut pause = PAUSE_MIN;
    loop {
        match attempt(&app, &database, &source, &there).await {
            Ok(()) => return tracing::info!(url = source.url, "the former primary knows who is primary now"),
            Err(reason) => tracing::debug!(url = source.url, reason, "the former primary was not told"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn attempt(app: &App, database: &Database, source: &SourceSettings, there: &str) -> Result<(), String> {
    let client = greet::client(app.folder.path(), source).map_err(|refusal| refusal.detail)?;
    let token = own_link_token(app.folder.path()).map_err(|error| error.to_string())?;
    let server = shape::identity(app.folder.identity());
    let notice = EpochNotice { server, epochs: shape::epochs(database), token };
    match tokio::time::timeout(ANSWER_MAX, client.epoch_notice(there, &notice)).await {
        Ok(Ok(answer)) if answer.epoch > database.epoch_seen() => {
            // Then this server is none any more, and takes no writes from here on.
            let (learner, epochs) = (database.clone(), shape::engine_epochs(answer.epochs));
            let learned = tokio::task::spawn_blocking(move || learner.learn(epochs)).await;
            match learned {
                Ok(Ok(())) if database.fenced().is_some() => Ok(()),
                _ => Err(format!("it knows epoch {}, a later one", answer.epoch)),
            }
        }
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}
