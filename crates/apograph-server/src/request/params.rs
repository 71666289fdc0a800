//! Query parameters: unknown, repeated and malformed ones are refused.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use apograph_format::{Participants, PartitionId};

use crate::app::App;
use crate::problem::{Code, Refused};

/// The query parameters of a route.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Refused> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        let query = query.map_err(|error| Code::QueryInvalid.because(error.body_text()))?;
        Ok(Params(query.0))
    }
}

/// The value of one parameter, refused with its name.
pub(crate) fn parse<T>(name: &str, value: Option<&str>) -> Result<Option<T>, Refused>
where
    T: FromStr,
    T::Err: Display,
{
    let parsed = value.map(str::parse).transpose();
    parsed.map_err(|error: T::Err| Code::QueryInvalid.because(format!("{name}: {error}")))
}

/// Numbers of partitions, with commas between them. Each counts once.
pub(crate) fn partitions(asked: &str, count: u16) -> Result<Participants, Refused> {
    let number = |number: &str| match number.trim().parse() {
        Ok(number) if number < count => Ok(PartitionId(number)),
        _ => Err(Code::NoSuchPartition.because(format!("{number:?} is no number of a partition"))),
    };
    asked.split(',').map(number).collect()
}
