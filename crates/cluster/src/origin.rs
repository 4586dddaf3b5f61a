//! Where clients are, as one number for a whole neighbourhood: the /24 of an IPv4 address, or a
//! hash of the /48 of an IPv6 address. The same on every node, and small enough for a report.

use alloc::format;
use alloc::string::String;
use core::net::IpAddr;

use placement::Origin;

/// The lowest byte says what the rest is.
const V4: u32 = 4;
const V6: u32 = 6;

/// The origin of a client's address; one of its own for what is no address.
pub(crate) fn origin_of(host: &str) -> Origin {
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => Origin(u32::from(address) & !0xff | V4),
        Ok(IpAddr::V6(address)) => {
            let prefix = u128::from(address) >> 80;
            // Fibonacci hashing (Knuth). That two networks share a number harms nobody: they are
            // taken for one place.
            let mixed = (prefix as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            Origin((mixed >> 40) as u32 * 256 | V6)
        }
        Err(_) => Origin(0),
    }
}

/// The origin for people.
pub(crate) fn show_origin(origin: Origin) -> String {
    let [a, b, c, kind] = origin.0.to_be_bytes();
    match u32::from(kind) {
        V4 => format!("{a}.{b}.{c}.0/24"),
        V6 => format!("ipv6-{a:02x}{b:02x}{c:02x}"),
        _ => String::from("unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_an_origin() {
        assert_eq!(origin_of("10.1.2.3"), origin_of("10.1.2.200"));
        assert_ne!(origin_of("10.1.2.3"), origin_of("10.1.3.3"));
        assert_eq!(origin_of("::ffff:10.1.2.3"), origin_of("10.1.2.3"));
        assert_eq!(origin_of("2001:db8:1::1"), origin_of("2001:db8:1:2::1"));
        assert_ne!(origin_of("2001:db8:1::1"), origin_of("2001:db8:2::1"));
        assert_eq!(show_origin(origin_of("10.1.2.3")), "10.1.2.0/24");
        assert_eq!(show_origin(origin_of("db.example")), "unknown");
    }
}
