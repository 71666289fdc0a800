//! `apograph why`: one answer from what a server says of a document, and what its source says of the same.

mod words;

use std::path::{Path, PathBuf};

use apograph_client::format::{Kind, Uri, View};
use apograph_client::types::{Asked, Evidence, Problem, ReadQuery, ReadState, Standing, WhyAnswer, WhyQuery};
use apograph_client::why::{Unheard, decide};
use apograph_client::{Client, ClientError};
use clap::Args;

use crate::arguments::Global;
use crate::connection;
use crate::failure::Failure;
use crate::printer::Printer;

/// Why a document is, or is not, on a server
#[derive(Debug, Args)]
#[command(after_help = "\
Asks the server in question what it knows, and the server that it is compared with, its primary or its source, for
the rest: a copy cannot know what it was not told. Answers with a cause, the facts it rests on, and what to do next.
The causes are listed in docs/operate/why.md; their codes are stable.

Without --on it asks --server, and compares it with --against. With --on it asks that server, and compares it with
--against or, without that, with --server. --on takes a URL, or the name of a server that --server knows.

Exit status: 0 it is here as asked, and as at its source if that was asked; 1 it is not, with the reason; 6 the
server in question does not answer.

Examples:
  apograph why /news/opening --on http://127.0.0.1:7702 --on-token-file staging/tokens/reader.token
  apograph why /news/opening --on staging --version 3
  apograph why /news/opening --server http://127.0.0.1:7702 --against http://127.0.0.1:7700 --output json")]
pub(crate) struct Why {
    /// The document
    #[arg(value_name = "URI")]
    uri: Uri,
    /// The server in question: a URL, or a name that --server knows; without it, --server
    #[arg(long, value_name = "SERVER")]
    on: Option<String>,
    /// File with the token for --on; without it, the same as for --server
    #[arg(long, env = "APOGRAPH_ON_TOKEN_FILE", value_name = "FILE")]
    on_token_file: Option<PathBuf>,
    /// The server to compare with: the primary, or the source of the one in question
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// File with the token for --against; without it, the same as for --server
    #[arg(long, env = "APOGRAPH_AGAINST_TOKEN_FILE", value_name = "FILE")]
    against_token_file: Option<PathBuf>,
    /// Name of the database on the server compared with, if it is another
    #[arg(long, value_name = "NAME")]
    against_database: Option<String>,
    /// The published version
    #[arg(long, conflicts_with_all = ["working", "version"])]
    live: bool,
    /// The newest version
    #[arg(long, conflicts_with = "version")]
    working: bool,
    /// The version of this number
    #[arg(long, value_name = "N")]
    version: Option<u64>,
}

/// A server that is asked, and how it is called here.
struct Asking {
    client: Client,
    database: String,
}

impl Why {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let here = self.in_question(global).await?;
        let source = self.compared_with(global, &here)?;
        let query = self.query();
        let own = match here.client.why(&here.database, &self.uri, &query).await {
            Ok(own) => Ok(own),
            Err(error) if is_silent(&error) => Err(error),
            Err(error) => return Err(error.into()),
        };
        let asked = own.as_ref().map_or(self.asked_anyway(), |own| own.asked);
        let theirs = match &source {
            Some(source) => Some(source.ask(&self.uri, asked, own.as_ref().ok()).await?),
            None => None,
        };
        let (answer, silence) = match own {
            Ok(own) => (put_together(&self.uri, own, theirs)?, None),
            Err(error) => {
                let last_report = match &source {
                    Some(source) => source.last_report(here.client.url()).await,
                    None => None,
                };
                let unheard = Unheard { detail: error.to_string(), last_report };
                (decide(&self.uri, asked, Err(unheard), theirs), Some(error))
            }
        };
        Printer::new(global.output).value(&answer, |answer| words::answer(answer, here.client.url()))?;
        match (answer.standing, silence) {
            (_, Some(error)) => Err(error.into()),
            (Standing::Here, None) => Ok(()),
            (_, None) => Err(Failure::NotHere),
        }
    }

    /// The server in question.
    async fn in_question(&self, global: &Global) -> Result<Asking, Failure> {
        let database = global.database.clone();
        let Some(on) = &self.on else { return Ok(Asking { client: global.client()?, database }) };
        let url = if on.contains("://") { on.clone() } else { url_of(global, on).await? };
        let file = self.on_token_file.as_deref().or(global.token_file.as_deref());
        Ok(Asking { client: connection::client(&url, file)?, database })
    }

    /// The server to compare with, if there is one.
    fn compared_with(&self, global: &Global, here: &Asking) -> Result<Option<Asking>, Failure> {
        let client = |url: &str, file: Option<&Path>| connection::client(url, file);
        let client = match (&self.against, &self.on) {
            (Some(url), _) => {
                client(url, self.against_token_file.as_deref().or(global.token_file.as_deref()))?
            }
            (None, Some(_)) => global.client()?,
            (None, None) => return Ok(None),
        };
        if client.url() == here.client.url() {
            return Ok(None);
        }
        let database = self.against_database.clone().unwrap_or_else(|| here.database.clone());
        Ok(Some(Asking { client, database }))
    }

    fn query(&self) -> WhyQuery {
        let state = match (self.live, self.working) {
            (true, _) => Some(ReadState::Live),
            (_, true) => Some(ReadState::Working),
            _ => None,
        };
        WhyQuery { state, version: self.version, ..WhyQuery::default() }
    }

    /// What is asked of the source when the server in question cannot say what it serves by default.
    fn asked_anyway(&self) -> Asked {
        match (self.live, self.version) {
            (_, Some(number)) => Asked::Version(number),
            (true, None) => Asked::Live,
            (false, None) => Asked::Working,
        }
    }
}

