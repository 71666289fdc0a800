//! A copy that is to become primary asks its source for the role, reaches its end, and begins the epoch.

use std::time::Duration;

use tokio::time::Instant;

use apograph::Database;
use apograph::database::roles::{EpochStart, Handover, Promote};
use apograph_client::Client;
use apograph_client::types::{HandoverAnswer, HandoverRequest};
use apograph_format::Position;
use apograph_replication::switchover::{Step, Taking};

use crate::app::App;
use crate::limits::SOURCE_TIMEOUT;
use crate::roles::own_link_token;
use crate::routes::shape;

/// How often it looks whether it arrived.
const LOOK: Duration = Duration::from_millis(2);

/// A copy that is to become primary.
pub(super) struct Takeover {
    pub(super) app: App,
    pub(super) database: Database,
    pub(super) client: Client,
    /// The database's name there.
    pub(super) there: String,
}

impl Takeover {
    /// Runs until the role is here, or nobody wants that any more. What comes next `apograph_replication::switchover` decides.
    pub(super) async fn run(self) {
        let begun = Instant::now();
        let taking = Taking::new(Duration::ZERO);
        let mut step = taking.due(begun.elapsed());
        let mut answer = None;
        loop {
            step = match step {
                Step::Ask => {
                    answer = match self.ask().await {
                        Ok(answer) => Some(answer),
                        Err(reason) => {
                            tracing::warn!(reason, "the role of primary was not given");
                            None
                        }
                    };
                    taking.answered(answer.as_ref().map(|answer| shape::handover_word(answer.state)))
                }
                Step::Wait { after } => {
                    tokio::time::sleep(after).await;
                    taking.due(begun.elapsed())
                }
                Step::Reach { at_most } => {
                    let positions = answer.take().map(|answer| answer.positions).unwrap_or_default();
                    self.reach(&positions, at_most).await;
                    taking.due(begun.elapsed())
                }
                Step::Begin => {
                    let Some(answer) = answer else { return };
                    return self.begin(answer).await;
                }
                Step::Stop => return,
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
    async fn reach(&self, positions: &[Position], at_most: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < at_most && ends(&self.database) != positions {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn begin(self, answer: HandoverAnswer) {
        let Some(handover) = answer.handover.map(shape::engine_handover) else { return };
        // One that fails is tried again by the next report, or greeting.
        let _ = begin(&self.app, &self.database, shape::engine_epochs(answer.epochs), handover).await;
    }
}

/// Uses the right that the former primary gave. Answers why it could not.
pub(super) async fn begin(
    app: &App,
    database: &Database,
    epochs: Vec<EpochStart>,
    handover: Handover,
) -> Result<(), String> {
    let (name, from) = (database.name().to_owned(), database.primary().name);
    let (keeper, database) = (app.clone(), database.clone());
    let promoted = tokio::task::spawn_blocking(move || {
        database.learn(epochs)?;
        let reason = format!("switchover from {from}");
        let promoted = database.promote(Promote { reason, handover: Some(handover), ..Promote::default() });
        promoted.inspect(|_| keeper.roles.changed())
    });
    let reason = match promoted.await {
        Ok(Ok(promoted)) => {
            tracing::info!(database = name, epoch = %promoted.epoch, "this server took over");
            return Ok(());
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(database = name, reason, "this server could not take over");
    Err(reason)
}

/// Where every partition ends.
fn ends(database: &Database) -> Vec<Position> {
    database.resume().into_iter().map(|(_, end, _)| end).collect()
}
