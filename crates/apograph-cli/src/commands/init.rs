//! `apograph init`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use apograph::Role;
use apograph::folder::{Folder, FolderError};
use apograph::settings::{DatabaseSettings, ServerSettings, SourceSettings};
use apograph_client::Secret;
use apograph_client::format::Partitioning;
use apograph_server::tokens::{self, TokenError, TokenRole};
use clap::Args;
use serde::Serialize;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Make the data folder of a new server: its key, its settings (server.json) and its tokens
#[derive(Debug, Args)]
#[command(after_help = "\
A replica holds everything, a staging server what is published and nothing else; both take no edits. They need the URL
of their source and a token for it: tokens/link-replica.token or tokens/link-staging.token of the source's folder.
A replica with --held-partitions holds some of the partitions, and answers reads of others with where to go. It cannot
become the primary before it holds all of them (`apograph hold`).

Examples:
  apograph init --dir primary --role primary
  apograph init --dir replica --role replica --listen 127.0.0.1:7701 \\
      --source http://127.0.0.1:7700 --source-token-file primary/tokens/link-replica.token
  apograph init --dir staging --role staging --listen 127.0.0.1:7702 \\
      --source http://127.0.0.1:7700 --source-token-file primary/tokens/link-staging.token
  apograph init --dir part --role replica --held-partitions 0,1 --listen 127.0.0.1:7703 \\
      --source http://127.0.0.1:7700 --source-token-file primary/tokens/link-replica.token")]
pub(crate) struct Init {
    /// The folder to make; an existing one must be empty
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// What the server is: primary, replica or staging
    #[arg(long)]
    role: Role,
    /// Where a copy gets the database from
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// File with the token for the source; it stays where it is
    #[arg(long, value_name = "FILE", requires = "source")]
    source_token_file: Option<PathBuf>,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7700")]
    listen: SocketAddr,
    /// How others reach the server, if not by that address
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How many journals the documents are spread over, for ever; a copy takes it from its source
    #[arg(long, value_name = "N")]
    partitions: Option<u16>,
    /// A replica that holds these partitions only, such as 0,1, until `hold` takes in others; without it, all of them
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    held_partitions: Option<Vec<u16>>,
    /// Name of the server, for people; without it, its role
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// What was made.
#[derive(Debug, Serialize)]
struct Made {
    dir: PathBuf,
    name: String,
    role: Role,
    listen: String,
    key: String,
    tokens: BTreeMap<String, PathBuf>,
}

impl Init {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        let settings = self.settings(&global.database)?;
        let folder = make(&self.dir, &settings)?;
        let tokens = TokenRole::ALL.into_iter();
        let made = Made {
            name: settings.name.clone(),
            role: self.role,
            listen: settings.listen,
            key: folder.identity().key.to_string(),
            tokens: tokens.map(|role| (role.to_string(), tokens::token_path(&self.dir, role))).collect(),
            dir: self.dir,
        };
        Printer::new(global.output).value(&made, in_words)
    }

    fn settings(&self, database: &str) -> Result<ServerSettings, Failure> {
        let usage = |text: &str| Err(Failure::Usage(text.to_owned()));
        let mut settings = DatabaseSettings::new(self.role);
        settings.held_partitions = self.held_partitions.clone();
        settings.check_held().map_err(|error| Failure::Usage(error.to_string()))?;
        match (self.role, &self.source, &self.source_token_file, self.partitions) {
            (Role::Primary, Some(_), ..) => {
                return usage("a primary has no --source: it is where edits begin");
            }
            (Role::Primary, None, _, partitions) => {
                let partitions = Partitioning::new(partitions.unwrap_or(1));
                settings.partitions = partitions.map_err(|error| Failure::Usage(error.to_string()))?.count();
            }
            (_, _, _, Some(_)) => {
                return usage("--partitions is for a primary; a copy takes it from its source");
            }
            (_, Some(url), Some(file), None) => settings.source = Some(source(url, file)?),
            (_, None, ..) => return usage("a copy needs --source URL and --source-token-file FILE"),
            (_, Some(_), None, None) => return usage("a copy needs --source-token-file FILE"),
        }
        Ok(ServerSettings {
            name: self.name.clone().unwrap_or_else(|| self.role.to_string()),
            listen: self.listen.to_string(),
            url: self.url.clone(),
            backup_folder: None,
            databases: BTreeMap::from([(database.to_owned(), settings)]),
        })
    }
}

/// Makes a data folder with its tokens.
pub(crate) fn make(dir: &Path, settings: &ServerSettings) -> Result<Folder, Failure> {
    let folder = Folder::init(dir, settings)?;
    tokens::create(dir)?;
    Ok(folder)
}

/// Where a copy gets its database from; the token's file must be there and private.
pub(crate) fn source(url: &str, token_file: &Path) -> Result<SourceSettings, Failure> {
    apograph_client::Client::new(apograph_client::ClientSettings::new(url))?;
    Secret::from_file(token_file)?;
    let token_file = token_file.canonicalize().map_err(Failure::file(token_file))?;
    Ok(SourceSettings::new(url, token_file))
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Failure {
        let next = match &error {
            FolderError::NotAFolder { .. } => Some("make one with `apograph init --dir DIR --role ROLE`"),
            FolderError::NotEmpty { .. } => Some("name a new or an empty folder"),
            FolderError::InUse { .. } => Some("stop that process, or name another folder"),
            FolderError::Format { .. } => {
                Some("use the version of apograph that made it, or name another folder")
            }
            _ => None,
        };
        let next = next.map(str::to_owned);
        Failure::Local { what: "the data folder cannot be used".to_owned(), source: Box::new(error), next }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Failure {
        Failure::local("the tokens cannot be kept", error)
    }
}

fn in_words(made: &Made) -> String {
    let dir = made.dir.display();
    let mut text = format!(
        "{dir} is the data folder of {}, a {} that listens on {}\n",
        made.name, made.role, made.listen
    );
    text.push_str(&format!("  key     {}\n  tokens\n", made.key));
    for (role, path) in &made.tokens {
        text.push_str(&format!("    {role:<13} {}\n", path.display()));
    }
    text.push_str(&format!("next:\n  apograph serve --dir {dir}"));
    text
}
