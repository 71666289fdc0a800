//! `apograph ls`.

use apograph_client::client::ListFilter;
use apograph_client::format::{Kind, State, Uri};
use apograph_client::types::ListItem;
use clap::Args;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Documents asked for at once.
const PAGE_ITEMS: usize = 1000;

/// List documents in the order of their URIs
#[derive(Debug, Args)]
#[command(after_help = "\
Shows the state, the number of the working version, that of the live one, the type, and the URI. What is in
the trash is listed only with --state trashed.

Examples:
  apograph ls /news/
  apograph ls --state published-with-changes
  apograph ls --type article --limit 20 --output json")]
pub(crate) struct Ls {
    /// Only URIs that begin with this
    #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Only this kind: document, node, user, role, server, config, index
    #[arg(long)]
    kind: Option<Kind>,
    /// Only this type
    #[arg(long = "type", value_name = "TYPE")]
    r#type: Option<String>,
    /// Only this state: working, published, published-with-changes, withdrawn, trashed, purged
    #[arg(long)]
    state: Option<State>,
    /// At most this many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Only URIs after this one
    #[arg(long, value_name = "URI")]
    after: Option<Uri>,
    /// As of this time: a commit timestamp or an RFC 3339 time
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Wait until the server has reached this token
    #[arg(long, value_name = "TOKEN")]
    at_least: Option<String>,
}

impl Ls {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let (client, printer) = (global.client()?, Printer::new(global.output));
        let mut is_told = false;
        let mut left = self.limit.unwrap_or(usize::MAX);
        let mut filter = ListFilter {
            prefix: self.prefix,
            kind: self.kind,
            r#type: self.r#type,
            state: self.state,
            after: self.after,
            as_of: self.as_of,
            at_least: self.at_least,
            limit: None,
        };
        while left > 0 {
            filter.limit = Some(left.min(PAGE_ITEMS));
            let page = client.list(&global.database, &filter).await?;
            left = left.saturating_sub(page.documents.len());
            if let Some(held) = page.partitions.as_ref().filter(|_| !is_told) {
                let held: Vec<String> = held.iter().map(ToString::to_string).collect();
                printer.note(&format!("of partitions {} only: this server holds no others", held.join(", ")));
                is_told = true;
            }
            for document in &page.documents {
                printer.value(document, in_words)?;
            }
            let Some(after) = page.next_after else { break };
            filter.after = Some(after);
            // The pages together show one state.
            filter.as_of.get_or_insert_with(|| page.as_of.to_string());
        }
        Ok(())
    }
}

fn in_words(document: &ListItem) -> String {
    let number = |version: Option<u64>| version.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let working = number(document.working.map(|version| version.number));
    let live = number(document.live.map(|version| version.number));
    let r#type = if document.r#type.is_empty() { "-" } else { &document.r#type };
    let moved = document.moved_to.as_ref().map_or_else(String::new, |uri| format!(" -> {uri}"));
    format!("{:<22} {working:>5} {live:>5}  {:<10} {}{moved}", document.state.as_str(), r#type, document.uri)
}
