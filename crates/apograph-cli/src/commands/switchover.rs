//! `apograph switchover`.

use apograph_client::types::{SwitchoverAnswer, SwitchoverRequest};
use clap::Args;

use crate::arguments::Global;
use crate::failure::Failure;
use crate::printer::Printer;

/// Give the role of primary to a replica, without loss
#[derive(Debug, Args)]
#[command(after_help = "\
The primary holds its writes (whoever writes then waits, or is told to try again), the replica comes to its end, the
primary steps down, and the replica begins a new epoch. The old primary follows it from then on; other copies go on
following whom they follow. The same the other way round gives the role back.

If the replica does not come to the end in time, the primary goes on as before. There is never more than one primary.

Needs a token of the role admin, and is told to the primary. Exit status 3 if the role stayed where it was.

Examples:
  apograph switchover --to replica
  apograph switchover --to http://127.0.0.1:7701 --timeout 10 --output json")]
pub(crate) struct Switchover {
    /// Name or URL of the replica that becomes primary
    #[arg(long, value_name = "SERVER")]
    to: String,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=50))]
    timeout: u64,
}

impl Switchover {
    pub(crate) async fn run(self, global: &Global) -> Result<(), Failure> {
        let printer = Printer::new(global.output);
        printer.note(&format!("asking {} to give its role to {}", global.server, self.to));
        let request = SwitchoverRequest { to: self.to, timeout_s: Some(self.timeout) };
        let answer = global.client()?.switchover(&global.database, &request).await?;
        printer.value(&answer, in_words)
    }
}

fn in_words(answer: &SwitchoverAnswer) -> String {
    let url = answer.primary.url.as_deref().unwrap_or("no public URL");
    let mut text = format!("{} is the primary now  {url}\n", answer.primary.name);
    text.push_str(&format!("  epoch      {}\n", answer.epoch));
    text.push_str(&format!("  history    goes on after {} ({})\n", answer.base.to_rfc3339(), answer.base));
    text.push_str(&format!("  writes     waited for {} ms\n", answer.paused_ms));
    if !answer.confirmed {
        text.push_str(
            "  NOT YET    it may be primary, and did not say so: look at its status; if it is lost, promote another\n",
        );
    }
    text
}
