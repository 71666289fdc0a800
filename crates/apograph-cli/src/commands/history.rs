//! `apograph history`.

use apograph_client::format::Uri;
use apograph_client::types::HistoryItem;
use clap::Args;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Versions asked for at once.
const PAGE_ITEMS: usize = 200;

/// Show the versions of a document, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  apograph history /news/opening
  apograph history /news/opening --limit 1 --output json")]
pub(crate) struct History {
    /// The document
    #[arg(value_name = "URI")]
    uri: Uri,
    /// At most this many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only versions below this number
    #[arg(long, value_name = "N")]
    before: Option<u64>,
}

impl History {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let (client, printer) = (global.client()?, Printer::new(global.output));
        let mut left = self.limit.unwrap_or(usize::MAX);
        let (mut uri, mut before) = (self.uri.clone(), self.before);
        while left > 0 {
            let asked = left.min(PAGE_ITEMS);
            let page = client.history(&global.database, &uri, before, asked).await?;
            left = left.saturating_sub(page.versions.len());
            for version in &page.versions {
                printer.value(version, |version| in_words(version, &self.uri))?;
            }
            let Some(next) = page.next_before else { break };
            before = Some(next);
            uri = page.next_uri.unwrap_or(uri);
        }
        Ok(())
    }
}

fn in_words(item: &HistoryItem, asked: &Uri) -> String {
    let id: String = item.id.to_string().chars().take(12).collect();
    let elsewhere = if item.uri == *asked { String::new() } else { format!("  as {}", item.uri) };
    let content = item.content.as_ref().map_or_else(
        || "no content".to_owned(),
        |content| format!("{} bytes {}", content.bytes, content.media_type),
    );
    let external = item.origin.as_ref().and_then(|origin| origin.external.as_deref());
    let external = external.map_or_else(String::new, |name| format!("  ({name})"));
    let comment = item.comment.lines().next().unwrap_or_default();
    format!(
        "{:>5}  {id}  {}  {}{elsewhere}\n       {content}{external}\n       {comment}",
        item.version, item.time, item.author
    )
}
