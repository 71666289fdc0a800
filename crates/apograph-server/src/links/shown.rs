//! Decisions of a link in the shapes that travel.

use apograph_client::types::{LinkForecast, LinkProgress, LinkState};
use apograph_format::Timestamp;
use apograph_replication::forecast::{Forecast, Leaves, Limit};
use apograph_replication::link::State;
use apograph_replication::sync::{Phase, SyncProgress};

pub(super) fn state(state: State) -> LinkState {
    match state {
        State::Connecting => LinkState::Connecting,
        State::Following => LinkState::Following,
        State::Synchronizing(Phase::Planning) => LinkState::Planning,
        State::Synchronizing(Phase::Transferring) => LinkState::Transferring,
        State::Synchronizing(Phase::Installing) => LinkState::Installing,
        State::Waiting => LinkState::Waiting,
        State::Paused => LinkState::Paused,
        State::Stopped(reason) if reason.is_skew() => LinkState::Paused,
        State::Stopped(_) => LinkState::Stopped,
    }
}

pub(super) fn progress(progress: &SyncProgress) -> LinkProgress {
    LinkProgress {
        phase: progress.phase.as_str().to_owned(),
        reason: progress.reason.as_str().to_owned(),
        round: progress.round,
        snapshot: Some(progress.snapshot).filter(|snapshot| *snapshot > Timestamp::ZERO),
        documents_done: progress.documents_done,
        documents_total: progress.documents_total,
        bytes_received: progress.bytes_received,
        bytes_total: progress.bytes_total,
        documents_per_second: progress.documents_per_second,
        bytes_per_second: progress.bytes_per_second,
        seconds_left: progress.seconds_left,
        requests: progress.requests,
        since: progress.since_us,
    }
}

pub(super) fn forecast(forecast: &Forecast) -> LinkForecast {
    let (leaves_in_s, limit) = match forecast.leaves {
        Leaves::IsOut | Leaves::Never => (None, None),
        Leaves::In(after, Limit::Bytes) => (Some(after.as_secs()), Some("bytes")),
        Leaves::In(after, Limit::Age) => (Some(after.as_secs()), Some("age")),
    };
    LinkForecast {
        is_out: forecast.leaves == Leaves::IsOut,
        leaves_in_s,
        limit: limit.map(str::to_owned),
        missing_bytes: forecast.missing_bytes,
        cost_bytes: forecast.cost_bytes,
        is_estimate: forecast.is_estimate,
        written_bytes_per_second: forecast.bytes_per_second,
    }
}
