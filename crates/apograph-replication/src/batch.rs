//! What of a stream is handed to the engine at once.

use apograph_format::frame::FrameError;
use apograph_format::{Entry, Frame, Heartbeat};
use bytes::BytesMut;

/// How much is handed over at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Entries.
    pub entries_max: usize,
    /// Their bytes; the last entry may go beyond.
    pub bytes_max: usize,
}

/// Takes whole frames from the front of a stream's buffer: entries up to the limits, or up to a heartbeat, which is
/// everything that the source had when it sent it. Nothing is answered while no frame is complete.
pub fn batch(
    buffer: &mut BytesMut,
    limits: BatchLimits,
) -> Result<(Vec<Entry>, Option<Heartbeat>), FrameError> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while entries.len() < limits.entries_max && bytes < limits.bytes_max {
        match Frame::take(buffer)? {
            None => break,
            Some(Frame::Heartbeat(heartbeat)) => return Ok((entries, Some(heartbeat))),
            Some(Frame::Entry(entry)) => {
                bytes += entry.bytes().len();
                entries.push(entry);
            }
        }
    }
    Ok((entries, None))
}
