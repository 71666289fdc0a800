//! What a person is told.

use std::collections::BTreeMap;

use apograph_server::tokens::TokenRole;
use serde_json::json;

use super::folders::Layout;
use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Everything runs: where, with which tokens, and what to try.
pub(super) fn running(
    global: &Global,
    layout: &Layout,
    content: &str,
    late: &[String],
) -> Result<(), Failure> {
    let servers: BTreeMap<_, _> = layout
        .servers
        .iter()
        .map(|place| {
            let token = place.token_file(TokenRole::Admin);
            (
                place.role.to_string(),
                json!({ "url": place.url(), "dir": place.dir, "admin_token_file": token }),
            )
        })
        .collect();
    let value = json!({ "dir": layout.dir, "servers": servers, "content": content, "late": late });
    Printer::new(global.output).value(&value, |_| in_words(layout, content, late))
}

/// Everything is closed.
pub(super) fn stopped(global: &Global, layout: &Layout) {
    let dir = layout.dir.display();
    Printer::new(global.output).note(&format!("stopped; `apograph quickstart --dir {dir}` continues"));
}

fn in_words(layout: &Layout, content: &str, late: &[String]) -> String {
    let [primary, replica, staging] = &layout.servers;
    let (admin, of_replica, of_staging) = (
        primary.token_file(TokenRole::Admin),
        replica.token_file(TokenRole::Reader),
        staging.token_file(TokenRole::Reader),
    );
    let (admin, of_replica, of_staging) = (admin.display(), of_replica.display(), of_staging.display());
    let mut text = format!("Three servers are running, with {content}.\n\n");
    let roles =
        ["takes every edit", "holds everything, exactly", "holds what is published, and nothing else"];
    for (place, role) in layout.servers.iter().zip(roles) {
        let line = format!("  {:<8} {}  {role}\n", place.role.to_string(), place.url());
        text.push_str(&line);
    }
    for line in late {
        text.push_str(&format!("  not up to date yet: {line}\n"));
    }
    text.push_str(&format!(
        "\nEverything lies in {}; the tokens of each server are in its folder tokens/.\n\nTry, in another terminal:\n\n",
        layout.dir.display()
    ));
    if primary.url() != "http://127.0.0.1:7700" {
        text.push_str(&format!("  export APOGRAPH_SERVER={}\n", primary.url()));
    }
    text.push_str(&format!(
        "  export APOGRAPH_TOKEN_FILE={admin}
  apograph ls
  apograph status
  echo 'Hello' | apograph put /hello - --media-type text/plain --publish
  apograph get /hello --server {} --token-file {of_staging}
  apograph verify --against {} --against-token-file {of_replica}
  apograph verify --against {} --against-token-file {of_staging}

Stop with Ctrl-C; the same command continues.",
        staging.url(),
        replica.url(),
        staging.url(),
    ));
    text
}
