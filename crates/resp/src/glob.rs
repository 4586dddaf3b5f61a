//! Glob patterns by Redis' rules: `*`, `?`, classes in brackets, and backslash.
//!
//! The matcher neither recurses nor tries the ways to divide a text among several stars, so its
//! work is bounded by the length of the pattern times the length of the text. That is sound since
//! every element but the star matches exactly one byte: once a later star is reached, the
//! shortest match of the earlier ones is as good as any other.
//!
//! Redis' oddities are kept: a class may end with the pattern, its escapes heed case, and an
//! empty text is matched by the empty pattern alone.

/// Whether letters that differ only in case are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    /// They differ, as in keys.
    Heeded,
    /// They are the same, as in the names of settings and commands.
    Ignored,
}

/// Whether the whole text matches the pattern.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let mut rest = pattern;
    let mut at = 0;
    // The pattern behind the last star, and where its match now begins.
    let mut star: Option<(&[u8], usize)> = None;
    while let Some(byte) = text.get(at) {
        if let [b'*', behind @ ..] = rest {
            if behind.is_empty() {
                return true;
            }
            star = Some((behind, at));
            rest = behind;
            continue;
        }
        if let Some(behind) = one(rest, *byte, case) {
            rest = behind;
            at += 1;
            continue;
        }
        let Some((behind, start)) = &mut star else { return false };
        *start += 1;
        rest = behind;
        at = *start;
    }
    rest.iter().all(|byte| *byte == b'*')
}

/// Matches one byte with the first element of the pattern and returns what is behind it.
fn one(pattern: &[u8], byte: u8, case: Case) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', behind @ ..] => Some(behind),
        [b'[', class @ ..] => in_class(class, byte, case),
        [b'\\', escaped, behind @ ..] => {
            (fold(*escaped, case) == fold(byte, case)).then_some(behind)
        }
        [literal, behind @ ..] => (fold(*literal, case) == fold(byte, case)).then_some(behind),
    }
}

fn in_class(class: &[u8], byte: u8, case: Case) -> Option<&[u8]> {
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    let behind = loop {
        match rest {
            [] => break rest,
            [b']', behind @ ..] => break behind,
            [b'\\', escaped, tail @ ..] => {
                found |= *escaped == byte;
                rest = tail;
            }
            [from, b'-', to, tail @ ..] => {
                let (from, to) = (fold(*from, case), fold(*to, case));
                found |= (from.min(to)..=from.max(to)).contains(&fold(byte, case));
                rest = tail;
            }
            [literal, tail @ ..] => {
                found |= fold(*literal, case) == fold(byte, case);
                rest = tail;
            }
        }
    };
    (found != negated).then_some(behind)
}

fn fold(byte: u8, case: Case) -> u8 {
    match case {
        Case::Heeded => byte,
        Case::Ignored => byte.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn heeded(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), Case::Heeded)
    }

    #[test]
    fn samples() {
        let good = [
            ("", ""),
            ("*", "a"),
            ("h?llo", "hello"),
            ("h*llo", "hllo"),
            ("h*llo", "heeeello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hbllo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hbllo"),
            ("h\\?llo", "h?llo"),
            ("a*", "a"),
            ("a**", "a"),
            ("*a*b*c*", "xxaxxbxxcxx"),
            ("[abc", "b"),
            ("[a-]", "a"),
            ("\\", "\\"),
            ("[^]x", "ax"),
            ("[\\]]", "]"),
            ("*[0-9]", "key7"),
            ("*ab", "aab"),
            ("a\\*b", "a*b"),
        ];
        for (pattern, text) in good {
            assert!(heeded(pattern, text), "{pattern} {text}");
        }
        let bad = [
            ("", "a"),
            ("*", ""),
            ("h?llo", "hllo"),
            ("h[ae]llo", "hillo"),
            ("h[^e]llo", "hello"),
            ("[]a]", "a"),
            ("a*b", "abc"),
            ("[", "["),
            ("h\\?llo", "hello"),
            ("?", ""),
            ("A", "a"),
        ];
        for (pattern, text) in bad {
            assert!(!heeded(pattern, text), "{pattern} {text}");
        }
        assert!(matches(b"MAX*[A-M]y", b"maxmemory-poliCy", Case::Ignored));
        assert!(!matches(b"[\\A]", b"a", Case::Ignored));
    }

    /// Redis' algorithm: recursive, and exponential without a bound on the pattern.
    fn recursive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            (_, []) => pattern.iter().all(|byte| *byte == b'*'),
            ([b'*', behind @ ..], _) => {
                (0..=text.len()).any(|skip| recursive(behind, &text[skip..]))
            }
            (_, [byte, tail @ ..]) => {
                one(pattern, *byte, Case::Heeded).is_some_and(|behind| recursive(behind, tail))
            }
        }
    }

    #[test]
    fn one_star_at_a_time_is_as_good_as_trying_all() {
        let symbols = b"ab*?[]^-\\";
        let mut state = 7u64;
        let mut random = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % bound
        };
        for _ in 0..20_000 {
            let pattern: vec::Vec<u8> = (0..random(8)).map(|_| symbols[random(9)]).collect();
            let text: vec::Vec<u8> = (0..1 + random(6)).map(|_| symbols[random(4)]).collect();
            let expected = recursive(&pattern, &text);
            assert_eq!(matches(&pattern, &text, Case::Heeded), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn many_stars_and_long_patterns_end_soon() {
        let text = vec![b'a'; 1000];
        let mut pattern = b"a*".repeat(300);
        pattern.push(b'b');
        assert!(!matches(&pattern, &text, Case::Heeded));
        let stars = vec![b'*'; 1 << 20];
        assert!(matches(&stars, &text, Case::Heeded));
        assert!(!matches(&vec![b'['; 1 << 20], &text, Case::Heeded));
    }
}
