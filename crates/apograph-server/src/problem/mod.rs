//! Refusals: every one is an RFC 9457 problem with a stable code, what is wrong, and what to do next.
//!
//! One exhaustive `match` per error of the engine, a file each.

mod backup;
mod code;
mod commit;
mod feed;
mod import;
mod read;
mod role;
mod snapshot;

use std::fmt;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use apograph::error::Cause;
use apograph_client::media_type;
use apograph_client::types::Problem;
use apograph_format::Uri;

pub use code::Code;

/// A request that is not done, and why.
#[derive(Debug)]
pub(crate) struct Refused {
    problem: Box<Problem>,
    code: Code,
    retry_after_seconds: Option<u32>,
}

/// What a handler returns.
pub(crate) type Answer<T = Response> = Result<T, Refused>;

impl Code {
    /// A problem of this kind, with what is wrong in this case.
    pub(crate) fn because(self, detail: impl Into<String>) -> Refused {
        let problem = Problem::new(self.status(), self.as_str(), self.title(), detail).next(self.next());
        let passes = matches!(
            self,
            Code::NotReached
                | Code::NotReady
                | Code::HandingOver
                | Code::RollingBack
                | Code::Lagging
                | Code::Busy
                | Code::ShuttingDown
                | Code::BodyTimeout
        );
        Refused { problem: Box::new(problem), code: self, retry_after_seconds: passes.then_some(1) }
    }
}

/// This server failed. Its log says how; what it says may name files, and is not for everybody.
pub(crate) fn failed(error: &dyn std::error::Error) -> Refused {
    tracing::error!(error = %Chain(error), "the server failed");
    Code::Failed.because("the server failed; its log says how")
}

/// The same, when it is known what it comes from.
pub(crate) fn failed_by(cause: Cause, error: &dyn std::error::Error) -> Refused {
    let code = match cause {
        Cause::Damage => Code::Damaged,
        Cause::DiskFull => Code::DiskFull,
        Cause::InUse | Cause::Version | Cause::Other => return failed(error),
    };
    tracing::error!(error = %Chain(error), code = code.as_str(), "the server failed");
    code.because(match cause {
        Cause::DiskFull => "the server's disk is full",
        _ => "stored bytes are not what they were; the server's log says which",
    })
}

/// An error and its causes.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Refused {
    /// Adds a fact.
    pub(crate) fn with(mut self, member: &str, value: impl Into<Value>) -> Refused {
        self.problem.extra.insert(member.to_owned(), value.into());
        self
    }

    /// Adds a fact, if it is known.
    pub(crate) fn with_some(self, member: &str, value: Option<impl Into<Value>>) -> Refused {
        match value {
            Some(value) => self.with(member, value),
            None => self,
        }
    }

    /// The document goes on elsewhere, if it does.
    pub(crate) fn moved_to(mut self, uri: Option<&Uri>) -> Refused {
        let Some(uri) = uri else { return self };
        self.problem.next = Some(format!("it was moved: read it at {uri}"));
        self.with("moved_to", uri.as_str())
    }

    /// Says better what to do next.
    fn next(mut self, next: String) -> Refused {
        self.problem.next = Some(next);
        self
    }

    /// Its kind.
    #[cfg(test)]
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// As it travels.
    pub(crate) fn into_problem(self) -> Box<Problem> {
        self.problem
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(code = self.code.as_str(), detail = %self.problem.detail, "a request failed");
        }
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::PROBLEM));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"apograph\""));
        }
        let elsewhere = self.problem.text("url").filter(|_| self.code == Code::PartitionElsewhere);
        if let Some(Ok(url)) = elsewhere.map(HeaderValue::from_str) {
            headers.insert(HeaderName::from_static(apograph_client::header::ELSEWHERE), url);
        }
        if let Some(bytes) = self.problem.extra.get("bytes").filter(|_| self.code == Code::RangeInvalid)
            && let Ok(value) = HeaderValue::from_str(&format!("bytes */{bytes}"))
        {
            headers.insert(header::CONTENT_RANGE, value);
        }
        response
    }
}

#[cfg(test)]
mod tests;
