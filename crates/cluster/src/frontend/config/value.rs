//! What values a parameter can have. Each value is kept in one spelling, the one CONFIG GET shows.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use resp::number;

/// The kind of a parameter's values.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// `yes` or `no`.
    Flag,
    /// A number in a range.
    Integer { min: i64, max: i64 },
    /// Bytes in a range, also written as `64mb`.
    Bytes { min: u64, max: u64 },
    /// One of these words.
    Word(&'static [&'static str]),
    /// Anything of up to so many bytes.
    Text { longest: usize },
    /// Letters for classes of events.
    Events,
    /// Pairs of seconds and changes.
    SavePoints,
    /// Per class of clients: hard limit, soft limit, seconds.
    BufferLimits,
    /// Percentages.
    Percentiles,
}

/// What is wrong with a value.
type Parsed = Result<String, Cow<'static, str>>;

/// The classes of events in the order of Redis; the first eleven together are `A`.
const EVENTS: &str = "g$lshzxetdnKEm";
const ALL_EVENTS: &str = "g$lshzxetd";

impl Kind {
    /// A value in its one spelling. `current` is the value of today, for values of several parts.
    pub(super) fn parse(self, value: &[u8], current: &str) -> Parsed {
        let text = core::str::from_utf8(value).map_err(|_| "argument must be text in UTF-8")?;
        match self {
            Self::Flag => {
                word(text, &["yes", "no"]).ok_or(Cow::Borrowed("argument must be 'yes' or 'no'"))
            }
            Self::Integer { min, max } => {
                let number = number::parse_i64(value);
                let number = number.ok_or("argument couldn't be parsed into an integer")?;
                if (min..=max).contains(&number) {
                    return Ok(alloc::format!("{number}"));
                }
                Err(Cow::Owned(alloc::format!(
                    "argument must be between {min} and {max} inclusive"
                )))
            }
            Self::Bytes { min, max } => {
                let bytes = bytes(text).ok_or("argument must be a memory value")?;
                if (min..=max).contains(&bytes) {
                    return Ok(alloc::format!("{bytes}"));
                }
                Err(Cow::Owned(alloc::format!(
                    "argument must be between {min} and {max} inclusive"
                )))
            }
            Self::Word(words) => word(text, words).ok_or_else(|| {
                Cow::Owned(alloc::format!(
                    "argument(s) must be one of the following: {}",
                    words.join(", ")
                ))
            }),
            Self::Text { longest } => {
                if text.len() <= longest {
                    return Ok(String::from(text));
                }
                Err(Cow::Owned(alloc::format!("argument can't be longer than {longest} bytes")))
            }
            Self::Events => events(text),
            Self::SavePoints => save_points(text),
            Self::BufferLimits => buffer_limits(text, current),
            Self::Percentiles => percentiles(text),
        }
    }
}

fn word(text: &str, words: &[&'static str]) -> Option<String> {
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
    found.map(|word| String::from(*word))
}

/// A number of bytes with a unit, as Redis reads it: `k` is 1000 and `kb` is 1024.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn events(text: &str) -> Parsed {
    let all = text.contains('A');
    if text.chars().any(|class| class != 'A' && !EVENTS.contains(class)) {
        return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into());
    }
    let has = |class: char| text.contains(class) || all && ALL_EVENTS.contains(class);
    let whole = ALL_EVENTS.chars().all(has);
    let mut spelling = String::new();
    if whole {
        spelling.push('A');
    }
    let shown = |class: &char| {
        // As in Redis, `n` is not shown beside `A`.
        has(*class) && !(whole && (ALL_EVENTS.contains(*class) || *class == 'n'))
    };
    spelling.extend(EVENTS.chars().filter(shown));
    Ok(spelling)
}

fn save_points(text: &str) -> Parsed {
    const INVALID: &str = "Invalid save parameters";
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let number = |word: &&str| number::parse_i64(word.as_bytes());
    let valid = |pair: &[&str; 2]| {
        number(&pair[0]).is_some_and(|seconds| seconds >= 1)
            && number(&pair[1]).is_some_and(|changes| changes >= 0)
    };
    let (pairs, rest) = words.as_chunks::<2>();
    if text.len() > 1024 || !rest.is_empty() || !pairs.iter().all(valid) {
        return Err(INVALID.into());
    }
    Ok(words.join(" "))
}

/// Reads limits per class, keeping those of today for classes that are not named.
fn buffer_limits(text: &str, current: &str) -> Parsed {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (groups, rest) = words.as_chunks::<4>();
    if !rest.is_empty() || groups.is_empty() || text.len() > 1024 {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let mut limits: Vec<String> = current.split_ascii_whitespace().map(String::from).collect();
    for [class, hard, soft, seconds] in groups {
        let at = match class.to_ascii_lowercase().as_str() {
            "normal" => 0,
            "slave" | "replica" => 4,
            "pubsub" => 8,
            _ => {
                return Err("Invalid client class specified in buffer limit configuration.".into());
            }
        };
        const INVALID: &str =
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        let numbers = [bytes(hard), bytes(soft), seconds.parse::<u32>().ok().map(u64::from)];
        for (step, number) in numbers.into_iter().enumerate() {
            let number = number.ok_or(INVALID)?;
            if let Some(limit) = limits.get_mut(at + 1 + step) {
                *limit = alloc::format!("{number}");
            }
        }
    }
    Ok(limits.join(" "))
}

fn percentiles(text: &str) -> Parsed {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let valid = |word: &&str| word.parse::<f64>().is_ok_and(|p| (0.0..=100.0).contains(&p));
    if text.len() > 1024 || !words.iter().all(valid) {
        return Err("latency-tracking-info-percentiles parameters should sit between \
            [0.0,100.0]"
            .into());
    }
    Ok(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        for (text, value) in [
            ("0", Some(0)),
            ("10b", Some(10)),
            ("2k", Some(2000)),
            ("2Kb", Some(2048)),
            ("1gB", Some(1 << 30)),
            ("", None),
            ("-1", None),
            ("1tb", None),
            ("mb", None),
            ("99999999999999999999", None),
            ("99999999999gb", None),
        ] {
            assert_eq!(bytes(text), value, "{text}");
        }
    }

    #[test]
    fn events_are_spelled_as_redis_spells_them() {
        for (text, spelling) in [
            ("KEA", "AKE"),
            ("KEAnm", "AKEm"),
            ("nmKEg$lshzxet", "g$lshzxetnKEm"),
            ("nmKEg$lshzxetd", "AKEm"),
            ("ng", "gn"),
            ("", ""),
        ] {
            assert_eq!(events(text).as_deref(), Ok(spelling), "{text}");
        }
        assert!(events("bogus").is_err());
    }

    #[test]
    fn buffer_limits_are_kept_per_class() {
        let before = "normal 0 0 0 slave 1 2 3 pubsub 4 5 6";
        let after = buffer_limits("replica 2mb 1mb 60 normal 1k 0 0", before);
        assert_eq!(after.as_deref(), Ok("normal 1000 0 0 slave 2097152 1048576 60 pubsub 4 5 6"));
        for wrong in ["", "normal 1 2", "bogus 1 2 3", "normal x 2 3", "normal 1 2 -3"] {
            assert!(buffer_limits(wrong, before).is_err(), "{wrong}");
        }
    }
}
