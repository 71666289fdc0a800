//! Databases and documents in the path. Percent-encoding is undone exactly once.

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use apograph::Database;
use apograph_format::{PartitionId, Uri};

use crate::app::App;
use crate::problem::{Code, Refused};

/// `/v1/databases/{db}/…`
pub(crate) struct InDatabase(pub(crate) Database);

/// `/v1/databases/{db}/…` of a database that need not be open: a copy's is not before its first contact.
pub(crate) struct Named(pub(crate) String);

/// `/v1/databases/{db}/documents/{uri…}` and its siblings.
pub(crate) struct AtDocument {
    pub(crate) database: Database,
    pub(crate) uri: Uri,
}

/// A document of a database that may not be there yet.
pub(crate) struct OfDocument {
    pub(crate) name: String,
    /// `None` for a copy that has not met its source yet.
    pub(crate) database: Option<Database>,
    pub(crate) uri: Uri,
}

/// `/v1/databases/{db}/partitions/{p}/…`
pub(crate) struct InPartition {
    pub(crate) database: Database,
    pub(crate) partition: PartitionId,
}

/// `/v1/databases/{db}/cursors/{name}`
pub(crate) struct AtName {
    pub(crate) database: Database,
    pub(crate) name: String,
}

impl FromRequestParts<App> for InDatabase {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let path = Pieces::of(parts)?;
        Ok(InDatabase(app.database(&path.database)?))
    }
}

impl FromRequestParts<App> for Named {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let path = Pieces::of(parts)?;
        match app.database(&path.database) {
            Err(refused) if !app.folder.settings().databases.contains_key(&path.database) => Err(refused),
            Ok(_) | Err(_) => Ok(Named(path.database)),
        }
    }
}

impl FromRequestParts<App> for AtDocument {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let path = Pieces::of(parts)?;
        let uri = uri_of(&path.rest)?;
        let database = app.database(&path.database)?;
        check_held(parts, &database, &uri)?;
        Ok(AtDocument { database, uri })
    }
}

impl FromRequestParts<App> for OfDocument {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let path = Pieces::of(parts)?;
        let uri = uri_of(&path.rest)?;
        let database = app.database_if_met(&path.database)?;
        if let Some(database) = &database {
            check_held(parts, database, &uri)?;
        }
        Ok(OfDocument { name: path.database, database, uri })
    }
}

impl FromRequestParts<App> for InPartition {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let path = Pieces::of(parts)?;
        let number = path.rest.split('/').next().unwrap_or_default();
        let partition = number.parse().map(PartitionId);
        let partition = partition
            .map_err(|_| Code::NoSuchPartition.because(format!("{number:?} is no number of a partition")))?;
        Ok(InPartition { database: app.database(&path.database)?, partition })
    }
}

impl FromRequestParts<App> for AtName {
    type Rejection = Refused;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let path = Pieces::of(parts)?;
        Ok(AtName { database: app.database(&path.database)?, name: path.rest })
    }
}

/// Who reads what another server holds is told at once; who writes is told where edits go.
fn check_held(parts: &Parts, database: &Database, uri: &Uri) -> Result<(), Refused> {
    match parts.method {
        Method::GET | Method::HEAD => Ok(database.check_held(uri)?),
        _ => Ok(()),
    }
}

/// The variable parts of `/v1/databases/{db}/{resource}/{rest}`.
struct Pieces {
    database: String,
    rest: String,
}

impl Pieces {
    fn of(parts: &Parts) -> Result<Pieces, Refused> {
        let mut pieces = parts.uri.path().splitn(6, '/').skip(3);
        let database = decode(pieces.next().unwrap_or_default())?;
        let rest = decode(pieces.nth(1).unwrap_or_default())?;
        Ok(Pieces { database, rest })
    }
}

fn decode(text: &str) -> Result<String, Refused> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded =
        decoded.map_err(|error| Code::UriInvalid.because(format!("the path is not UTF-8: {error}")))?;
    Ok(decoded.into_owned())
}

/// A document's URI from the path behind the resource, which lost its first slash to the resource's name.
pub(crate) fn uri_of(rest: &str) -> Result<Uri, Refused> {
    parse_uri(&format!("/{rest}"))
}

/// A document's URI, refused with the rule it breaks.
pub(crate) fn parse_uri(text: &str) -> Result<Uri, Refused> {
    Uri::parse(text).map_err(|error| Code::UriInvalid.because(error.to_string()))
}
