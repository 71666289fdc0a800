//! `apograph put`.

use std::path::{Path, PathBuf};

use apograph_client::Client;
use apograph_client::client::{Match, PutContent};
use apograph_client::format::limits::CHUNK_BYTES_MAX;
use apograph_client::format::{Hash, Kind, Uri};
use apograph_client::types::{
    self, ContentQuery, DocumentAnswer, Operation, OperationResult, Precondition, Target, TransactionAnswer,
    TransactionRequest,
};
use clap::Args;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::operation;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::import::content::{body, media_type};
use crate::progress;

/// Save a new version of a document
#[derive(Debug, Args)]
#[command(after_help = "\
What is not given stays as it was in the version before: the content, the type, the properties.

Contents above 1 MiB are streamed; their --properties and --publish follow in a second transaction.

Examples:
  apograph put /news/opening opening.md --publish -m 'first version'
  echo 'Hello' | apograph put /hello - --media-type text/plain
  apograph put /news/opening --property section=culture --property draft=false
  apograph put /media/film film.mp4 --if-absent
  apograph put /orders/7 order.json --durability replicas=1 --within 5s")]
pub(crate) struct Put {
    /// The document, such as /news/2026/opening
    #[arg(value_name = "URI")]
    uri: Uri,
    /// File with the content; - reads standard input; without it the content stays
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// What the application calls this sort of document
    #[arg(long = "type", value_name = "TYPE")]
    r#type: Option<String>,
    /// document or node; a system kind below /_system/
    #[arg(long)]
    kind: Option<Kind>,
    /// One property; the value is JSON if it can be, else text. Repeat it for more
    #[arg(long, value_name = "KEY=VALUE", value_parser = property, conflicts_with = "properties")]
    property: Vec<(String, Value)>,
    /// All properties, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = properties)]
    properties: Option<Properties>,
    /// What the content is; without it, by the file's name and its bytes
    #[arg(long, value_name = "TYPE/SUBTYPE", requires = "file")]
    media_type: Option<String>,
    /// Why; kept with the version
    #[arg(long, short = 'm', value_name = "TEXT", default_value = "", hide_default_value = true)]
    comment: String,
    /// Only if the working version has this number
    #[arg(long, value_name = "N", conflicts_with_all = ["if_id", "if_absent"])]
    if_version: Option<u64>,
    /// Only if the working version has this id
    #[arg(long, value_name = "ID", conflicts_with = "if_absent")]
    if_id: Option<Hash>,
    /// Only if there is no such document
    #[arg(long)]
    if_absent: bool,
    /// Make the new version live
    #[arg(long)]
    publish: bool,
    #[command(flatten)]
    durable: operation::Durable,
}

/// The text of a JSON object, as it was typed: the server says what is wrong inside.
#[derive(Debug, Clone)]
struct Properties(Box<RawValue>);

/// What there is to send.
enum Source {
    None,
    Small(Vec<u8>),
    Large { beginning: Vec<u8>, rest: Box<dyn AsyncRead + Send + Unpin>, bytes: Option<u64> },
}

