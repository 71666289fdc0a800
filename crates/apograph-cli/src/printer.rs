//! Standard output: text for people, or one JSON value per line.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::arguments::OutputFormat;
use crate::failure::Failure;

/// Prints answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    format: OutputFormat,
}

impl Printer {
    pub(crate) fn new(format: OutputFormat) -> Printer {
        Printer { format }
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Prints a value: as JSON, or what `text` makes of it.
    pub(crate) fn value<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            OutputFormat::Json => self.line(&serde_json::to_string(value).expect("answers are plain data")),
            OutputFormat::Text => self.line(&text(value)),
        }
    }

    /// Prints a line as it is, without a second end of line.
    pub(crate) fn line(self, line: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = out.write_all(line.as_bytes()).and_then(|()| match line.ends_with('\n') {
            true => Ok(()),
            false => out.write_all(b"\n"),
        });
        written.and_then(|()| out.flush()).map_err(output_failure)
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        io::stdout().lock().write_all(bytes).map_err(output_failure)
    }

    /// Everything is out.
    pub(crate) fn flush(self) -> Result<(), Failure> {
        io::stdout().lock().flush().map_err(output_failure)
    }

    /// Tells a person, beside the answer, on standard error; programs are not told.
    pub(crate) fn note(self, line: &str) {
        if self.format == OutputFormat::Text {
            // A note that cannot be told is not worth a failure.
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }
}

fn output_failure(error: io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::local("the output cannot be written", error),
    }
}
