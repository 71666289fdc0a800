//! Listing the segments of a folder without opening it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use apograph_format::segment::SegmentHeader;

use crate::error::{Damage, Fault, IoFailure};
use crate::folder::{SegmentName, segment_names};
use crate::segment::{Segment, read_at};
use crate::shared::SegmentSummary;
use crate::walk::Walk;

/// All segment files of a folder, oldest first, by walking over their entry headers; a file that cannot be walked to
/// its end is an error of its own. A torn tail of the open one is not: its summary ends before it. Never writes.
pub fn list(dir: &Path) -> Result<Vec<Result<SegmentSummary, Damage>>, IoFailure> {
    let mut listed = Vec::new();
    for name in segment_names(dir)? {
        match summary(&name) {
            Ok(summary) => listed.push(Ok(summary)),
            Err(Fault::Damaged(damage)) => listed.push(Err(damage)),
            Err(Fault::Io(failure)) => return Err(failure),
        }
    }
    Ok(listed)
}

fn summary(name: &SegmentName) -> Result<SegmentSummary, Fault> {
    let file = File::open(&name.path).map_err(IoFailure::of("open", &name.path))?;
    let bytes = file.metadata().map_err(IoFailure::of("read", &name.path))?.len();
    let front = read_at(&file, 0, apograph_format::segment::SEGMENT_HEADER_BYTES)
        .map_err(IoFailure::of("read", &name.path))?;
    let header =
        SegmentHeader::decode(&front).map_err(|error| Damage::new(&name.path, 0, name.first, error))?;
    let segment = Arc::new(Segment::new(header, file, name.path.clone(), &[]));
    let mut walk = Walk::new(Arc::clone(&segment), segment.beginning(), bytes);
    let mut first_timestamp = None;
    loop {
        match walk.next_header() {
            Ok(Some((_, header))) => {
                first_timestamp.get_or_insert(header.timestamp);
            }
            Err(Fault::Damaged(_)) if name.open => break,
            Ok(None) => break,
            Err(fault) => return Err(fault),
        }
    }
    Ok(SegmentSummary {
        path: name.path.clone(),
        first: header.first_sequence(),
        last: walk.place.after.sequence,
        bytes: walk.place.offset,
        open: name.open,
        first_timestamp,
        last_timestamp: walk.place.after_timestamp,
    })
}
