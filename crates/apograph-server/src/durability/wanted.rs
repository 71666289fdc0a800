//! How durable a write is to be: what its request says in headers, else what the database's settings say.

use std::time::Duration;

use axum::http::HeaderMap;

use apograph::Database;
use apograph_client::header;
use apograph_format::Durability;

use crate::app::App;
use crate::limits::{DURABILITY_WITHIN, DURABILITY_WITHIN_MAX};
use crate::problem::{Code, Refused};

/// How durable a write is to be, and how long its answer may wait for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) durability: Durability,
    pub(crate) within: Duration,
}

impl Wanted {
    /// What a request wants.
    pub(crate) fn of(app: &App, database: &Database, headers: &HeaderMap) -> Result<Wanted, Refused> {
        let settings = app.folder.settings().databases.get(database.name());
        let asked = text(headers, header::DURABILITY)?.map(str::parse::<Durability>).transpose();
        let asked = asked.map_err(|error| refused(header::DURABILITY, error))?;
        let durability = asked.or(settings.and_then(|settings| settings.durability)).unwrap_or_default();
        let set = settings.and_then(|settings| settings.durability_within_seconds);
        let set = set.map_or(DURABILITY_WITHIN, |seconds| Duration::from_secs(seconds.get()));
        let within = text(headers, header::WITHIN)?.map(seconds).transpose()?;
        Ok(Wanted { durability, within: within.unwrap_or(set.min(DURABILITY_WITHIN_MAX)) })
    }
}

fn seconds(text: &str) -> Result<Duration, Refused> {
    let within = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    within.filter(|within| *within <= DURABILITY_WITHIN_MAX).ok_or_else(|| {
        let expected = format!("expected seconds, at most {}", DURABILITY_WITHIN_MAX.as_secs());
        refused(header::WITHIN, format!("{expected}, found {text:?}"))
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refused> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(refused(name, "it is given twice"));
    }
    let value = first.map(|value| value.to_str()).transpose();
    Ok(value.map_err(|_| refused(name, "it is not text"))?.map(str::trim))
}

fn refused(name: &str, detail: impl std::fmt::Display) -> Refused {
    Code::HeaderInvalid.because(format!("{name}: {detail}"))
}
