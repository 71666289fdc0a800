//! Paths as fast-export writes them: bare, or in double quotes with the escapes of C.

/// Reads a path that ends its line.
pub(super) fn last_path(text: &[u8]) -> Option<Vec<u8>> {
    let (path, rest) = match text.first()? {
        b'"' => unquote(text)?,
        _ => (text.to_vec(), [].as_slice()),
    };
    (rest.is_empty() && is_path(&path)).then_some(path)
}

/// Reads two paths, the first of which ends at a space unless it is quoted.
pub(super) fn two_paths(text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (first, rest) = match text.first()? {
        b'"' => unquote(text)?,
        _ => {
            let (path, rest) = text.split_at_checked(text.iter().position(|byte| *byte == b' ')?)?;
            (path.to_vec(), rest)
        }
    };
    let second = last_path(rest.strip_prefix(b" ")?)?;
    is_path(&first).then_some((first, second))
}

fn is_path(path: &[u8]) -> bool {
    !path.is_empty() && !path.contains(&0)
}

/// The bytes of a quoted path, and what follows its closing quote.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut path = Vec::new();
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((path, rest)),
            b'\\' => {
                let (byte, after) = escape(rest)?;
                path.push(byte);
                rest = after;
            }
            byte => path.push(*byte),
        }
    }
}

/// The byte that the escape after a backslash stands for, and what follows it.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    if let [high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', rest @ ..] = text {
        return Some(((high - b'0') * 64 + (middle - b'0') * 8 + (low - b'0'), rest));
    }
    let (letter, rest) = text.split_first()?;
    let byte = match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'r' => b'\r',
        b'"' | b'\\' => *letter,
        _ => return None,
    };
    Some((byte, rest))
}
