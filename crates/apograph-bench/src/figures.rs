//! What a run measured, what it should have been, and how that is told.

use std::fmt;

use serde::Serialize;

/// What one run measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which run.
    pub run: &'static str,
    /// On how many documents.
    pub documents: u64,
    /// In the order of their measurement.
    pub figures: Vec<Figure>,
    /// What the run wanted to see, and whether it did.
    pub checks: Vec<Check>,
}

/// One number.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What it is the number of.
    pub what: String,
    /// The number.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
    /// It must not be more than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
}

/// Something that is so or is not.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What should be so.
    pub what: String,
    /// Whether it was.
    pub holds: bool,
    /// What was found, where there is something to say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub found: String,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// 2^20 bytes.
    Mebibytes,
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Things per second.
    PerSecond,
    /// Hundredths.
    Percent,
    /// One number by another.
    Ratio,
}

impl Report {
    /// Nothing measured yet.
    pub fn new(run: &'static str, documents: u64) -> Report {
        Report { run, documents, figures: Vec::new(), checks: Vec::new() }
    }

    /// A number to be known.
    pub fn figure(&mut self, what: impl Into<String>, value: f64, unit: Unit) {
        self.figures.push(Figure { what: what.into(), value, unit, at_most: None });
    }

    /// A number with a bound.
    pub fn bounded(&mut self, what: impl Into<String>, value: f64, unit: Unit, at_most: Option<f64>) {
        self.figures.push(Figure { what: what.into(), value, unit, at_most });
    }

    /// Something that should be so.
    pub fn check(&mut self, what: impl Into<String>, holds: bool, found: impl Into<String>) {
        self.checks.push(Check { what: what.into(), holds, found: found.into() });
    }

    /// Something that should be so; what was found is in the error.
    pub fn outcome(&mut self, what: impl Into<String>, outcome: Result<(), String>) {
        let holds = outcome.is_ok();
        self.check(what, holds, outcome.err().unwrap_or_default());
    }

    /// The lines of what is not as it should be.
    pub fn misses(&self) -> Vec<String> {
        let figures = self.figures.iter().filter(|figure| !figure.is_met()).map(Figure::to_string);
        let checks = self.checks.iter().filter(|check| !check.holds).map(Check::to_string);
        figures.chain(checks).collect()
    }
}

impl Figure {
    /// It has no bound, or is within it.
    pub fn is_met(&self) -> bool {
        self.at_most.is_none_or(|at_most| self.value <= at_most)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} documents", self.run, self.documents)?;
        for figure in &self.figures {
            writeln!(f, "  {figure}")?;
        }
        for check in &self.checks {
            writeln!(f, "  {check}")?;
        }
        match self.misses().len() {
            0 => writeln!(f, "  verdict: as it should be"),
            count => writeln!(f, "  verdict: {count} MISSED"),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<52} {:>18}", self.what, shown(self.value, self.unit))?;
        if let Some(at_most) = self.at_most {
            let met = if self.is_met() { "met" } else { "MISSED" };
            write!(f, "   at most {}: {met}", shown(at_most, self.unit))?;
        }
        Ok(())
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<71} {}", self.what, if self.holds { "yes" } else { "NO" })?;
        if self.found.is_empty() { Ok(()) } else { write!(f, "   {}", self.found.replace('\n', "\n      ")) }
    }
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count => grouped(value),
        Unit::Bytes => format!("{} B", grouped(value)),
        Unit::Mebibytes => format!("{value:.0} MiB"),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::Milliseconds => format!("{value:.2} ms"),
        Unit::PerSecond => format!("{}/s", grouped(value)),
        Unit::Percent => format!("{value:.3} %"),
        Unit::Ratio => format!("{value:.3}"),
    }
}

/// Digits in threes.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_is_passed_is_a_miss() {
        let mut report = Report::new("x", 1_000_000);
        report.bounded("bytes", 1_234_567.0, Unit::Bytes, Some(1_234_566.0));
        report.bounded("time", 1.0, Unit::Seconds, Some(1.0));
        report.figure("free", 1e9, Unit::Count);
        report.check("equal", true, "");
        assert_eq!(report.misses().len(), 1);
        assert!(report.misses()[0].contains("1,234,567 B"), "{report}");
    }
}
