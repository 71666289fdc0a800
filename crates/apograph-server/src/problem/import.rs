//! Why an export is not loaded.

use apograph::error::ImportError;
use apograph::import::{LineError, LineFault};

use super::{Code, Refused};

impl From<ImportError> for Refused {
    fn from(error: ImportError) -> Refused {
        let detail = error.to_string();
        match error {
            ImportError::NotEmpty { uri } => Code::NotEmpty.because(detail).with("uri", uri.as_str()),
            ImportError::Loaded => Code::Cursor.because(detail),
            ImportError::Line(LineError { line, fault }) => match fault {
                LineFault::Newer { .. } => Code::ExportNewer.because(detail).with("line", line),
                LineFault::Spool(error) => error.into(),
                _ => Code::ExportInvalid.because(detail).with("line", line),
            },
            ImportError::Commit(error) => error.into(),
            ImportError::Read(error) => error.into(),
        }
    }
}
