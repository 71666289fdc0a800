//! `apograph get`.

use std::path::{Path, PathBuf};

use apograph_client::Client;
use apograph_client::client::{ByteRange, ContentStream};
use apograph_client::format::Uri;
use apograph_client::types::{DocumentView, ReadQuery, ReadState};
use clap::Args;
use tokio::io::AsyncWriteExt;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::progress;

/// Show a document, or fetch its content
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apograph get /news/opening
  apograph get /news/opening --live
  apograph get /news/opening --as-of 2026-11-01T00:00:00Z
  apograph get /media/film --content -o film.mp4
  apograph get /media/film --range 0-1023 | xxd")]
pub(crate) struct Get {
    /// The document
    #[arg(value_name = "URI")]
    uri: Uri,
    /// The published version
    #[arg(long, conflicts_with = "version")]
    live: bool,
    /// The version of this number
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// As of this time: a commit timestamp or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Wait until the server has reached this token, which a write answered
    #[arg(long, value_name = "TOKEN")]
    at_least: Option<String>,
    /// Only the content, as it is
    #[arg(long)]
    content: bool,
    /// Only these bytes of the content, both ends included: 0-99, or 100- for the rest
    #[arg(long, value_name = "A-B", value_parser = range)]
    range: Option<ByteRange>,
    /// Write the content into this file, which is replaced when all is there
    #[arg(long = "to-file", short = 'o', value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Get {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let client = global.client()?;
        let query = ReadQuery {
            state: self.live.then_some(ReadState::Live),
            version: self.version,
            as_of: self.as_of.clone(),
            at_least: self.at_least.clone(),
        };
        if self.content || self.range.is_some() || self.file.is_some() {
            return self.fetch(global, &client, &query).await;
        }
        let document = client.document(&global.database, &self.uri, &query).await?;
        Printer::new(global.output).value(&document, in_words)
    }

    async fn fetch(&self, global: &Global, client: &Client, query: &ReadQuery) -> Result<(), Failure> {
        let content = client.content(&global.database, &self.uri, query, self.range).await?;
        match &self.file {
            Some(file) => to_file(global, content, file).await,
            None => to_stdout(global, content).await,
        }
    }
}

async fn to_stdout(global: &Global, mut content: ContentStream) -> Result<(), Failure> {
    let printer = Printer::new(global.output);
    while let Some(bytes) = content.body.next().await? {
        printer.bytes(&bytes)?;
    }
    printer.flush()
}

/// Into a file beside, renamed when all is there: nobody finds half a content under its name.
async fn to_file(global: &Global, mut content: ContentStream, path: &Path) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let bar = progress::bytes(global.output, "fetching", content.bytes);
    let mut file = tokio::fs::File::create(&beside).await.map_err(Failure::file(&beside))?;
    let written = async {
        while let Some(bytes) = content.body.next().await? {
            bar.inc(bytes.len() as u64);
            file.write_all(&bytes).await.map_err(Failure::file(&beside))?;
        }
        file.sync_all().await.map_err(Failure::file(&beside))?;
        tokio::fs::rename(&beside, path).await.map_err(Failure::file(path))
    };
    let outcome = written.await;
    bar.finish_and_clear();
    if outcome.is_err() {
        // What is left is half a content; the failure is told, not this.
        let _ = tokio::fs::remove_file(&beside).await;
    }
    outcome
}

fn in_words(document: &DocumentView) -> String {
    let mut text = format!("{}\n", document.uri);
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<10} {value}\n"));
    line("state", document.state.to_string());
    if document.kind.as_str() != "document" {
        line("kind", document.kind.to_string());
    }
    if !document.r#type.is_empty() {
        line("type", document.r#type.clone());
    }
    let live = document.live.map_or_else(|| "none".to_owned(), |live| live.number.to_string());
    line("version", format!("{} (live: {live})", document.version));
    line("id", document.id.to_string());
    line("author", document.author.clone());
    line("time", document.time.clone());
    if !document.comment.is_empty() {
        line("comment", document.comment.trim_end().replace('\n', "\n             "));
    }
    if let Some(content) = &document.content {
        line("content", format!("{} bytes {}", content.bytes, content.media_type));
    }
    if document.properties.as_str() != "{}" {
        line("properties", document.properties.to_string());
    }
    if let Some(external) = document.origin.as_ref().and_then(|origin| origin.external.as_ref()) {
        line("origin", external.clone());
    }
    if let Some(uri) = document.origin.as_ref().and_then(|origin| origin.uri.as_ref()) {
        line("from", uri.to_string());
    }
    if let Some(lock) = &document.lock {
        line("locked", format!("by {} until {}", lock.owner, lock.expires));
    }
    if let Some(uri) = &document.moved_to {
        line("moved to", uri.to_string());
    }
    match (&document.body, &document.content) {
        (Some(body), _) => text.push_str(&format!("\n{body}")),
        (None, Some(_)) => text.push_str("\n(fetch the content with --content)\n"),
        (None, None) => {}
    }
    text
}

fn range(text: &str) -> Result<ByteRange, String> {
    let parse = || {
        let (first, last) = text.split_once('-')?;
        let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
        Some(ByteRange { first: first.parse().ok()?, last })
    };
    parse()
        .filter(|range| range.last.is_none_or(|last| last >= range.first))
        .ok_or_else(|| "expected something like 0-99, or 100- for the rest".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range("0-99"), Ok(ByteRange { first: 0, last: Some(99) }));
        assert_eq!(range("100-"), Ok(ByteRange { first: 100, last: None }));
        for bad in ["", "-", "-5", "5", "9-3", "a-b", "0-99x"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
