//! How long the functions of a source are, without parsing Rust: comments and literals are
//! blanked, then braces are counted.

/// A function and where it is.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Function {
    pub(super) name: String,
    /// The line of its `fn`, from 1.
    pub(super) line: usize,
    /// From the line of its `fn` to that of its last brace.
    pub(super) lines: usize,
}

/// All functions with a body, inner ones too.
pub(super) fn functions(source: &str) -> Vec<Function> {
    let code = blank(source);
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = code[at..].find("fn ") {
        let start = at + next;
        at = start + 3;
        if start > 0 && is_word(bytes[start - 1]) {
            continue;
        }
        let name: String =
            code[at..].chars().take_while(|c| c.is_ascii() && is_word(*c as u8)).collect();
        if name.is_empty() {
            continue;
        }
        if let Some(end) = body(bytes, at).and_then(|open| closing(bytes, open)) {
            let line = 1 + count_lines(&bytes[..start]);
            found.push(Function { name, line, lines: 1 + count_lines(&bytes[start..end]) });
        }
    }
    found
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where the body of the function with this signature begins; `None` if it has none.
fn body(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Where the brace that opens at `open` is closed.
fn closing(bytes: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The source with blanks for comments and for what stands in quotes; lines stay where they are.
pub(super) fn blank(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = skipped(bytes, at);
        if end > at {
            out.extend(bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    // What isn't ASCII stands in comments and literals; elsewhere it must not break the text.
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal ends that begins at `at`; `at` if none does.
fn skipped(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let in_word = at > 0 && is_word(bytes[at - 1]);
    let find = |needle: &[u8], from: usize| {
        let found = rest[from..].windows(needle.len()).position(|window| window == needle);
        found.map_or(bytes.len(), |found| at + from + found + needle.len())
    };
    match rest {
        [b'/', b'/', ..] => {
            rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end)
        }
        [b'/', b'*', ..] => nested_comment(bytes, at),
        [b'"', ..] => string_end(bytes, at + 1),
        [b'b' | b'c', b'"', ..] if !in_word => string_end(bytes, at + 2),
        [b'r', b'"' | b'#', ..] if !in_word => raw_end(bytes, at, 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !in_word => raw_end(bytes, at, 2),
        [b'\'', b'\\', ..] => find(b"'", 3),
        // A lifetime has no second quote there.
        [b'\'', _, b'\'', ..] => at + 3,
        [b'\'', first, ..] if !first.is_ascii() => find(b"'", 1),
        _ => at,
    }
}

fn nested_comment(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0;
    let mut at = at;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    bytes.len().min(at + 1)
}

/// The end of a raw string, whose quotes come after `prefix` letters.
fn raw_end(bytes: &[u8], at: usize, prefix: usize) -> usize {
    let hashes = bytes[at + prefix..].iter().take_while(|byte| **byte == b'#').count();
    let open = at + prefix + hashes;
    if bytes.get(open) != Some(&b'"') {
        // A raw identifier.
        return at;
    }
    let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let found = bytes[open + 1..].windows(end.len()).position(|window| window == end);
    found.map_or(bytes.len(), |found| open + 1 + found + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured() {
        let source = "
fn one() {}
pub(crate) const fn two<const N: usize>(a: [u8; 3])
where
    A: B,
{
    fn inner() {
    }
}
trait T {
    fn none(&self);
}
type F = fn (u8);
struct S { f: fn(u8) }
";
        let found = functions(source);
        let short: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(short, [("one", 2, 1), ("two", 3, 7), ("inner", 7, 2)]);
    }

    #[test]
    fn comments_and_literals_do_not_count() {
        let source = r##"
fn f<'a>(x: &'a str) { // {
    let _ = ("{", '{', b'{', '\'', '\\', "\"{", r"{\", r#""{"#, b"{", br#"{"#);
    /* { /* { */ { */
    let r#fn = 'a';
}
fn g() {}
"##;
        let short: Vec<_> = functions(source).into_iter().map(|f| (f.name, f.lines)).collect();
        assert_eq!(short, [("f".into(), 5), ("g".into(), 1)]);
        assert_eq!(blank("a \"b\nc\" d"), "a   \n   d");
    }
}
