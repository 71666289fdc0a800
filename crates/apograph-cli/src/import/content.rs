//! What bytes are, and how they travel in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes looked at to tell text from other things; as many as git looks at.
const SNIFFED_BYTES: usize = 8000;

/// First bytes of contents whose names may lie.
const SIGNATURES: [(&[u8], &str); 8] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"wOF2", "font/woff2"),
];

/// The media type of a content: by its first bytes, else by the name, else text or bytes.
///
/// A name says which sort of text a text is; it never makes bytes that are no text a text.
pub(crate) fn media_type(name: &str, content: &[u8]) -> String {
    let named = mime_guess::from_path(name).first_raw();
    let signed =
        SIGNATURES.iter().find(|(signature, _)| content.starts_with(signature)).map(|(_, kind)| *kind);
    match (signed, is_text(content), named) {
        // A zip with a name of its own, such as .docx or .epub.
        (Some("application/zip"), _, Some(named)) if named.starts_with("application/") => named.to_owned(),
        (Some(signed), ..) => signed.to_owned(),
        (None, true, Some(named)) if named.starts_with("text/") => format!("{named}; charset=utf-8"),
        (None, true, Some(named)) if is_textual(named) => named.to_owned(),
        (None, true, _) => "text/plain; charset=utf-8".to_owned(),
        (None, false, Some(named)) if !named.starts_with("text/") && !is_textual(named) => named.to_owned(),
        (None, false, _) => apograph_client::media_type::BYTES.to_owned(),
    }
}

/// A content as the members `body` or `body_base64`.
pub(crate) fn body(content: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(content) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(content))),
    }
}

/// UTF-8 without zero bytes, as far as it is looked at; a character may be cut at the end of that.
fn is_text(content: &[u8]) -> bool {
    let (beginning, cut) = match content.get(..SNIFFED_BYTES) {
        Some(beginning) => (beginning, true),
        None => (content, false),
    };
    let utf8 = match std::str::from_utf8(beginning) {
        Ok(_) => true,
        Err(error) => cut && error.error_len().is_none(),
    };
    utf8 && !beginning.contains(&0)
}

/// Formats that are text, though their media type does not begin with `text/`.
fn is_textual(media_type: &str) -> bool {
    let names = [
        "application/json",
        "application/javascript",
        "application/xml",
        "application/toml",
        "application/yaml",
    ];
    names.contains(&media_type)
        || media_type.ends_with("+xml")
        || media_type.ends_with("+json")
        || media_type.starts_with("application/x-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_decide_names_refine() {
        let cases: [(&str, &[u8], &str); 14] = [
            ("/a/README.md", b"# Hi", "text/markdown; charset=utf-8"),
            ("/a/rfc1.txt", b"Hi", "text/plain; charset=utf-8"),
            ("/a/index.html", b"<p>", "text/html; charset=utf-8"),
            ("/a/data.json", b"{}", "application/json"),
            ("/a/pic.svg", b"<svg/>", "image/svg+xml"),
            ("/Makefile", b"all:\n", "text/plain; charset=utf-8"),
            ("/a.unknownext", b"text", "text/plain; charset=utf-8"),
            ("/empty", b"", "text/plain; charset=utf-8"),
            ("/a.txt", b"\xff\xfe\x00", "application/octet-stream"),
            ("/a.txt", b"\x89PNG\r\n\x1a\n0", "image/png"),
            ("/a.png", b"not a picture", "text/plain; charset=utf-8"),
            ("/a.ttf", b"\x00\x01\x00\x00", "font/ttf"),
            (
                "/a.docx",
                b"PK\x03\x04..",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            ),
            ("/a", b"\x00", "application/octet-stream"),
        ];
        for (name, content, expected) in cases {
            assert_eq!(media_type(name, content), expected, "{name}");
        }
        let long = "ä".repeat(SNIFFED_BYTES);
        assert!(is_text(long.as_bytes()) && is_text(format!("x{long}").as_bytes()));
        assert_eq!(body(b"x"), (Some("x".into()), None));
        assert_eq!(body(b"\xff"), (None, Some("/w==".into())));
    }
}
