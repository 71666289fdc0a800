//! Digests of two servers at one timestamp, while both go on.

use std::time::Duration;

use apograph_client::ClientError;
use apograph_client::format::{Timestamp, Token, View};
use apograph_client::types::{DatabaseStatus, Status, ViewStatus};

use super::Side;
use crate::failure::Failure;

/// The digests of both at one timestamp.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) one: ViewStatus,
    pub(super) other: ViewStatus,
    /// The newest of the two states was not reached by the other one in time.
    pub(super) behind: bool,
}

/// Compares at the newest timestamp that either shows, and gives the other one `wait` to reach it; after that at the
/// newest one that both show.
pub(super) async fn meet(
    one: &Side,
    other: &Side,
    view: Option<View>,
    wait: Duration,
) -> Result<Pair, Failure> {
    let (here, there) = tokio::join!(one.client.status(), other.client.status());
    let (here, there) = (here?, there?);
    let (here, there) = (one.find(&here)?, other.find(&there)?);
    let view = common_view(here, there, view)?;
    let epoch = here.epoch.min(there.epoch);
    let at = |timestamp: Timestamp| Token { epoch, timestamp };
    match digests(one, other, view, at(here.visible.max(there.visible)), wait).await {
        Ok((one, other)) => Ok(Pair { one, other, behind: false }),
        Err(ClientError::Problem(problem)) if problem.code == "not-reached" => {
            let both = at(here.visible.min(there.visible));
            let (one, other) = digests(one, other, view, both, wait).await?;
            Ok(Pair { one, other, behind: true })
        }
        Err(error) => Err(error.into()),
    }
}

async fn digests(
    one: &Side,
    other: &Side,
    view: View,
    at: Token,
    wait: Duration,
) -> Result<(ViewStatus, ViewStatus), ClientError> {
    tokio::try_join!(
        one.client.digest(&one.database, view, at, wait),
        other.client.digest(&other.database, view, at, wait)
    )
}

impl Pair {
    /// Partitions whose digests differ.
    pub(super) fn differing(&self) -> Vec<usize> {
        let partitions = self.one.partitions.len().max(self.other.partitions.len());
        let same = |index: &usize| self.one.partitions.get(*index) == self.other.partitions.get(*index);
        (0..partitions).filter(|index| !same(index)).collect()
    }
}

fn common_view(here: &DatabaseStatus, there: &DatabaseStatus, view: Option<View>) -> Result<View, Failure> {
    if here.id != there.id {
        return Err(Failure::Usage(format!(
            "these are two databases, not one: {} here, {} there",
            here.id, there.id
        )));
    }
    let mut views = [View::Full, View::Published].into_iter();
    let common = views.find(|known| {
        view.is_none_or(|view| view == *known) && here.view(*known).is_some() && there.view(*known).is_some()
    });
    common
        .ok_or_else(|| Failure::Usage("the two servers hold no view in common that was asked for".to_owned()))
}

impl Side {
    fn find<'a>(&self, status: &'a Status) -> Result<&'a DatabaseStatus, Failure> {
        status.database(&self.database).ok_or_else(|| Failure::Local {
            what: format!("{} has no database {:?}", self.client.url(), self.database),
            source: "it does not exist, or the copy has not met its source yet".into(),
            next: Some(format!("see `apograph status --server {}`", self.client.url())),
        })
    }
}
