//! Setting values as text: durations and sizes with units, members, choices.
//!
//! One textual form for each type, the same in a file, in the environment and on the command
//! line; what [`Field::show`] writes, [`Field::set`] reads back.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use cluster::{Member, Redirect, Role};
use types::limits::{NAME_BYTES_MAX, NODES_MAX};

/// A setting's place in the configuration, with what may be put there.
pub(crate) enum Field<'a> {
    /// A time with a unit, such as `900ms`.
    Duration(&'a mut Duration, RangeInclusive<Duration>),
    /// A size with a unit, such as `64MiB`.
    Bytes(&'a mut u64, RangeInclusive<u64>),
    /// A number.
    Count(&'a mut u64, RangeInclusive<u64>),
    /// `true` or `false`.
    Flag(&'a mut bool),
    /// One of a few words.
    Choice(&'a mut &'static str, &'static [&'static str]),
    /// A name: 1 to 128 printable ASCII characters without spaces.
    Name(&'a mut String),
    /// Any text that fits in a line, up to this many bytes. It is a secret if the flag says so.
    Secret(&'a mut String, usize),
    /// An address of this machine.
    Address(&'a mut IpAddr),
    /// An address of this machine with a port, or nothing.
    Socket(&'a mut Option<SocketAddr>),
    /// A file or directory.
    Path(&'a mut PathBuf),
    /// The nodes of the cluster.
    Members(&'a mut Vec<Member>),
}

impl Field<'_> {
    /// Puts a value there.
    ///
    /// # Errors
    /// What a valid value looks like, as the end of the sentence "it must be ...".
    pub(crate) fn set(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim();
        let expected = self.expected();
        let accepted = match self {
            Self::Duration(place, range) => {
                parse_duration(text).filter(|it| range.contains(it)).map(|it| **place = it)
            }
            Self::Bytes(place, range) => {
                parse_bytes(text).filter(|it| range.contains(it)).map(|it| **place = it)
            }
            Self::Count(place, range) => {
                let number = text.parse().ok();
                number.filter(|it| range.contains(it)).map(|it| **place = it)
            }
            Self::Flag(place) => parse_flag(text).map(|it| **place = it),
            Self::Choice(place, choices) => {
                choices.iter().find(|it| **it == text).map(|it| **place = it)
            }
            Self::Name(place) => is_name(text).then(|| text.clone_into(place)),
            Self::Secret(place, most) => {
                let fits = text.len() <= *most && !text.chars().any(char::is_control);
                fits.then(|| text.clone_into(place))
            }
            Self::Address(place) => text.parse().ok().map(|it| **place = it),
            Self::Socket(place) if text.is_empty() => {
                **place = None;
                Some(())
            }
            Self::Socket(place) => {
                let address: Option<SocketAddr> = text.parse().ok();
                address.filter(|it| it.port() > 0).map(|it| **place = Some(it))
            }
            Self::Path(place) => (!text.is_empty()).then(|| **place = PathBuf::from(text)),
            Self::Members(place) => return parse_members(text).map(|it| **place = it),
        };
        accepted.ok_or(expected)
    }

    /// The value as text.
    pub(crate) fn show(&self) -> String {
        match self {
            Self::Duration(value, _) => show_duration(**value),
            Self::Bytes(value, _) => show_bytes(**value),
            Self::Count(value, _) => value.to_string(),
            Self::Flag(value) => value.to_string(),
            Self::Choice(value, _) => (**value).to_owned(),
            Self::Name(value) => (*value).clone(),
            Self::Secret(value, _) if value.is_empty() => String::new(),
            Self::Secret(..) => String::from("(hidden)"),
            Self::Address(value) => value.to_string(),
            Self::Socket(value) => value.map(|it| it.to_string()).unwrap_or_default(),
            Self::Path(value) => value.display().to_string(),
            Self::Members(value) => show_members(value),
        }
    }

    /// What a valid value looks like.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Duration(_, range) => {
                let (low, high) = (show_duration(*range.start()), show_duration(*range.end()));
                format!("a time from {low} to {high} (units: us, ms, s, m, h)")
            }
            Self::Bytes(_, range) => {
                let (low, high) = (show_bytes(*range.start()), show_bytes(*range.end()));
                format!("a size from {low} to {high} (units: B, KiB, MiB, GiB)")
            }
            Self::Count(_, range) => {
                format!("a number from {} to {}", range.start(), range.end())
            }
            Self::Flag(_) => String::from("true or false"),
            Self::Choice(_, choices) => format!("one of: {}", choices.join(", ")),
            Self::Name(_) => {
                format!("1 to {NAME_BYTES_MAX} letters, digits or other ASCII signs, no spaces")
            }
            Self::Secret(_, most) => format!("text of at most {most} bytes in one line"),
            Self::Address(_) => String::from("an IP address of this machine, such as 0.0.0.0"),
            Self::Socket(_) => String::from(
                "an IP address of this machine with a port, such as 127.0.0.1:8001, or empty",
            ),
            Self::Path(_) => String::from("a path"),
            Self::Members(_) => {
                format!(
                    "1 to {NODES_MAX} nodes, each as NODE=HOST:PORT or NODE=HOST:PORT:PEERPORT, \
                     perhaps with ;name=..., ;role=data or manager, ;locality=REGION/ZONE/RACK"
                )
            }
        }
    }
}

/// The words for a node's own role; the first leaves it to `members`.
pub(crate) const ROLES: [&str; 3] = ["as listed", "data", "manager"];

/// The role that a word stands for, if it stands for one.
pub(crate) fn role(word: &str) -> Option<Role> {
    [Role::Data, Role::Manager].into_iter().find(|role| role.name() == word)
}

/// The words for [`Redirect`], in the order of its variants.
pub(crate) const REDIRECTS: [&str; 3] = ["never", "rationed", "always"];

/// The redirection that a word stands for.
pub(crate) fn redirect(word: &str) -> Redirect {
    match word {
        "never" => Redirect::Never,
        "always" => Redirect::Always,
        _ => Redirect::Rationed,
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn parse_flag(text: &str) -> Option<bool> {
    match text {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

const TIME_UNITS: [(&str, u64); 5] =
    [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
const SIZE_UNITS: [(&str, u64); 4] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A whole number followed by a unit. A bare 0 needs none.
fn parse_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let digits = text.find(|sign: char| !sign.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The largest unit that divides the value, so that showing loses nothing.
fn show_with_unit(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |unit: &&(&str, u64)| value.is_multiple_of(unit.1);
    match units.iter().rev().find(fits) {
        Some((name, factor)) if value > 0 => format!("{}{name}", value / factor),
        _ => String::from("0"),
    }
}

pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    parse_with_unit(text, &TIME_UNITS).map(Duration::from_micros)
}

pub(crate) fn show_duration(value: Duration) -> String {
    show_with_unit(u64::try_from(value.as_micros()).unwrap_or(u64::MAX), &TIME_UNITS)
}

fn parse_bytes(text: &str) -> Option<u64> {
    parse_with_unit(text, &SIZE_UNITS)
}

pub(crate) fn show_bytes(value: u64) -> String {
    show_with_unit(value, &SIZE_UNITS)
}

/// Members separated by commas or blanks, in any order.
fn parse_members(text: &str) -> Result<Vec<Member>, String> {
    let parts = text.split([',', ' ', '\n']).filter(|part| !part.is_empty());
    let members = parts.map(|part| part.parse::<Member>().map_err(|error| error.to_string()));
    let mut members = members.collect::<Result<Vec<_>, _>>()?;
    members.sort_by_key(|member| member.node);
    if let Some(twice) = members.windows(2).find(|pair| pair[0].node == pair[1].node) {
        return Err(format!("a list in which each node occurs once ({} twice)", twice[0].node.0));
    }
    if members.is_empty() || members.len() > NODES_MAX {
        return Err(format!("1 to {NODES_MAX} nodes"));
    }
    Ok(members)
}

fn show_members(members: &[Member]) -> String {
    members.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_back_as_they_are_shown() {
        for micros in [0, 1, 999, 1_000, 1_500, 900_000, 60_000_000, 90_000_000, 7_200_000_000] {
            let time = Duration::from_micros(micros);
            assert_eq!(parse_duration(&show_duration(time)), Some(time));
        }
        for size in [0, 1, 1023, 1024, 64 << 20, (64 << 20) + 1, 3 << 30] {
            assert_eq!(parse_bytes(&show_bytes(size)), Some(size));
        }
        assert_eq!(show_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(show_bytes(64 << 20), "64MiB");
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in ["", "5", "-1s", "1.5s", "s", "5 parsecs", "99999999999999999999s", "1 0s"] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
        assert_eq!(parse_duration("5 s"), Some(Duration::from_secs(5)));
    }

    #[test]
    fn members_are_sorted_and_shown_as_they_are_read() {
        let text = "2=[::1]:7002:9000, 1=db.example:7001";
        let members = parse_members(text).expect("the list is valid");
        assert_eq!(show_members(&members), "1=db.example:7001:17001,2=[::1]:7002:9000");
        assert_eq!(parse_members(&show_members(&members)), Ok(members));
    }

    #[test]
    fn wrong_members_are_refused_with_a_reason() {
        for (text, reason) in [
            ("", "1 to 64 nodes"),
            ("1:7001", "no `=`"),
            ("0=a:7001", "no number from 1 to 65535"),
            ("1=a", "no port"),
            ("1=:7001", "not a name or an address"),
            ("1=a:0", "the port is not"),
            ("1=a:60000", "PORT + 10000"),
            ("1=a:7001:7001", "PORT + 10000"),
            ("1=a:7001,1=b:7001", "1 twice"),
        ] {
            let error = parse_members(text).expect_err(text);
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let mut secret = String::from("hunter2");
        assert_eq!(Field::Secret(&mut secret, 512).show(), "(hidden)");
    }
}
