//! What a server that came back had acknowledged and nobody else has: listed, and brought back.

use std::time::{Duration, Instant};

use apograph_client::client::Client;
use apograph_client::types::{RestoreAnswer, RestoreOutcome, RestoreRequest};

use super::history::{Event, Write};
use super::pair::Pair;
use crate::figures::{Report, Unit};
use crate::process::block_on;

/// Orphans of one page.
const PAGE: u64 = 1_000;

/// What became of the orphans of a run.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// Clients' writes among those of each return.
    lost: Vec<u64>,
    back: u64,
    failures: Vec<String>,
}

impl Orphans {
    /// This one came back: lists what it has, and has it bring that back.
    pub(super) fn take_back(&mut self, pair: &mut Pair, at: usize) {
        self.lost.push(pair.list_orphans(at));
        match pair.restore_orphans(at) {
            Ok(count) => self.back += count,
            Err(error) => self.failures.push(format!("return {}: {error}", self.lost.len())),
        }
    }

    pub(super) fn report(&self, report: &mut Report) {
        let left_some = self.lost.iter().filter(|lost| **lost > 0).count();
        for (what, count) in [
            ("orphans that are clients' writes", self.lost.iter().sum::<u64>()),
            ("of one return, at most", self.lost.iter().max().copied().unwrap_or(0)),
            ("returns with some", left_some as u64),
            ("orphans that came back", self.back),
        ] {
            report.figure(what, count as f64, Unit::Count);
        }
        report.check("every restoration came to its end", self.failures.is_empty(), self.failures.join("\n"));
    }
}

impl Pair {
    /// Orphans that this one has and that were not listed yet, into the history; how many of them are clients' writes.
    pub(super) fn list_orphans(&mut self, at: usize) -> u64 {
        let (server, mut count) = (&self.servers[at], 0);
        let client = server.client("admin");
        loop {
            let page = block_on(client.orphans("main", self.listed[at], PAGE)).unwrap();
            for orphan in &page {
                assert!(orphan.is_whole, "{orphan:?}");
                let write = Write::parse(&orphan.comment);
                count += u64::from(write.is_some());
                self.recorder.record(Event::Orphan { token: orphan.token, write, server: server.name });
                self.listed[at] = orphan.token.timestamp.0;
            }
            if page.len() < PAGE as usize {
                return count;
            }
        }
    }

    /// Has this one bring all of its orphans back; repeated as long as the other side is not there.
    fn restore_orphans(&self, at: usize) -> Result<u64, String> {
        let (server, other) = (&self.servers[at], &self.servers[1 - at]);
        let token = std::fs::read_to_string(other.token("admin")).unwrap().trim().to_owned();
        let request = RestoreRequest { primary_token: Some(token), primary_url: None, tokens: Vec::new() };
        let began = Instant::now();
        loop {
            match block_on(self.restore_once(&server.client("admin"), &request)) {
                Ok(count) => return Ok(count),
                Err(error) if began.elapsed() > Duration::from_secs(60) => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    async fn restore_once(&self, client: &Client, request: &RestoreRequest) -> Result<u64, String> {
        let mut answers = client.restore_orphans("main", request).await.map_err(|error| error.to_string())?;
        let mut count = 0;
        while let Some(answer) = answers.next().await.map_err(|error| error.to_string())? {
            match answer {
                RestoreAnswer::Orphan(orphan) => {
                    let came_back = orphan.outcome != RestoreOutcome::Refused;
                    count += u64::from(orphan.outcome == RestoreOutcome::Restored);
                    self.recorder.record(Event::Restored { token: orphan.token, write: None, came_back });
                }
                RestoreAnswer::Refused(problem) => return Err(problem.detail),
                RestoreAnswer::Done(_) => {}
            }
        }
        Ok(count)
    }
}
