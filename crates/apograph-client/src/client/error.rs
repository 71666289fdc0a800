//! Why a request has no good answer.

use std::io;
use std::time::Duration;

use crate::types::Problem;

/// Why a request has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL of the server is none.
    #[error("{url:?} is no URL of a server: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no connection, or it broke before an answer came.
    #[error("the server {url} cannot be reached")]
    Unreachable {
        /// The server.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// Nothing moved for too long.
    #[error("the server {url} is silent for {} seconds", waited.as_secs())]
    Silent {
        /// The server.
        url: String,
        /// How long.
        waited: Duration,
    },
    /// The server refused.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// Somebody else answered.
    #[error("what answers at {url} is not Apograph: {found}")]
    NotApograph {
        /// Where.
        url: String,
        /// What came.
        found: String,
    },
    /// The answer is from Apograph, but this client does not understand it.
    #[error("the answer of {url} cannot be understood: {reason}")]
    Answer {
        /// The server.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// An answer ended before its end.
    #[error("the answer of {url} broke off after {received} bytes")]
    Truncated {
        /// The server.
        url: String,
        /// Bytes that came.
        received: u64,
        /// Why, if the connection says so.
        source: Option<reqwest::Error>,
    },
    /// What was to be sent could not be read.
    #[error("what was to be sent cannot be read")]
    Local(#[source] io::Error),
}

impl ClientError {
    /// The problem, if the server refused.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            ClientError::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Another attempt might have an answer: nobody was there, the answer broke off, or the server is busy.
    pub fn is_transient(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } | ClientError::Silent { .. } | ClientError::Truncated { .. } => {
                true
            }
            ClientError::Problem(problem) => matches!(problem.status, 429 | 502 | 503 | 504),
            _ => false,
        }
    }
}
