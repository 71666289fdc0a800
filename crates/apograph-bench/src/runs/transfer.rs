//! A copy that comes to equality over a line that counts.

use std::time::{Duration, Instant};

use apograph_client::types::link::LinkDirection;
use apograph_client::types::{LinkState, LinkStatus, Status};

use super::Stage;
use super::stage::verify;
use crate::figures::{Report, Unit};
use crate::process::Server;
use crate::proxy::{Line, Proxy, Traffic};

/// A copy that follows may be behind by this much of the primary's history.
const MOMENT_MICROSECONDS: u64 = 3_000_000;

/// A replica of the stage's primary, and the line to it.
#[derive(Debug)]
pub struct Copy {
    /// The replica.
    pub server: Server,
    /// The line.
    pub proxy: Proxy,
}

/// What one way to equality took.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// From the start of the copy's process until it follows.
    pub duration: Duration,
    /// What went over the line meanwhile.
    pub traffic: Traffic,
    /// Largest resident memory of the copy meanwhile.
    pub copy_mib: u64,
    /// And of the primary.
    pub primary_mib: u64,
}

impl Copy {
    /// A new one, empty, not started.
    pub fn new(stage: &Stage, name: &'static str) -> Copy {
        let proxy = Proxy::start(Line::To(stage.primary.port));
        let server = stage.replica(name, proxy.port);
        Copy { server, proxy }
    }

    /// Starts it and waits until it follows and shows all that the primary showed at the start.
    pub fn transfer(&self, stage: &Stage) -> Result<Transfer, String> {
        self.proxy.take_traffic();
        stage.primary.forget_peak();
        self.server.forget_peak();
        let started = Instant::now();
        self.server.start();
        self.until_it_follows(stage)?;
        Ok(Transfer {
            duration: started.elapsed(),
            traffic: self.proxy.take_traffic(),
            copy_mib: self.server.resident_peak_mib(),
            primary_mib: stage.primary.resident_peak_mib(),
        })
    }

    /// Waits until it follows and shows all that the primary shows now. Ends early when the link stops for good.
    pub fn until_it_follows(&self, stage: &Stage) -> Result<(), String> {
        let wanted = visible(&stage.primary.status().ok_or("the primary does not answer")?);
        let patience = Duration::from_secs(120 + stage.scale.documents / 250);
        let started = Instant::now();
        let mut last = String::from("it never answered");
        while started.elapsed() < patience {
            if let Some(status) = self.server.status() {
                match link(&status) {
                    Some(link) if link.state == LinkState::Following && visible(&status) >= wanted => {
                        return Ok(());
                    }
                    Some(link) if link.state == LinkState::Stopped => return Err(told(link)),
                    link => last = link.map(told).unwrap_or_default(),
                }
            }
            if self.server.has_ended() {
                return Err(format!("its process ended:\n{}", self.server.log()));
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Err(format!("not within {} s: {last}", patience.as_secs()))
    }

    /// Whether it is still on its way: it does not follow, or is behind by more than a moment.
    pub fn is_underway(&self, stage: &Stage) -> bool {
        let Some((primary, status)) = stage.primary.status().zip(self.server.status()) else { return true };
        let behind = visible(&primary).saturating_sub(visible(&status));
        !follows(&status) || behind > MOMENT_MICROSECONDS
    }

    /// Whether its link does anything else than following, however far it is behind.
    pub fn is_synchronizing(&self) -> bool {
        !self.server.status().as_ref().is_some_and(follows)
    }

    /// What its link says of itself.
    pub fn told(&self) -> String {
        self.server.status().as_ref().and_then(link).map(told).unwrap_or_default()
    }

    /// `verify` finds it equal.
    pub fn verify(&self, stage: &Stage) -> Result<(), String> {
        verify(&stage.primary, &self.server)
    }
}

impl Transfer {
    /// Adds what it took to a report.
    pub fn figures(&self, what: &str, report: &mut Report) {
        let traffic = &self.traffic;
        report.figure(format!("{what}: time"), self.duration.as_secs_f64(), Unit::Seconds);
        report.figure(format!("{what}: bytes to the copy"), traffic.bytes_answered as f64, Unit::Bytes);
        report.figure(format!("{what}: bytes to the primary"), traffic.bytes_asked as f64, Unit::Bytes);
        report.figure(format!("{what}: requests"), traffic.requests as f64, Unit::Count);
        for (route, (requests, bytes)) in &traffic.routes {
            report.figure(format!("{what}:   to {route}"), *requests as f64, Unit::Count);
            report.figure(format!("{what}:   from {route}"), *bytes as f64, Unit::Bytes);
        }
    }
}

fn visible(status: &Status) -> u64 {
    status.database("main").map_or(0, |database| database.visible.0)
}

fn link(status: &Status) -> Option<&LinkStatus> {
    status.links.iter().find(|link| link.direction == LinkDirection::In)
}

fn follows(status: &Status) -> bool {
    link(status).is_some_and(|link| link.state == LinkState::Following)
}

fn told(link: &LinkStatus) -> String {
    format!("{}: {}", link.state, link.reason.as_deref().unwrap_or("no reason given"))
}
