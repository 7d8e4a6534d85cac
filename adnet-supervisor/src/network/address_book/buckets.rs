//! Which bucket of the book an address belongs to.
//!
//! By a secret of the node, so that nobody can aim at a bucket, and by neighbourhood, so that a
//! source with addresses of one region reaches few of them (Heilman et al. 2015, eprint 2015/263).

use std::net::{IpAddr, SocketAddr};

use adnet_common::hash::Hash;

use crate::network::subnet::{host, region, subnet};

pub const NEW_BUCKETS: usize = 64;
pub const TRIED_BUCKETS: usize = 16;
/// Entries of one bucket.
pub const BUCKET_SIZE: usize = 64;
/// Buckets that one region can fill.
pub const NEW_PER_REGION: usize = 4;
pub const TRIED_PER_REGION: usize = 2;

/// Places addresses. Where all nodes belong to one operator, each address is a region of its own.
#[derive(Clone, Debug)]
pub struct Placing {
    pub secret: [u8; 32],
    pub is_private: bool,
}

impl Placing {
    /// The bucket for an address that `source` has told us. It depends on the source's region, and
    /// a little on the address.
    pub fn new_bucket(&self, address: SocketAddr, source: IpAddr) -> usize {
        if self.is_private {
            return self.spread(
                "private",
                &[&bytes(address.ip()), &port(address)],
                NEW_BUCKETS,
            );
        }
        let source = bytes(region(source));
        let near = self.spread(
            "near",
            &[&source, &bytes(subnet(address.ip()))],
            NEW_PER_REGION,
        );
        self.spread("new", &[&source, &(near as u64).to_be_bytes()], NEW_BUCKETS)
    }

    /// The bucket for an address at which a peer has proved its key.
    pub fn tried_bucket(&self, address: SocketAddr) -> usize {
        if self.is_private {
            let parts: [&[u8]; 2] = [&bytes(address.ip()), &port(address)];
            return self.spread("private", &parts, TRIED_BUCKETS);
        }
        let near = self.spread("host", &[&bytes(host(address.ip()))], TRIED_PER_REGION);
        let region = bytes(region(address.ip()));
        let parts: [&[u8]; 2] = [&region, &(near as u64).to_be_bytes()];
        self.spread("tried", &parts, TRIED_BUCKETS)
    }

    /// Whether two addresses may not stand in the same bucket.
    pub fn is_same_host(&self, a: IpAddr, b: IpAddr) -> bool {
        !self.is_private && host(a) == host(b)
    }

    fn spread(&self, purpose: &str, parts: &[&[u8]], among: usize) -> usize {
        let mut all: Vec<&[u8]> = vec![&self.secret, purpose.as_bytes()];
        all.extend_from_slice(parts);
        let hash = Hash::of("adnet/address-book", &all);
        let first = *hash.0.first_chunk().expect("a hash has more than 8 bytes");
        let among = among as u64;
        usize::try_from(u64::from_be_bytes(first) % among).expect("below a small number")
    }
}

fn bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn port(address: SocketAddr) -> [u8; 2] {
    address.port().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn placing(secret: u8) -> Placing {
        Placing {
            secret: [secret; 32],
            is_private: false,
        }
    }

    /// All 65,536 addresses of one region.
    fn region_of(first: u8) -> impl Iterator<Item = SocketAddr> {
        (0..=u16::MAX).map(move |n| {
            let [c, d] = n.to_be_bytes();
            SocketAddr::from(([first, 1, c, d], 4130))
        })
    }

    #[test]
    fn one_region_reaches_few_buckets_whatever_addresses_it_tells() {
        let placing = placing(1);
        let source: IpAddr = "10.1.9.9".parse().unwrap();
        let own: BTreeSet<_> = region_of(10)
            .map(|a| placing.new_bucket(a, source))
            .collect();
        assert!(own.len() <= NEW_PER_REGION, "{own:?}");
        let everywhere = (0..=255).flat_map(|a| region_of(a).step_by(257));
        let told: BTreeSet<_> = everywhere.map(|a| placing.new_bucket(a, source)).collect();
        assert!(told.len() <= NEW_PER_REGION, "{told:?}");
        let tried: BTreeSet<_> = region_of(10).map(|a| placing.tried_bucket(a)).collect();
        assert!(tried.len() <= TRIED_PER_REGION, "{tried:?}");
    }

    #[test]
    fn many_regions_reach_all_buckets_and_a_secret_decides_which() {
        let (one, two) = (placing(1), placing(2));
        let addresses = (0..=255_u8)
            .flat_map(|a| (0..=255_u8).map(move |b| SocketAddr::from(([a, b, 7, 7], 4130))));
        let mut reached = (BTreeSet::new(), BTreeSet::new());
        let mut alike = 0;
        for address in addresses.step_by(64) {
            let bucket = one.new_bucket(address, address.ip());
            reached.0.insert(bucket);
            reached.1.insert(one.tried_bucket(address));
            alike += usize::from(two.new_bucket(address, address.ip()) == bucket);
        }
        assert_eq!(reached.0.len(), NEW_BUCKETS);
        assert_eq!(reached.1.len(), TRIED_BUCKETS);
        assert!(alike < 1024 / 16, "{alike} of 1024");
    }
}
