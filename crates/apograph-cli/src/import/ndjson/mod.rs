//! An export, loaded into an empty primary.
//!
//! - `file.rs`: the export as a file; what its first and last line say, and every line checked before anything is sent;
//! - `run.rs`: the transfer, from where the cursor stands.

mod file;
mod run;

pub(crate) use file::ExportFile;
pub(crate) use run::{Run, Summary};
