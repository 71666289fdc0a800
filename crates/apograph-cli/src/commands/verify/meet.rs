//! Digests of two servers at one timestamp, while both go on.

use std::time::Duration;

use apograph_client::ClientError;
use apograph_client::format::{Partitioning, Timestamp, Token, Uri, View, digest};
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
    /// The partitions that both hold, if one of them does not hold all.
    pub(super) common: Option<Vec<u16>>,
    /// How many partitions the database has.
    count: usize,
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
    let count = [here, there].map(|of| of.partitioning.map_or(of.partitions.len(), usize::from));
    let count = count.into_iter().max().unwrap_or_default();
    let held = [here, there].map(|of| of.partitions.iter().map(|of| of.partition.0).collect::<Vec<u16>>());
    let epoch = here.epoch.min(there.epoch);
    let at = |timestamp: Timestamp| Token { epoch, timestamp };
    match digests(one, other, view, at(here.visible.max(there.visible)), wait).await {
        Ok((one, other)) => Pair { one, other, behind: false, common: None, count }.of_common(held),
        Err(ClientError::Problem(problem)) if problem.code == "not-reached" => {
            let both = at(here.visible.min(there.visible));
            let (one, other) = digests(one, other, view, both, wait).await?;
            Pair { one, other, behind: true, common: None, count }.of_common(held)
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
        let number = |index: usize| match &self.common {
            Some(common) => common.get(index).map_or(index, |number| usize::from(*number)),
            None => index,
        };
        (0..partitions).filter(|index| !same(index)).map(number).collect()
    }

    /// Is a document in one of the partitions that both hold?
    pub(super) fn check_common(&self, uri: &Uri, common: &[u16]) -> Result<(), Failure> {
        let partitioning = Partitioning::new(u16::try_from(self.count).unwrap_or(u16::MAX));
        let partition = partitioning.map_err(|error| Failure::Usage(error.to_string()))?.of(uri);
        match common.contains(&partition.0) {
            true => Ok(()),
            false => Err(Failure::Usage(format!(
                "{uri} is in partition {partition}, and the two servers have partitions {common:?} in common"
            ))),
        }
    }

    /// What both hold, where one of them does not hold all partitions: digests of those only.
    fn of_common(mut self, held: [Vec<u16>; 2]) -> Result<Pair, Failure> {
        let [here, there] = held;
        if here.len() == self.count && there.len() == self.count {
            return Ok(self);
        }
        let common: Vec<u16> = here.iter().copied().filter(|number| there.contains(number)).collect();
        if common.is_empty() {
            return Err(Failure::Usage(format!(
                "the two servers hold no partition in common: {here:?} here, {there:?} there"
            )));
        }
        keep(&mut self.one, &here, &common);
        keep(&mut self.other, &there, &common);
        // Who holds just those knows how many documents they are.
        let documents = if there == common { self.other.documents } else { self.one.documents };
        (self.one.documents, self.other.documents) = (documents, documents);
        self.common = Some(common);
        Ok(self)
    }
}

/// Leaves the digests of these partitions.
fn keep(status: &mut ViewStatus, held: &[u16], common: &[u16]) {
    let is_common = |index: usize| held.get(index).is_some_and(|number| common.contains(number));
    let kept = status.partitions.iter().enumerate().filter(|(index, _)| is_common(*index));
    status.partitions = kept.map(|(_, digest)| *digest).collect();
    status.digest = digest::combine(&status.partitions);
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
