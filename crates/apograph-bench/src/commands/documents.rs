//! `cargo xtask documents`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use apograph_bench::documents::{Corpus, Documents};
use apograph_bench::load::load;
use apograph_client::client::ClientSettings;
use apograph_client::{Client, Secret};
use clap::Args;

/// Bring documents of real text to a primary; run again, it goes on where it stopped
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    count: u64,
    /// The same seed makes the same documents
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The primary
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7700")]
    server: String,
    /// File with a token of the role admin
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// The database
    #[arg(long, value_name = "NAME", default_value = "main")]
    database: String,
}

impl Load {
    pub(crate) fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
        let secret = Secret::from_file(&self.token_file)?;
        let client = Client::new(ClientSettings::new(self.server.clone()).with_secret(secret))?;
        let documents = Documents::new(Corpus::load(), self.seed, self.count);
        let (started, total) = (Instant::now(), documents.transactions());
        let mut told = Instant::now();
        let loaded = load(&client, &self.database, &documents, |done| {
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                let rate = done as f64 / started.elapsed().as_secs_f64();
                eprintln!("{done} of {total} transactions in this run, {rate:.1}/s");
            }
        })?;
        let seconds = loaded.duration.as_secs_f64();
        println!(
            "{} documents are there: {} transactions in {seconds:.1} s",
            self.count, loaded.transactions
        );
        Ok(())
    }
}
