//! Glob patterns by Redis' rules: `*`, `?`, classes in brackets, and backslash.
//!
//! A pattern is compiled once: each class becomes a set of bytes, however long it is written, so
//! that comparing one byte of a text costs the same whatever the pattern says. The matcher neither
//! recurses nor tries the ways to divide a text among several stars, so its work is bounded by the
//! length of the pattern times the length of the text. That is sound since every element but the
//! star matches exactly one byte: once a later star is reached, the shortest match of the earlier
//! ones is as good as any other.
//!
//! Even that product can be too much for one turn of an event loop (a key may be as long as a
//! value), so a [`Match`] can be taken in steps.
//!
//! Redis' oddities are kept: a class may end with the pattern, its escapes heed case, and an
//! empty text is matched by the empty pattern alone.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Whether letters that differ only in case are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    /// They differ, as in keys.
    Heeded,
    /// They are the same, as in the names of settings and commands.
    Ignored,
}

/// A pattern that was read.
#[derive(Clone, Debug)]
pub struct Pattern {
    case: Case,
    elements: Vec<Element>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Element {
    /// Any bytes, or none.
    Star,
    /// Any byte.
    Any,
    /// This byte; folded, if case is ignored.
    Byte(u8),
    /// A byte of this set, which has one bit for each.
    Class(Box<[u64; 4]>),
}

/// How far a text has been compared with a pattern.
#[derive(Clone, Copy, Default, Debug)]
pub struct Match {
    element: usize,
    at: usize,
    /// The element behind the last star, and where its match now begins.
    star: Option<(usize, usize)>,
}

/// Whether the whole text matches the pattern.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    Pattern::new(pattern, case).matches(text)
}

impl Pattern {
    /// Reads a pattern. Every sequence of bytes is one.
    #[must_use]
    pub fn new(pattern: &[u8], case: Case) -> Self {
        let mut elements = Vec::new();
        let mut rest = pattern;
        loop {
            let (element, behind) = match rest {
                [] => return Self { case, elements },
                [b'*', behind @ ..] => (Element::Star, behind),
                [b'?', behind @ ..] => (Element::Any, behind),
                [b'[', class @ ..] => read_class(class, case),
                [b'\\', escaped, behind @ ..] => (Element::Byte(fold(*escaped, case)), behind),
                [literal, behind @ ..] => (Element::Byte(fold(*literal, case)), behind),
            };
            rest = behind;
            if element != Element::Star || elements.last() != Some(&Element::Star) {
                elements.push(element);
            }
        }
    }

    /// Whether the whole text matches.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        let mut steps = usize::MAX;
        Match::default().go_on(self, text, &mut steps).expect("there were steps enough")
    }

    /// Whether every text matches that is not empty.
    #[must_use]
    pub fn is_star(&self) -> bool {
        self.elements == [Element::Star]
    }

    fn fits(&self, element: usize, byte: u8) -> bool {
        match self.elements.get(element) {
            None | Some(Element::Star) => false,
            Some(Element::Any) => true,
            Some(Element::Byte(wanted)) => *wanted == fold(byte, self.case),
            Some(Element::Class(set)) => contains(set, byte),
        }
    }
}

impl Match {
    /// Compares on for at most `steps` steps, which it takes from them. `None`: there was not
    /// enough of them. The pattern and the text must be the same in every call.
    pub fn go_on(&mut self, pattern: &Pattern, text: &[u8], steps: &mut usize) -> Option<bool> {
        if text.is_empty() {
            return Some(pattern.elements.is_empty());
        }
        while let Some(byte) = text.get(self.at) {
            *steps = steps.checked_sub(1)?;
            if pattern.elements.get(self.element) == Some(&Element::Star) {
                self.element += 1;
                if self.element == pattern.elements.len() {
                    return Some(true);
                }
                self.star = Some((self.element, self.at));
            } else if pattern.fits(self.element, *byte) {
                self.element += 1;
                self.at += 1;
            } else if let Some((behind, start)) = &mut self.star {
                *start += 1;
                (self.element, self.at) = (*behind, *start);
            } else {
                return Some(false);
            }
        }
        Some(pattern.elements.iter().skip(self.element).all(|rest| *rest == Element::Star))
    }
}

