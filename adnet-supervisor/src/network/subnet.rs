//! Neighbourhoods of addresses: what one host has at will, what one operator fills cheaply, and
//! what one provider owns.
//!
//! Whoever wants to be all peers of a node needs many addresses. Addresses of one neighbourhood
//! cost little, so limits count neighbourhoods.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What one host can have at will counts as one: an IPv6 host has a /64 (RFC 6177).
pub fn host(address: IpAddr) -> IpAddr {
    masked(address, 32, 64)
}

/// An IPv4 /24 or an IPv6 /48.
pub fn subnet(address: IpAddr) -> IpAddr {
    masked(address, 24, 48)
}

/// An IPv4 /16 or an IPv6 /32.
pub fn region(address: IpAddr) -> IpAddr {
    masked(address, 16, 32)
}

fn masked(address: IpAddr, v4_bits: u32, v6_bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let rest = 32 - v4_bits;
            IpAddr::V4(Ipv4Addr::from_bits(
                v4.to_bits() & u32::MAX.checked_shl(rest).unwrap_or(0),
            ))
        }
        IpAddr::V6(v6) => {
            let rest = 128 - v6_bits;
            IpAddr::V6(Ipv6Addr::from_bits(
                v6.to_bits() & u128::MAX.checked_shl(rest).unwrap_or(0),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_ipv6_host_is_its_64() {
        assert_eq!(
            host(ip("2001:db8:0:1::1")),
            host(ip("2001:db8:0:1:ffff::2"))
        );
        assert_ne!(host(ip("2001:db8:0:1::1")), host(ip("2001:db8:0:2::1")));
        assert_eq!(host(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }

    #[test]
    fn subnets_and_regions_are_prefixes() {
        assert_eq!(subnet(ip("10.1.2.3")), ip("10.1.2.0"));
        assert_eq!(region(ip("10.1.2.3")), ip("10.1.0.0"));
        assert_eq!(subnet(ip("2001:db8:7:1::1")), ip("2001:db8:7::"));
        assert_eq!(region(ip("2001:db8:7:1::1")), ip("2001:db8::"));
        assert_eq!(subnet(ip("::ffff:10.1.2.3")), ip("10.1.2.0"));
    }
}
