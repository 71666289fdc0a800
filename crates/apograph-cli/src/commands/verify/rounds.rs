//! Catching two servers at one timestamp.

use std::time::Duration;

use apograph_client::format::View;
use apograph_client::types::{DatabaseStatus, Status, ViewStatus};

use super::Side;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::progress;

/// Between two looks: a copy that follows needs milliseconds, one that catches up needs some seconds.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The digests of both at one timestamp.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) one: ViewStatus,
    pub(super) other: ViewStatus,
}

/// Looks at both until they stand at one timestamp.
pub(super) async fn meet(
    global: &Global,
    one: &Side,
    other: &Side,
    view: Option<View>,
    rounds: u32,
) -> Result<Pair, Failure> {
    let bar = progress::count(global.output, "waiting for both at one timestamp", Some(u64::from(rounds)));
    let mut pause = PAUSE_MIN;
    let mut last = String::new();
    for _ in 0..rounds.max(1) {
        let (here, there) = tokio::join!(one.client.status(), other.client.status());
        let (here, there) = (here?, there?);
        let (here, there) = (one.find(&here)?, other.find(&there)?);
        let pair = pair(here, there, view)?;
        if pair.one.at == pair.other.at {
            bar.finish_and_clear();
            return Ok(pair);
        }
        last = format!("{} here and {} there", pair.one.at, pair.other.at);
        bar.inc(1);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    bar.finish_and_clear();
    Err(Failure::Local {
        what: "the two never stood at one timestamp".to_owned(),
        source: format!("they are at {last} after {rounds} rounds").into(),
        next: Some(
            "see `apograph status` for the copy's link; give more --rounds, or pause the edits".to_owned(),
        ),
    })
}

impl Pair {
    /// Partitions whose digests differ.
    pub(super) fn differing(&self) -> Vec<usize> {
        let partitions = self.one.partitions.len().max(self.other.partitions.len());
        let same = |index: &usize| self.one.partitions.get(*index) == self.other.partitions.get(*index);
        (0..partitions).filter(|index| !same(index)).collect()
    }
}

fn pair(here: &DatabaseStatus, there: &DatabaseStatus, view: Option<View>) -> Result<Pair, Failure> {
    if here.id != there.id {
        return Err(Failure::Usage(format!(
            "these are two databases, not one: {} here, {} there",
            here.id, there.id
        )));
    }
    let views =
        [View::Full, View::Published].into_iter().filter(|known| view.is_none_or(|view| view == *known));
    for view in views {
        if let (Some(one), Some(other)) = (here.view(view), there.view(view)) {
            return Ok(Pair { one: one.clone(), other: other.clone() });
        }
    }
    Err(Failure::Usage("the two servers hold no view in common that was asked for".to_owned()))
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