impl Asking {
    /// What this server knows of the document, and what `copy` lacks. `Err` if it may not or cannot be asked: the copy's
    /// own answer is worth something without it.
    async fn ask(
        &self,
        uri: &Uri,
        asked: Asked,
        copy: Option<&WhyAnswer>,
    ) -> Result<Result<Evidence, String>, Failure> {
        let held = copy.and_then(|copy| copy.here.as_ref()?.held.as_ref());
        let (state, version) = match asked {
            Asked::Working => (Some(ReadState::Working), None),
            Asked::Live => (Some(ReadState::Live), None),
            Asked::Version(number) => (None, Some(number)),
        };
        // What is not published is no change of the published version.
        let view = held.map(|held| if asked == Asked::Live { View::Published } else { held.view });
        let query = WhyQuery { state, version, after: held.map(|held| held.visible), view };
        match self.client.why(&self.database, uri, &query).await {
            Ok(answer) => Ok(answer.here.ok_or_else(|| "it said nothing".to_owned())),
            Err(error) if is_silent(&error) || is_denied(&error) => Ok(Err(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// How the link of the copy at `url` stands, by what this server last heard.
    async fn last_report(&self, url: &str) -> Option<apograph_client::types::LinkStatus> {
        let links = self.client.status().await.ok()?.links;
        let is_it = |link: &apograph_client::types::LinkStatus| {
            link.database == self.database && link.peer.url.as_deref() == Some(url)
        };
        links.into_iter().find(is_it)
    }
}

/// Both are of one database, or the question makes no sense.
fn put_together(
    uri: &Uri,
    own: WhyAnswer,
    theirs: Option<Result<Evidence, String>>,
) -> Result<WhyAnswer, Failure> {
    let Some(theirs) = theirs else { return Ok(own) };
    let Some(here) = own.here else { return Ok(own) };
    let ids = [Some(&here), theirs.as_ref().ok()].map(|evidence| Some(evidence?.held.as_ref()?.id));
    if let [Some(one), Some(other)] = ids
        && one != other
    {
        return Err(Failure::Usage(format!("these are two databases, not one: {one} and {other}")));
    }
    Ok(decide(uri, own.asked, Ok(here), Some(theirs)))
}

/// Where a server of this name answers: by its document, or by what it reports as a copy.
async fn url_of(global: &Global, name: &str) -> Result<String, Failure> {
    let client = global.client()?;
    let known = match Uri::parse(&format!("{}{name}", Uri::SERVERS)) {
        Ok(uri) => match client.document(&global.database, &uri, &ReadQuery::default()).await {
            Ok(document) if document.kind == Kind::Server => {
                document.properties.to_value().get("url").and_then(|url| url.as_str()).map(str::to_owned)
            }
            Ok(_) => None,
            Err(ClientError::Problem(problem)) if matches!(problem.status, 404 | 410) => None,
            Err(error) => return Err(error.into()),
        },
        Err(_) => None,
    };
    let known = match known {
        Some(url) => Some(url),
        None => {
            let links = client.status().await?.links;
            links
                .into_iter()
                .find(|link| link.peer.name.as_deref() == Some(name))
                .and_then(|link| link.peer.url)
        }
    };
    known.ok_or_else(|| {
        Failure::Usage(format!("{} knows no server {name:?} with a URL: name it with --on URL", client.url()))
    })
}

/// Nobody answered, or nobody who can.
fn is_silent(error: &ClientError) -> bool {
    match error {
        ClientError::Problem(problem) => matches!(problem.status, 502..=504),
        ClientError::Url { .. } | ClientError::Local(_) => false,
        _ => true,
    }
}

fn is_denied(error: &ClientError) -> bool {
    let is_denial = |problem: &Problem| matches!(problem.status, 401 | 403);
    error.problem().is_some_and(is_denial)
}