fn contains(set: &[u64; 4], byte: u8) -> bool {
    set[usize::from(byte >> 6)] & 1 << (byte & 63) != 0
}

/// Reads a class whose bracket is open; also what is behind it.
fn read_class(class: &[u8], case: Case) -> (Element, &[u8]) {
    let mut set = Box::new([0u64; 4]);
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut add = |byte: u8| set[usize::from(byte >> 6)] |= 1 << (byte & 63);
    let behind = loop {
        match rest {
            [] => break rest,
            [b']', behind @ ..] => break behind,
            [b'\\', escaped, tail @ ..] => {
                add(*escaped);
                rest = tail;
            }
            [from, b'-', to, tail @ ..] => {
                let (from, to) = (fold(*from, case), fold(*to, case));
                add_range(from.min(to), from.max(to), case, &mut add);
                rest = tail;
            }
            [literal, tail @ ..] => {
                let literal = fold(*literal, case);
                add_range(literal, literal, case, &mut add);
                rest = tail;
            }
        }
    };
    if negated {
        set.iter_mut().for_each(|word| *word = !*word);
    }
    (Element::Class(set), behind)
}

/// Adds every byte that lies in the range once it is folded.
fn add_range(from: u8, to: u8, case: Case, add: &mut impl FnMut(u8)) {
    for byte in from..=to {
        // A letter that is not its own folding stands for nothing.
        if fold(byte, case) == byte {
            add(byte);
            if case == Case::Ignored {
                add(byte.to_ascii_uppercase());
            }
        }
    }
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

    /// Matches one byte with the first element of the pattern and returns what is behind it, as
    /// Redis does: reading the pattern anew for each byte.
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

    #[test]
    fn a_class_is_the_set_of_the_bytes_that_it_has_in_redis() {
        let classes = ["[a-m]", "[^A-M]", "[M-a]", "[\\Ab]", "[z-A", "[a-]", "[^]", "[!-~]", "[aZ"];
        for class in classes {
            for case in [Case::Heeded, Case::Ignored] {
                for byte in 0..=u8::MAX {
                    let expected = one(class.as_bytes(), byte, case) == Some(&[]);
                    let found = matches(class.as_bytes(), &[byte], case);
                    assert_eq!(found, expected, "{class} {case:?} {byte}");
                }
            }
        }
    }

    #[test]
    fn a_match_in_steps_comes_to_the_same() {
        let texts = ["aaaaabaaaab", "abc", "aaaaaaaaaaaaaaaaaaaab", "x"];
        for pattern in ["*a*b", "a*[b-c]", "*aab*", "?*?", "*", "*a*a*a*a*c"] {
            let compiled = Pattern::new(pattern.as_bytes(), Case::Heeded);
            for text in texts.map(str::as_bytes) {
                let mut state = Match::default();
                let in_steps = loop {
                    if let Some(found) = state.go_on(&compiled, text, &mut 1) {
                        break found;
                    }
                };
                assert_eq!(in_steps, compiled.matches(text), "{pattern}");
            }
        }
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
            let pattern: Vec<u8> = (0..random(8)).map(|_| symbols[random(9)]).collect();
            let text: Vec<u8> = (0..1 + random(6)).map(|_| symbols[random(4)]).collect();
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

    #[test]
    fn a_long_class_costs_no_more_than_a_short_one() {
        let mut class = b"*[".to_vec();
        class.extend(core::iter::repeat_n(b'b', 60_000));
        class.extend(b"]c");
        let pattern = Pattern::new(&class, Case::Heeded);
        let mut steps = 100;
        let found = Match::default().go_on(&pattern, b"user:123456", &mut steps);
        assert_eq!(found, Some(false));
        assert!(steps > 70, "{steps} steps are left");
    }
}
