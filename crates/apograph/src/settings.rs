//! What a server is told, in `server.json`. Everything that is not there has a default.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use apograph_format::{Durability, Timestamp};

use crate::Role;

/// Settings of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// For people.
    pub name: String,
    /// Address and port it listens on.
    pub listen: String,
    /// How others reach it; `http://` and the address it listens on when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Backups are written below this folder; relative to the data folder. `backups` in it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_folder: Option<PathBuf>,
    /// Its databases by name.
    pub databases: BTreeMap<String, DatabaseSettings>,
}

/// Settings of one database of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// What the server is for it at the start.
    pub role: Role,
    /// How many partitions a new database gets; copies take it from their source.
    #[serde(default = "one")]
    pub partitions: u16,
    /// A replica that is new holds these partitions only; all of them when absent. More are taken in while it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_partitions: Option<Vec<u16>>,
    /// Where a copy gets it from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceSettings>,
    /// A segment of the journal is closed at this size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_bytes_max: Option<u64>,
    /// A segment of the journal is closed at this age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_age_max_seconds: Option<u64>,
    /// The journal of a partition is kept up to this size; none keeps everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_bytes_max: Option<u64>,
    /// The journal is kept up to this age; none keeps everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_age_max_seconds: Option<u64>,
    /// Reads of the past reach back this far; none means to the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_age_max_seconds: Option<u64>,
    /// Memory of the store for writes, all partitions together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_memory_bytes: Option<u64>,
    /// Memory of the store for reads, all partitions together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_memory_bytes: Option<u64>,
    /// A write that takes as long is told in the log, with where its time went; zero tells none. 1,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_write_ms: Option<u64>,
    /// How durable a write is before it is answered, if its request does not say; `local` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// How long an answer waits for that, if its request does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability_within_seconds: Option<NonZeroU64>,
}

/// Where a copy gets a database from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// URL of the source.
    pub url: String,
    /// File that holds the token for it; relative to the data folder.
    pub token_file: PathBuf,
    /// Its name there, when it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// A synchronization leaves out documents that were not changed since this date.
    #[serde(default, with = "date", skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Newest versions of every document that one synchronization brings; zero brings all. 10,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_versions: Option<u64>,
    /// Bytes per second that the link may bring in; none is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle_bytes_per_second: Option<NonZeroU64>,
    /// A synchronization waits until somebody approved it in `sync-request.json`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub review: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Dates as people write them.
mod date {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use apograph_format::Timestamp;
    use apograph_format::timestamp::parse_date;

    pub(super) fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => to.serialize_str(&at.to_rfc3339()),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| parse_date(&text)).transpose().map_err(de::Error::custom)
    }
}

impl SourceSettings {
    /// Settings with all defaults.
    pub fn new(url: impl Into<String>, token_file: impl Into<PathBuf>) -> SourceSettings {
        SourceSettings {
            url: url.into(),
            token_file: token_file.into(),
            database: None,
            since: None,
            max_versions: None,
            throttle_bytes_per_second: None,
            review: false,
        }
    }
}

fn one() -> u16 {
    1
}

impl ServerSettings {
    /// How others reach the server.
    pub fn public_url(&self) -> String {
        self.url.clone().unwrap_or_else(|| format!("http://{}", self.listen))
    }
}

impl DatabaseSettings {
    /// Settings with all defaults.
    pub fn new(role: Role) -> DatabaseSettings {
        DatabaseSettings {
            role,
            partitions: 1,
            held_partitions: None,
            source: None,
            segment_bytes_max: None,
            segment_age_max_seconds: None,
            retention_bytes_max: None,
            retention_age_max_seconds: None,
            history_age_max_seconds: None,
            write_memory_bytes: None,
            read_memory_bytes: None,
            slow_write_ms: None,
            durability: None,
            durability_within_seconds: None,
        }
    }

