//! A copy that is to become primary asks its source for the role, reaches its end, and begins the epoch.

use std::time::Duration;

use tokio::time::Instant;

use apograph::Database;
use apograph::database::roles::{EpochStart, Handover, Promote};
use apograph_client::Client;
use apograph_client::types::{HandoverAnswer, HandoverRequest, HandoverState};
use apograph_format::Position;

use crate::app::App;
use crate::limits::SOURCE_TIMEOUT;
use crate::roles::own_link_token;
use crate::routes::shape;

/// How long a copy tries.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between questions while the copy is far behind.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it looks whether it arrived.
const LOOK: Duration = Duration::from_millis(2);
/// A source that holds its writes is asked again after so long, so that it knows that somebody still wants the role.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A copy that is to become primary.
pub(super) struct Takeover {
    pub(super) app: App,
    pub(super) database: Database,
    pub(super) client: Client,
    /// The database's name there.
    pub(super) there: String,
}

impl Takeover {
    /// Runs until the role is here, or nobody wants that any more.
    pub(super) async fn run(self) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let answer = match self.ask().await {
                Ok(answer) => answer,
                Err(reason) => {
                    // What was given meanwhile the next greeting says.
                    tracing::warn!(reason, "the role of primary was not given");
                    return;
                }
            };
            match answer.state {
                HandoverState::None => return,
                HandoverState::Behind => tokio::time::sleep(PAUSE).await,
                HandoverState::Held => self.reach(&answer.positions).await,
                HandoverState::Given => return self.begin(answer).await,
            }
        }
    }

    async fn ask(&self) -> Result<HandoverAnswer, String> {
        let token = own_link_token(self.app.folder.path()).map_err(|error| error.to_string())?;
        let server = shape::identity(self.app.folder.identity());
        let request = HandoverRequest { server, positions: ends(&self.database), token };
        match tokio::time::timeout(SOURCE_TIMEOUT, self.client.handover(&self.there, &request)).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    /// Waits, a while, until the streams brought everything.
    async fn reach(&self, positions: &[Position]) {
        let begun = Instant::now();
        while begun.elapsed() < ASK_AGAIN && ends(&self.database) != positions {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn begin(self, answer: HandoverAnswer) {
        let Some(handover) = answer.handover.map(shape::engine_handover) else { return };
        begin(&self.app, &self.database, shape::engine_epochs(answer.epochs), handover).await;
    }
}

/// Uses the right that the former primary gave.
pub(super) async fn begin(app: &App, database: &Database, epochs: Vec<EpochStart>, handover: Handover) {
    let (name, from) = (database.name().to_owned(), database.primary().name);
    let database = database.clone();
    let promoted = tokio::task::spawn_blocking(move || {
        database.learn(epochs)?;
        let reason = format!("switchover from {from}");
        database.promote(Promote { reason, handover: Some(handover), ..Promote::default() })
    });
    match promoted.await {
        Ok(Ok(promoted)) => {
            tracing::info!(database = name, epoch = %promoted.epoch, "this server took over");
            app.roles.changed();
        }
        Ok(Err(error)) => tracing::error!(database = name, %error, "this server could not take over"),
        Err(error) => tracing::error!(database = name, %error, "this server could not take over"),
    }
}

/// Where every partition ends.
fn ends(database: &Database) -> Vec<Position> {
    database.resume().into_iter().map(|(_, end, _)| end).collect()
}
