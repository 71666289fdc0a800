//! `Range`: one range of bytes. Everything else is answered with the whole.

use std::ops::Range;

use crate::problem::{Code, Refused};

/// The bytes asked for; `None` for all of them.
pub(crate) fn parse(header: Option<&str>, length: u64) -> Result<Option<Range<u64>>, Refused> {
    let Some((first, last)) = header.and_then(one_range) else {
        return Ok(None);
    };
    let outside = || {
        let detail = format!("the content has {length} bytes");
        Err(Code::RangeInvalid.because(detail).with("bytes", length))
    };
    let range = match (first, last) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) => first..length,
        (None, Some(suffix)) => length.saturating_sub(suffix)..length,
        // Not a range: as if it was not there.
        (Some(_), Some(_)) | (None, None) => return Ok(None),
    };
    if range.start >= length || range.is_empty() { outside() } else { Ok(Some(range)) }
}

fn one_range(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        digits => digits.parse().ok().map(Some),
    };
    Some((number(first)?, number(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges() {
        let cases = [
            ("bytes=0-9", Some(0..10)),
            ("bytes=90-", Some(90..100)),
            ("bytes=90-1000", Some(90..100)),
            ("bytes=-5", Some(95..100)),
            ("bytes=-500", Some(0..100)),
            ("bytes=5-2", None),
            ("bytes=-", None),
            ("bytes=0-1,4-5", None),
            ("lines=0-1", None),
        ];
        for (header, expected) in cases {
            assert_eq!(parse(Some(header), 100).unwrap(), expected, "{header}");
        }
        assert_eq!(parse(None, 100).unwrap(), None);
    }

    #[test]
    fn what_lies_outside_is_refused() {
        for (header, length) in [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-0", 0), ("bytes=-5", 0)] {
            let code = parse(Some(header), length).unwrap_err().code();
            assert_eq!(code, Code::RangeInvalid, "{header} of {length}");
        }
    }
}
