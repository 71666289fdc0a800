//! What a set of servers has together: `apograph status --with URL`.

use std::path::{Path, PathBuf};

use apograph_client::together::{Member, Together, together};
use apograph_client::types::DatabaseStatus;

use crate::arguments::Global;
use crate::connection;
use crate::failure::Failure;
use crate::printer::Printer;

/// Asks all of them, and prints what they have together.
pub(crate) async fn show(global: &Global, with: &[String], token_files: &[PathBuf]) -> Result<(), Failure> {
    if token_files.len() > 1 && token_files.len() != with.len() {
        let usage = "give --with-token-file once for all, or once for each --with, in their order";
        return Err(Failure::Usage(usage.to_owned()));
    }
    let mut members = vec![member(global, &global.server, global.token_file.as_deref()).await?];
    for (index, url) in with.iter().enumerate() {
        let file = token_files.get(index).or(token_files.first());
        let file = file.map(PathBuf::as_path).or(global.token_file.as_deref());
        members.push(member(global, url, file).await?);
    }
    let databases: Vec<_> = members.iter().map(|(_, status)| status.id).collect();
    if databases.windows(2).any(|pair| pair.first() != pair.last()) {
        return Err(Failure::Usage("these servers do not hold one database, but several".to_owned()));
    }
    let members = members.iter().map(|(url, status)| Member::of(url, status)).collect();
    Printer::new(global.output).value(&together(members), in_words)
}

/// A server, and where it stands with the database.
async fn member(
    global: &Global,
    url: &str,
    token_file: Option<&Path>,
) -> Result<(String, DatabaseStatus), Failure> {
    let client = connection::client(url, token_file)?;
    let status = client.status().await?;
    let database = status.databases.into_iter().find(|database| database.name == global.database);
    let database = database.ok_or_else(|| Failure::Local {
        what: format!("{url} has no database {:?}", global.database),
        source: "it does not exist, or the copy has not met its source yet".into(),
        next: Some(format!("see `apograph status --server {url}`")),
    })?;
    Ok((client.url().to_owned(), database))
}

fn in_words(together: &Together) -> String {
    let mut text = match together.common {
        Some(common) => {
            format!("common timestamp {} ({common}), epoch {}\n", common.to_rfc3339(), together.epoch)
        }
        None => format!("no common timestamp, epoch {}\n", together.epoch),
    };
    for member in &together.members {
        let held: Vec<String> = member.partitions.iter().map(ToString::to_string).collect();
        let counts =
            member.left_out.as_deref().map_or_else(String::new, |why| format!("  NOT COUNTED: {why}"));
        text.push_str(&format!(
            "  {}  {}, partitions {}, visible {}{counts}\n",
            member.url,
            member.role,
            held.join(", "),
            member.visible
        ));
    }
    for partition in &together.partitions {
        text.push_str(&match (&partition.best, partition.complete) {
            (Some(best), Some(complete)) => {
                format!("  partition {:>2}  complete to {complete} at {best}\n", partition.partition.0)
            }
            _ => format!("  partition {:>2}  NOBODY of them holds it\n", partition.partition.0),
        });
    }
    text
}