impl Put {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = self.durable.client(global)?;
        let source = match &self.file {
            None => Source::None,
            Some(file) => Source::open(file).await?,
        };
        let answer = match source {
            Source::None => self.commit(global, &client, None, self.precondition()).await?,
            Source::Small(content) => {
                self.commit(global, &client, Some(&content), self.precondition()).await?
            }
            Source::Large { beginning, rest, bytes } => {
                let uploaded = self.upload(global, &client, beginning, rest, bytes).await?;
                self.finish(global, &client, uploaded).await?
            }
        };
        operation::print(global, &answer)
    }

    /// One transaction: the version, and its publication.
    async fn commit(
        &self,
        global: &Global,
        client: &Client,
        content: Option<&[u8]>,
        precondition: Precondition,
    ) -> Result<TransactionAnswer, Failure> {
        let (body, body_base64) = content.map_or((None, None), body);
        let put = types::Put {
            target: Target { uri: self.uri.to_string(), precondition },
            kind: self.kind,
            r#type: self.r#type.clone(),
            properties: self.properties()?,
            media_type: content.map(|content| self.media_type_of(content)),
            body,
            body_base64,
            ..types::Put::default()
        };
        let mut operations = vec![Operation::Put(put)];
        if self.publish {
            operations.push(self.publication(Precondition::default()));
        }
        let comment = self.comment.clone();
        let transaction = TransactionRequest { operations, comment, ..TransactionRequest::default() };
        Ok(client.commit(&global.database, &transaction).await?)
    }

    async fn upload(
        &self,
        global: &Global,
        client: &Client,
        beginning: Vec<u8>,
        rest: Box<dyn AsyncRead + Send + Unpin>,
        bytes: Option<u64>,
    ) -> Result<DocumentAnswer, Failure> {
        let precondition = match (self.if_version, self.if_id, self.if_absent) {
            (Some(number), ..) => Match::Version(number),
            (_, Some(id), _) => Match::Id(id),
            (.., true) => Match::Absent,
            _ => Match::Any,
        };
        let comment = Some(self.comment.clone()).filter(|comment| !comment.is_empty());
        let content = PutContent {
            media_type: self.media_type_of(&beginning),
            bytes,
            query: ContentQuery { kind: self.kind, r#type: self.r#type.clone(), comment },
            precondition,
        };
        let bar = progress::bytes(global.output, "sending", bytes);
        let sent = bar.clone();
        let body = std::io::Cursor::new(beginning).chain(rest);
        let answer = client
            .put_content(&global.database, &self.uri, &content, body, move |bytes| sent.inc(bytes))
            .await;
        bar.finish_and_clear();
        Ok(answer?)
    }

    /// Properties and publication of an uploaded version.
    async fn finish(
        &self,
        global: &Global,
        client: &Client,
        uploaded: DocumentAnswer,
    ) -> Result<TransactionAnswer, Failure> {
        let precondition = Precondition { if_version: uploaded.version, ..Precondition::default() };
        if self.properties()?.is_some() {
            return self.commit(global, client, None, precondition).await;
        }
        if self.publish {
            let operations = vec![self.publication(precondition)];
            let comment = self.comment.clone();
            let transaction = TransactionRequest { operations, comment, ..TransactionRequest::default() };
            return Ok(client.commit(&global.database, &transaction).await?);
        }
        let DocumentAnswer { uri, version, id, timestamp, token, state, durability } = uploaded;
        let results = vec![OperationResult { uri, version, id, state }];
        Ok(TransactionAnswer { timestamp, token, results, durability })
    }

    fn publication(&self, precondition: Precondition) -> Operation {
        let target = Target { uri: self.uri.to_string(), precondition };
        Operation::Publish(types::Publish { target, version: None })
    }

    fn precondition(&self) -> Precondition {
        Precondition { if_version: self.if_version, if_id: self.if_id, if_absent: self.if_absent }
    }

    fn properties(&self) -> Result<Option<Box<RawValue>>, Failure> {
        if let Some(Properties(text)) = &self.properties {
            return Ok(Some(text.clone()));
        }
        if self.property.is_empty() {
            return Ok(None);
        }
        let mut properties = Map::new();
        for (key, value) in &self.property {
            if properties.insert(key.clone(), value.clone()).is_some() {
                return Err(Failure::Usage(format!("the property {key:?} is given twice")));
            }
        }
        let text = Value::Object(properties).to_string();
        Ok(Some(RawValue::from_string(text).expect("a map of values is JSON")))
    }

    fn media_type_of(&self, content: &[u8]) -> String {
        let name = self.file.as_deref().filter(|file| *file != Path::new("-"));
        let name = name.and_then(Path::to_str).unwrap_or(self.uri.as_str());
        self.media_type.clone().unwrap_or_else(|| media_type(name, content))
    }
}

impl Source {
    /// Reads as much as fits into a transaction; leaves the rest to be streamed.
    async fn open(path: &Path) -> Result<Source, Failure> {
        let failed = |error| Failure::file(path)(error);
        let (mut reader, bytes): (Box<dyn AsyncRead + Send + Unpin>, _) = if path == Path::new("-") {
            (Box::new(tokio::io::stdin()), None)
        } else {
            let file = tokio::fs::File::open(path).await.map_err(failed)?;
            let found = file.metadata().await.map_err(failed)?;
            if found.is_dir() {
                return Err(Failure::Usage(format!("{} is a folder; give a file", path.display())));
            }
            (Box::new(file), found.is_file().then_some(found.len()))
        };
        let mut beginning = Vec::new();
        let mut limited = (&mut reader).take(CHUNK_BYTES_MAX as u64 + 1);
        limited.read_to_end(&mut beginning).await.map_err(failed)?;
        if beginning.len() <= CHUNK_BYTES_MAX {
            return Ok(Source::Small(beginning));
        }
        Ok(Source::Large { beginning, rest: reader, bytes })
    }
}

fn property(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Ok((key.to_owned(), value))
        }
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

fn properties(text: &str) -> Result<Properties, String> {
    let object = text.trim_start().starts_with('{');
    let raw = RawValue::from_string(text.to_owned()).map_err(|error| error.to_string())?;
    if object {
        Ok(Properties(raw))
    } else {
        Err("expected a JSON object, such as {\"draft\": true}".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_json_or_text() {
        assert_eq!(property("a=1"), Ok(("a".into(), Value::from(1))));
        assert_eq!(property("a=b=c"), Ok(("a".into(), Value::from("b=c"))));
        assert_eq!(property("a="), Ok(("a".into(), Value::from(""))));
        assert!(property("=1").is_err() && property("a").is_err());
        assert!(properties("[]").is_err() && properties("{").is_err() && properties("{\"a\":1}").is_ok());
    }
}
