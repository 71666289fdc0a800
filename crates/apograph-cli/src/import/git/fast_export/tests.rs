//! The parser on small streams, whole, cut and spoiled.

use super::*;

const LIMIT: u64 = 1000;

fn stream() -> Vec<u8> {
    let oid = "0123456789abcdef0123456789abcdef01234567";
    let mut stream = format!(
        "feature done\n\
         blob\nmark :1\noriginal-oid {oid}\ndata 6\nhello\n\n\
         reset refs/heads/main\n\
         commit refs/heads/main\nmark :2\noriginal-oid {oid}\n\
         author A \u{fc} <a@b> 1394418827 -0700\ncommitter B <> 5 +0000\n\
         data 8\nmessage\n\
         M 100644 :1 \"a \\\"b\\\"\\303\\274\\t\\\\\"\n\
         M 100755 inline run me\ndata 3\n#!x\n\
         M 160000 {oid} sub\n\n\
         progress half\n\
         commit refs/heads/main\nmark :3\nauthor C <c> x\ncommitter C <c> x\ngpgsig sha1 openpgp\ndata 3\nsig\n\
         encoding latin1\ndata 0\nfrom :2\nmerge refs/heads/other^0\nD gone away\nR \"old name\" new\nC from to there\n\
         deleteall\n\n\
         reset refs/tags/x\nfrom :3\n\n\
         tag v1\nfrom :3\noriginal-oid {oid}\ntagger T <t> 1 +0000\ndata 4\ntag\n\n\
         done\n"
    )
    .into_bytes();
    // The stream proper ends at `done`; what follows is not ours to read.
    stream.extend_from_slice(b"anything");
    stream
}

fn parse(bytes: &[u8]) -> Result<Vec<Item>, ParseError> {
    let mut parser = Parser::new(bytes, LIMIT);
    let mut items = Vec::new();
    while let Some(item) = parser.next()? {
        items.push(item);
    }
    Ok(items)
}

#[test]
fn everything_that_a_stream_can_hold() {
    let items = parse(&stream()).unwrap();
    let [Item::Blob(blob), Item::Commit(first), Item::Commit(second)] = items.as_slice() else {
        panic!("{items:?}");
    };
    assert_eq!((blob.mark, blob.bytes.as_slice()), (Some(1), b"hello\n".as_slice()));
    assert_eq!((first.mark, first.message.as_str()), (Some(2), "message\n"));
    let author =
        Person { name: "A ü <a@b>".to_owned(), time_seconds: 1_394_418_827, zone: "-0700".to_owned() };
    assert_eq!(first.author, author);
    let oid = blob.oid.clone().unwrap();
    let modify = |path: &[u8], mode: &str, content| Change::Modify {
        path: path.to_vec(),
        mode: mode.to_owned(),
        content,
    };
    let changes = [
        modify("a \"b\"ü\t\\".as_bytes(), "100644", Content::Mark(1)),
        modify(b"run me", "100755", Content::Inline(b"#!x".to_vec())),
        modify(b"sub", "160000", Content::Oid(oid)),
    ];
    assert_eq!(first.changes, changes);
    assert!(first.parents.is_empty());
    assert_eq!((second.author.time_seconds, second.oid.as_ref()), (0, None));
    assert_eq!(second.parents, [Parent::Mark(2), Parent::Name("refs/heads/other^0".to_owned())]);
    let changes = [
        Change::Delete { path: b"gone away".to_vec() },
        Change::Rename { from: b"old name".to_vec(), to: b"new".to_vec() },
        Change::Copy { from: b"from".to_vec(), to: b"to there".to_vec() },
        Change::DeleteAll,
    ];
    assert_eq!(second.changes, changes);
}

#[test]
fn a_cut_stream_is_never_a_whole_one() {
    let stream = stream();
    let end = stream.len() - b"anything".len();
    for length in 0..end {
        let error = parse(&stream[..length]).expect_err("a cut stream");
        match error {
            ParseError::MissingDone { offset } | ParseError::Truncated { offset, .. } => {
                assert_eq!(offset, length as u64);
            }
            other => panic!("cut at {length}: {other}"),
        }
    }
    assert!(parse(&stream[..end]).is_ok());
}

#[test]
fn a_spoiled_stream_does_no_harm() {
    let stream = stream();
    for position in 0..stream.len() {
        for byte in [0, b'\n', b' ', b'"', b'9', 0xff] {
            let mut spoiled = stream.clone();
            spoiled[position] = byte;
            drop(parse(&spoiled));
        }
    }
}

#[test]
fn garbage_is_named_with_its_place() {
    let cases: [(&str, &str); 9] = [
        ("feature done\nwhat\n", "byte 13 of the export: expected a command, found \"what\""),
        ("blob\nmark :x\n", "byte 5 of the export: expected a number, found \"x\""),
        ("blob\ndata +1\n", "byte 5 of the export: expected a number, found \"+1\""),
        ("blob\ndata <<END\n", "byte 5 of the export: expected a number, found \"<<END\""),
        ("blob\noriginal-oid 12\n", "byte 5 of the export: expected an object name, found \"12\""),
        ("commit x\ndata 0\n", "byte 16 of the export: expected an author, found \"\""),
        (
            "commit x\nauthor A 1 +0\n",
            "byte 9 of the export: expected a name, an address and a time, found \"A 1 +0\"",
        ),
        (
            "commit x\nauthor A <> 1\ndata 0\nM 100644 :1 \"a\n",
            "byte 30 of the export: expected a mode, a content and a path, found \"100644 :1 \\\"a\"",
        ),
        ("commit x\nauthor A <> 1\ndata 0\nR a\n", "byte 30 of the export: expected two paths, found \"a\""),
    ];
    for (stream, message) in cases {
        assert_eq!(parse(stream.as_bytes()).unwrap_err().to_string(), message, "{stream:?}");
    }
}

#[test]
fn limits_hold() {
    let oid = "0123456789abcdef0123456789abcdef01234567";
    let large = format!("blob\nmark :1\noriginal-oid {oid}\ndata 1001\n");
    let error = parse(large.as_bytes()).unwrap_err().to_string();
    assert_eq!(error, format!("content {oid} at byte 67 has 1001 bytes, the limit is 1000"));
    let inline = "commit x\nauthor A <> 1\ndata 0\nM 100644 inline p\ndata 1001\n";
    assert!(matches!(parse(inline.as_bytes()), Err(ParseError::BlobTooLarge { blob, .. }) if blob == "p"));
    let endless = vec![b'x'; 70_000];
    assert!(matches!(parse(&endless), Err(ParseError::LineTooLong { offset: 0, .. })));
    let message = format!("commit x\nauthor A <> 1\ndata {}\n", u64::MAX);
    assert!(matches!(parse(message.as_bytes()), Err(ParseError::MessageTooLarge { .. })));
    let number = "blob\ndata 99999999999999999999999\n";
    assert!(matches!(parse(number.as_bytes()), Err(ParseError::Malformed { .. })));
}
