//! Why a command failed: its kind picks the exit status, its facts make the message, its hint says what to do next.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use apograph::database::part::GrowError;
use apograph::error::Cause;
use apograph_client::client::SecretError;
use apograph_client::types::Problem;
use apograph_client::{ClientError, format};
use apograph_server::hold::{HoldError, RefusalKind};
use serde::Serialize;

use crate::arguments::OutputFormat;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// `verify` found a difference. It is printed already.
    #[error("the two are not equal")]
    NotEqual,
    /// `why` found that it is not here as asked. It is printed already.
    #[error("it is not here as asked")]
    NotHere,
    /// Something stands against what was asked. It is printed already.
    #[error("something stands against it")]
    Blocked,
    /// A write is committed, and fewer servers than asked for had it in time. It is printed already.
    #[error("it is committed, but {reached} instead of {asked}: do not send it again")]
    NotDurable {
        /// What was asked for.
        asked: format::Durability,
        /// What was reached.
        reached: format::Durability,
    },
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// The server, or the way to it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The token.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A file, a folder, a port of this machine.
    #[error("{what}")]
    Local {
        /// What was wanted.
        what: String,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
        /// What to do next.
        next: Option<String>,
    },
    /// Stored bytes are not what they were.
    #[error("{what}")]
    Damaged {
        /// What is damaged.
        what: String,
    },
    /// A database of a data folder cannot be opened.
    #[error("the server does not run")]
    Open(#[source] Box<apograph_server::ServeError>),
    /// A replica did not take partitions in.
    #[error("nothing was taken in")]
    Hold(#[source] Box<HoldError>),
    /// The import stopped; what arrived stays.
    #[error("the import stopped after {done} {what}; run it again to go on from there")]
    Import {
        /// How many arrived, earlier runs included.
        done: u64,
        /// Of what.
        what: &'static str,
        /// Why.
        source: Box<Failure>,
    },
    /// The link that somebody waits for does not go on by itself.
    #[error("the link does not go on by itself: {reason}")]
    Link {
        /// Why, and what to do.
        reason: String,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Whoever read the output went away. Nothing to say to anybody.
    #[error("nobody reads the output any more")]
    OutputClosed,
}

/// Kinds of failures, with their exit statuses. The numbers are part of `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// 1.
    NotEqual,
    /// 1, too: another question.
    NotHere,
    /// 2.
    Usage,
    /// 3.
    Refused,
    /// 4.
    NotFound,
    /// 5.
    Denied,
    /// 6.
    Unreachable,
    /// 7.
    Damaged,
    /// 8.
    Local,
    /// 9.
    Server,
    /// 10.
    NotDurable,
    /// 130, as shells know it.
    Interrupted,
}

/// Says on standard error what happened, and answers the exit status.
pub(crate) fn report(failure: &Failure, format: OutputFormat) -> ExitCode {
    if matches!(failure, Failure::OutputClosed) {
        return ExitCode::SUCCESS;
    }
    let text = match format {
        OutputFormat::Text => failure.to_text(),
        OutputFormat::Json => failure.to_json(),
    };
    let is_told = matches!(
        failure,
        Failure::NotEqual | Failure::NotHere | Failure::Blocked | Failure::NotDurable { .. }
    );
    if !(is_told && format == OutputFormat::Text) {
        // Without a standard error there is nobody left to tell.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
    ExitCode::from(failure.kind().exit_status())
}

impl Failure {
    /// A file, folder or port of this machine.
    pub(crate) fn local(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure::Local { what: what.into(), source: source.into(), next: None }
    }

    /// A file that cannot be used.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Failure {
        let path = path.into();
        move |error| Failure::local(format!("{} cannot be used", path.display()), error)
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Failure::NotEqual => Kind::NotEqual,
            Failure::NotHere => Kind::NotHere,
            Failure::Blocked => Kind::Refused,
            Failure::NotDurable { .. } => Kind::NotDurable,
            Failure::Usage(_) => Kind::Usage,
            Failure::Link { .. } => Kind::Refused,
            Failure::Hold(error) => hold_kind(error),
            Failure::Client(error) => client_kind(error),
            Failure::Secret(_) | Failure::Local { .. } | Failure::OutputClosed => Kind::Local,
            Failure::Damaged { .. } | Failure::Open(_) => Kind::Damaged,
            Failure::Import { source, .. } => source.kind(),
            Failure::Interrupted => Kind::Interrupted,
        }
    }

    /// What a person could do next.
    fn next(&self) -> Option<String> {
        match self {
            Failure::Client(ClientError::Problem(problem)) => problem_next(problem),
            Failure::Client(ClientError::Unreachable { .. }) => {
                Some("is it running? start it with `apograph serve`, or name another with --server".to_owned())
            }
            Failure::Client(ClientError::NotApograph { .. } | ClientError::Url { .. }) => {
                Some("name the server with --server or APOGRAPH_SERVER".to_owned())
            }
            Failure::Secret(_) => {
                Some("name the token's file with --token-file or APOGRAPH_TOKEN_FILE".to_owned())
            }
            Failure::Local { next, .. } => next.clone(),
            Failure::Import { source, .. } => source.next(),
            Failure::Hold(error) => crate::commands::hold::next(error),
            Failure::Open(_) => Some(
                "look closer with `apograph journal verify DIR`; a copy can be made anew, a primary restored from one"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        let mut last = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Transparent layers say the same again.
            if !last.contains(&text) {
                causes.push(text.clone());
                last = text;
            }
            cause = error.source();
        }
        causes
    }

    fn to_text(&self) -> String {
        let mut text = format!("error: {}: {self}\n", self.kind().in_words());
        for cause in self.causes() {
            text.push_str(&format!("  because: {cause}\n"));
        }
        if let Some(next) = self.next() {
            text.push_str(&format!("  next: {next}\n"));
        }
        text
    }

    fn to_json(&self) -> String {
        let problem = match self {
            Failure::Client(error) => error.problem(),
            Failure::Import { source, .. } => match &**source {
                Failure::Client(error) => error.problem(),
                _ => None,
            },
            _ => None,
        };
        let mut error = serde_json::json!({
            "kind": self.kind(),
            "exit_status": self.kind().exit_status(),
            "message": self.to_string(),
            "causes": self.causes(),
        });
        if let Some(members) = error.as_object_mut() {
            self.next().map(|next| members.insert("next".to_owned(), next.into()));
            let problem = problem.and_then(|problem| serde_json::to_value(problem).ok());
            problem.map(|problem| members.insert("problem".to_owned(), problem));
        }
        format!("{}\n", serde_json::json!({ "error": error }))
    }
}

impl Kind {
    pub(crate) fn exit_status(self) -> u8 {
        match self {
            Kind::NotEqual | Kind::NotHere => 1,
            Kind::Usage => 2,
            Kind::Refused => 3,
            Kind::NotFound => 4,
            Kind::Denied => 5,
            Kind::Unreachable => 6,
            Kind::Damaged => 7,
            Kind::Local => 8,
            Kind::Server => 9,
            Kind::NotDurable => 10,
            Kind::Interrupted => 130,
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Kind::NotEqual => "not equal",
            Kind::NotHere => "not here",
            Kind::Usage => "usage",
            Kind::Refused => "refused",
            Kind::NotFound => "not found",
            Kind::Denied => "denied",
            Kind::Unreachable => "unreachable",
            Kind::Damaged => "damaged",
            Kind::Local => "this machine",
            Kind::Server => "server",
            Kind::NotDurable => "not durable",
            Kind::Interrupted => "stopped",
        }
    }
}

impl From<format::uri::UriError> for Failure {
    fn from(error: format::uri::UriError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

fn hold_kind(error: &HoldError) -> Kind {
    match error {
        HoldError::Folder(_) | HoldError::Grow(GrowError::Folder(_) | GrowError::Sync(_)) => Kind::Local,
        HoldError::Grow(GrowError::Open(error)) if error.comes_from() == Cause::Damage => Kind::Damaged,
        HoldError::Grow(GrowError::Open(_)) => Kind::Local,
        HoldError::Grow(_) => Kind::Refused,
        HoldError::Source(refusal) => match refusal.kind {
            RefusalKind::Denied => Kind::Denied,
            RefusalKind::NoSuchDatabase => Kind::NotFound,
            RefusalKind::SnapshotExpired => Kind::Refused,
            _ => Kind::Unreachable,
        },
        HoldError::Cut(_) | HoldError::Transfer(_) => Kind::Unreachable,
    }
}

fn client_kind(error: &ClientError) -> Kind {
    match error {
        ClientError::Url { .. } => Kind::Usage,
        ClientError::Local(_) => Kind::Local,
        ClientError::Problem(problem) => problem_kind(problem),
        _ => Kind::Unreachable,
    }
}

fn problem_kind(problem: &Problem) -> Kind {
    match problem.status {
        _ if problem.code == Problem::DAMAGED => Kind::Damaged,
        401 | 403 => Kind::Denied,
        404 | 410 => Kind::NotFound,
        503 if problem.code == "lagging" => Kind::Refused,
        _ if matches!(problem.code.as_str(), "stopped" | "stalled" | "not-shown") => Kind::Server,
        502..=504 => Kind::Unreachable,
        400..=499 => Kind::Refused,
        _ => Kind::Server,
    }
}

fn problem_next(problem: &Problem) -> Option<String> {
    match (problem.status, problem.primary_url()) {
        (401, _) => Some(
            "give --token-file FILE or set APOGRAPH_TOKEN_FILE; the files are in the server's data folder, under tokens/"
                .to_owned(),
        ),
        (_, Some(url)) => Some(format!("send it to the primary: --server {url}")),
        (421, None) => match problem.text("url") {
            Some(url) => Some(format!("ask the server that holds it: --server {url}")),
            None => problem.next.clone(),
        },
        _ => match problem.text("moved_to") {
            Some(uri) => Some(format!("it was moved: apograph get {uri}")),
            None => problem.next.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_shown_with_its_next_step() {
        let problem = Problem::new(409, "read-only", "No edits here", "this server holds a replica")
            .with("primary_url", "http://127.0.0.1:7700");
        let failure = Failure::from(ClientError::Problem(Box::new(problem)));
        assert_eq!(failure.kind().exit_status(), 3);
        assert_eq!(
            failure.to_text(),
            "error: refused: this server holds a replica\n  next: send it to the primary: --server http://127.0.0.1:7700\n"
        );
        assert!(failure.to_json().contains("\"primary_url\":\"http://127.0.0.1:7700\""));
    }

    #[test]
    fn causes_are_told_once() {
        let failure = Failure::file("/x/y")(io::Error::other("disk on fire"));
        assert_eq!(failure.to_text(), "error: this machine: /x/y cannot be used\n  because: disk on fire\n");
        let failure = Failure::Import { done: 7, what: "commits", source: Box::new(failure) };
        assert_eq!(failure.causes(), ["/x/y cannot be used", "disk on fire"]);
        assert_eq!(failure.kind().exit_status(), 8);
    }

    #[test]
    fn statuses_follow_the_kind() {
        let kinds = [
            (400, "uri-invalid", 3),
            (401, "unauthenticated", 5),
            (403, "forbidden", 5),
            (404, "not-found", 4),
            (410, "trashed", 4),
            (412, "version-mismatch", 3),
            (500, "damaged", 7),
            (500, "failed", 9),
            (502, "source-unavailable", 6),
            (503, "busy", 6),
            (503, "lagging", 3),
            (503, "stopped", 9),
            (503, "stalled", 9),
            (503, "not-shown", 9),
            (507, "disk-full", 9),
        ];
        for (status, code, exit) in kinds {
            assert_eq!(problem_kind(&Problem::new(status, code, "", "")).exit_status(), exit, "{code}");
        }
    }
}
