//! Where clients come from: groups of clients that are near to each other.
//!
//! A group is a prefix of addresses: /24 of IPv4, /48 of IPv6 (what a site is given). Its number
//! is computed from the prefix alone, so all nodes give one group the same number without ever
//! talking about it. For IPv4 the number holds the whole prefix. For IPv6 it is a hash: two
//! prefixes may share a number, and then count as one group. That is harmless: a mixed group has a
//! round trip between those of its parts, and all that can come of it is a lease that is not where
//! it could be best.

use alloc::string::String;
use core::net::{IpAddr, Ipv6Addr};

/// A group of clients that are near to each other, as all nodes name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Origin(pub u32);

/// Longest text for a group, in bytes.
pub const ORIGIN_TEXT_MAX: usize = 64;

/// Marks the number of an IPv4 prefix, which has 24 bits.
const V4: u32 = 1 << 24;
/// Marks the number of an IPv6 prefix.
const V6: u32 = 1 << 31;

impl Origin {
    /// Clients whose address says nothing: a local socket, or none at all.
    pub const UNKNOWN: Self = Self(0);
    /// Clients of the groups that were too many to be told apart.
    pub const OTHERS: Self = Self(1);

    /// The group of a client with this address; `host` is an address without port.
    #[must_use]
    pub fn of_host(host: &str) -> Self {
        host.parse::<IpAddr>().map_or(Self::UNKNOWN, |address| Self::of(address.to_canonical()))
    }

    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self(V4 | u32::from(address) >> 8),
            IpAddr::V6(address) => Self(V6 | hash(site(address)) >> 1),
        }
    }

    /// The group of a client with this address, for people: `10.0.0.0/24`.
    #[must_use]
    pub fn text_of_host(host: &str) -> String {
        match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => Self::of(IpAddr::V4(address)).text(),
            Ok(IpAddr::V6(address)) => {
                let site = Ipv6Addr::from_bits(u128::from(site(address)) << 80);
                alloc::format!("{site}/48")
            }
            Err(_) => Self::UNKNOWN.text(),
        }
    }

    /// What the number alone tells people. Of an IPv6 prefix that is not more than the number.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::UNKNOWN => String::from("unknown"),
            Self::OTHERS => String::from("others"),
            Self(number) if number >> 24 == V4 >> 24 => {
                let [_, a, b, c] = number.to_be_bytes();
                alloc::format!("{a}.{b}.{c}.0/24")
            }
            Self(number) => alloc::format!("group {number:08x}"),
        }
    }
}

/// The first 48 bits.
fn site(address: Ipv6Addr) -> u64 {
    (address.to_bits() >> 80) as u64
}

/// FNV-1a, of 32 bits: short, and good enough for a few hundred prefixes.
fn hash(site: u64) -> u32 {
    site.to_be_bytes()
        .iter()
        .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_prefix_are_one_group() {
        let of = Origin::of_host;
        assert_eq!(of("10.0.0.1"), of("10.0.0.254"));
        assert_ne!(of("10.0.0.1"), of("10.0.1.1"));
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.7"), "an IPv4 client of an IPv6 socket");
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:ffff::"));
        assert_ne!(of("2001:db8:1::"), of("2001:db8:2::"));
        for unknown in ["", "/tmp/socket", "host.example"] {
            assert_eq!(of(unknown), Origin::UNKNOWN);
        }
        assert_ne!(of("0.0.0.1"), Origin::UNKNOWN);
    }

    #[test]
    fn groups_have_texts() {
        for (host, text) in [
            ("10.1.2.3", "10.1.2.0/24"),
            ("255.255.255.255", "255.255.255.0/24"),
            ("::ffff:10.1.2.3", "10.1.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("?", "unknown"),
        ] {
            assert_eq!(Origin::text_of_host(host), text);
            assert!(text.len() <= ORIGIN_TEXT_MAX);
        }
        assert_eq!(Origin::of_host("10.1.2.3").text(), "10.1.2.0/24");
        assert!(Origin::of_host("2001:db8::1").text().starts_with("group "));
        assert_eq!(Origin::OTHERS.text(), "others");
    }
}
