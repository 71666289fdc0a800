//! From a path in a repository, which is bytes, to a document's URI.

use std::fmt::Write;

use unicode_normalization::UnicodeNormalization;

use super::limits::URI_BYTES_MAX;
use super::plan::SkippedReason;

/// Root folder of the repository's own system documents. A file of that name must not become one of them.
const RESERVED: &str = "_system";

/// The URI of the file at `path`: `/` and the path in NFC. What a URI cannot hold is percent-encoded: bytes that are
/// not UTF-8, control characters, `.` and `..` segments, and the first letter of the reserved root folder.
pub(crate) fn uri_of(path: &[u8]) -> Result<String, SkippedReason> {
    let normal: String = printable(path).nfc().collect();
    let mut uri = String::with_capacity(normal.len() + 1);
    for (index, segment) in normal.split('/').enumerate() {
        uri.push('/');
        match segment {
            "" => return Err(SkippedReason::EmptySegment),
            "." => uri.push_str("%2E"),
            ".." => uri.push_str("%2E%2E"),
            RESERVED if index == 0 => uri.push_str("%5Fsystem"),
            segment => uri.push_str(segment),
        }
    }
    match uri.len() {
        ..=URI_BYTES_MAX => Ok(uri),
        bytes => Err(SkippedReason::TooLong { bytes }),
    }
}

fn printable(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                encode(character.encode_utf8(&mut [0; 4]).as_bytes(), &mut text);
            } else {
                text.push(character);
            }
        }
        encode(chunk.invalid(), &mut text);
    }
    text
}

fn encode(bytes: &[u8], text: &mut String) {
    for byte in bytes {
        write!(text, "%{byte:02X}").expect("a String takes any text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        let cases: [(&[u8], &str); 8] = [
            (b"text/0001.md", "/text/0001.md"),
            ("a b/100%/ü".as_bytes(), "/a b/100%/ü"),
            ("u\u{308}".as_bytes(), "/ü"),
            (b"bad\xff\xfename", "/bad%FF%FEname"),
            (b"tab\there\x7f", "/tab%09here%7F"),
            ("c1\u{85}".as_bytes(), "/c1%C2%85"),
            (b"a/./../...", "/a/%2E/%2E%2E/..."),
            (b"_system/user/admin", "/%5Fsystem/user/admin"),
        ];
        for (path, uri) in cases {
            assert_eq!(uri_of(path).as_deref(), Ok(uri));
        }
        assert_eq!(uri_of(b"a/_system").as_deref(), Ok("/a/_system"));
    }

    #[test]
    fn paths_that_no_encoding_helps_are_refused() {
        assert_eq!(uri_of(b"a//b"), Err(SkippedReason::EmptySegment));
        assert_eq!(uri_of(b""), Err(SkippedReason::EmptySegment));
        assert!(uri_of(&[b'x'; 1023]).is_ok());
        assert_eq!(uri_of(&[b'x'; 1024]), Err(SkippedReason::TooLong { bytes: 1025 }));
        assert_eq!(uri_of(&[0xff; 400]), Err(SkippedReason::TooLong { bytes: 1201 }));
    }
}