    pub(crate) fn journal_options(&self, partitions: u16, role: Role) -> apograph_journal::Options {
        let default = apograph_journal::Options::default();
        apograph_journal::Options {
            segment_bytes_max: self.segment_bytes_max.unwrap_or(default.segment_bytes_max),
            segment_age_max: self
                .segment_age_max_seconds
                .map_or(default.segment_age_max, Duration::from_secs),
            tail_bytes_max: share(default.tail_bytes_max, partitions, 256 << 10),
            ahead_bytes: share(default.ahead_bytes, partitions, 64 << 10),
            is_copy: role != Role::Primary,
        }
    }

    pub(crate) fn store_options(&self, partitions: u16) -> apograph_store::StoreOptions {
        let default = apograph_store::engine::LsmOptions::default();
        let write_memory = self.write_memory_bytes.unwrap_or(default.memtable_bytes);
        let read_memory = self.read_memory_bytes.unwrap_or(default.cache_bytes);
        apograph_store::StoreOptions {
            engine: apograph_store::engine::LsmOptions {
                memtable_bytes: share(write_memory, partitions, 1 << 20),
                cache_bytes: share(read_memory, partitions, 1 << 20),
                ..default
            },
        }
    }

    /// Where reads of the past should begin, if that is worth a write: a hundredth of the age, and a minute, later than
    /// now they do.
    pub(crate) fn horizon(&self, now: Timestamp, present: Timestamp) -> Option<Timestamp> {
        let age_us = self.history_age_max_seconds?.saturating_mul(1_000_000);
        let wanted = Timestamp(now.0.saturating_sub(age_us));
        let step_us = (age_us / 100).max(60_000_000);
        (wanted.0 > present.0.saturating_add(step_us)).then_some(wanted)
    }

    /// A write that takes as long is told in the log.
    pub(crate) fn slow_write(&self) -> Duration {
        Duration::from_millis(self.slow_write_ms.unwrap_or(SLOW_WRITE_MS))
    }

    pub(crate) fn retention(&self, now: Timestamp, needed: u64) -> apograph_journal::Retention {
        apograph_journal::Retention {
            bytes_max: self.retention_bytes_max.unwrap_or(u64::MAX),
            age_max: self.retention_age_max_seconds.map(Duration::from_secs),
            now,
            not_beyond: needed,
        }
    }
}

/// Slower than anything on a disk that is well and has room.
const SLOW_WRITE_MS: u64 = 1_000;

/// A budget of the database, shared by its partitions.
fn share(bytes: u64, partitions: u16, least: u64) -> u64 {
    (bytes / u64::from(partitions)).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_with_dates() {
        let text =
            r#"{"url":"http://a","token_file":"t","since":"2026-01-31","max_versions":0,"review":true}"#;
        let settings: SourceSettings = serde_json::from_str(text).unwrap();
        assert_eq!(settings.since.map(Timestamp::to_rfc3339).as_deref(), Some("2026-01-31T00:00:00Z"));
        assert_eq!((settings.max_versions, settings.review), (Some(0), true));
        let again = serde_json::from_str(&serde_json::to_string(&settings).unwrap()).unwrap();
        assert_eq!(settings, again);
        let plain = serde_json::to_string(&SourceSettings::new("http://a", "t")).unwrap();
        assert_eq!(plain, r#"{"url":"http://a","token_file":"t"}"#);
        for bad in [r#""since":"soon""#, r#""throttle_bytes_per_second":0"#, r#""max_versions":-1"#] {
            let text = format!(r#"{{"url":"http://a","token_file":"t",{bad}}}"#);
            assert!(serde_json::from_str::<SourceSettings>(&text).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_horizon_moves_in_steps() {
        let mut settings = DatabaseSettings::new(Role::Primary);
        let (now, minute) = (Timestamp(1_000_000_000_000_000), 60_000_000);
        assert_eq!(settings.horizon(now, Timestamp::ZERO), None);
        settings.history_age_max_seconds = Some(3600);
        let wanted = Timestamp(now.0 - 60 * minute);
        assert_eq!(settings.horizon(now, Timestamp::ZERO), Some(wanted));
        assert_eq!(
            settings.horizon(now, Timestamp(wanted.0 - minute)),
            None,
            "an idle database writes nothing"
        );
        assert_eq!(settings.horizon(now, Timestamp(wanted.0 - 2 * minute)), Some(wanted));
    }
}
