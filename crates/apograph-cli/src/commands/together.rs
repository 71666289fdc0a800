//! What a set of servers has together: `apograph status --with URL`.

use std::path::{Path, PathBuf};

use apograph_client::together::{Member, Succession, Together, Unreachable, succession, together};
use apograph_client::types::DatabaseStatus;

use crate::arguments::Global;
use crate::connection;
use crate::failure::{Failure, Kind};
use crate::printer::Printer;

/// Asks all of them, and prints what they have together.
pub(crate) async fn show(global: &Global, with: &[String], token_files: &[PathBuf]) -> Result<(), Failure> {
    let (members, mut unreachable) = ask(global, with, token_files).await?;
    if let Some((_, failure)) = unreachable.pop() {
        return Err(failure);
    }
    Printer::new(global.output).value(&together(members), in_words)
}

/// How they go on without their primary: `apograph promote --plan --with URL`. Fails if something stands against it.
pub(crate) async fn succeed(
    global: &Global,
    with: &[String],
    token_files: &[PathBuf],
) -> Result<(), Failure> {
    let (members, unreachable) = ask(global, with, token_files).await?;
    let nobody = |(url, failure): (String, Failure)| Unreachable { url, reason: failure.to_string() };
    let plan = succession(members, unreachable.into_iter().map(nobody).collect());
    Printer::new(global.output).value(&plan, succession_in_words)?;
    if plan.blocks.is_empty() { Ok(()) } else { Err(Failure::Blocked) }
}

/// Asks all of them; and who does not answer, with why.
async fn ask(
    global: &Global,
    with: &[String],
    token_files: &[PathBuf],
) -> Result<(Vec<Member>, Vec<(String, Failure)>), Failure> {
    if token_files.len() > 1 && token_files.len() != with.len() {
        let usage = "give --with-token-file once for all, or once for each --with, in their order";
        return Err(Failure::Usage(usage.to_owned()));
    }
    let mut servers = vec![(&global.server, global.token_file.as_deref())];
    for (index, url) in with.iter().enumerate() {
        let file = token_files.get(index).or(token_files.first());
        servers.push((url, file.map(PathBuf::as_path).or(global.token_file.as_deref())));
    }
    let (mut members, mut unreachable) = (Vec::new(), Vec::new());
    for (url, file) in servers {
        match member(global, url, file).await {
            Ok(found) => members.push(found),
            Err(failure) if failure.kind() == Kind::Unreachable => {
                unreachable.push((url.clone(), failure));
            }
            Err(failure) => return Err(failure),
        }
    }
    let databases: Vec<_> = members.iter().map(|(_, status)| status.id).collect();
    if databases.windows(2).any(|pair| pair.first() != pair.last()) {
        return Err(Failure::Usage("these servers do not hold one database, but several".to_owned()));
    }
    Ok((members.iter().map(|(url, status)| Member::of(url, status)).collect(), unreachable))
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

fn succession_in_words(plan: &Succession) -> String {
    let mut text = in_words(&plan.together);
    for of in &plan.unreachable {
        text.push_str(&format!("  {}  does not answer: {}\n", of.url, of.reason));
    }
    for above in &plan.above {
        text.push_str(&format!(
            "  above      {} shows {:.1} s more: what that is becomes orphans there\n",
            above.url, above.seconds
        ));
    }
    if let (Some(target), Some(common)) = (&plan.target, plan.together.common) {
        text.push_str(&format!("  promote    {target}: the history goes on after {}\n", common.to_rfc3339()));
        for step in &plan.take_in {
            let partitions: Vec<String> = step.partitions.iter().map(ToString::to_string).collect();
            text.push_str(&format!(
                "    stop it  apograph hold --dir ITS-FOLDER --partitions {} --source {} --source-token-file FILE\n",
                partitions.join(","),
                step.from
            ));
        }
        if !plan.take_in.is_empty() {
            text.push_str("    then     apograph serve --dir ITS-FOLDER\n");
        }
        text.push_str(&format!("    then     apograph promote --server {target} --reason TEXT\n"));
        text.push_str(&format!("    others   apograph follow --source {target} --source-token-file FILE\n"));
    }
    for block in &plan.blocks {
        text.push_str(&format!("  BLOCKED    {}: {}\n", block.code, block.detail));
    }
    text
}
