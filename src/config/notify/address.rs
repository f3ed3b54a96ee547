//! Which addresses are public: those that a message to the outside may go to.
//!
//! Somebody who may choose a URL, or a name server that answers for one, could otherwise have the worker write to what only
//! this network reaches, such as a cloud's metadata at 169.254.169.254.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::Network;

/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, with multicast and what is reserved.
const SPECIAL_V4: [&str; 15] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// All that is assigned to anybody lies here; so nothing else has to be listed.
const GLOBAL_V6: &str = "2000::/3";

/// <https://www.iana.org/assignments/iana-ipv6-special-registry>: what lies in [`GLOBAL_V6`] and is not anybody's. Teredo is in the
/// first; with 6to4, the second last but one, it would lead to any IPv4 address.
const SPECIAL_V6: [&str; 4] = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];

/// Addresses whose last 32 bits are the IPv4 address that is meant: mapped ones, and those of NAT64.
const EMBEDDED_V4: [&str; 2] = ["::ffff:0:0/96", "64:ff9b::/96"];

/// Whether anybody on the internet reaches the same machine by it.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !lies_in(address, &SPECIAL_V4),
        IpAddr::V6(six) => match embedded(six) {
            Some(four) => is_public(four.into()),
            None => lies_in(address, &[GLOBAL_V6]) && !lies_in(address, &SPECIAL_V6),
        },
    }
}

fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    lies_in(address.into(), &EMBEDDED_V4).then_some(Ipv4Addr::new(a, b, c, d))
}

fn lies_in(address: IpAddr, networks: &[&str]) -> bool {
    let networks = networks.iter().filter_map(|text| text.parse().ok());
    networks
        .into_iter()
        .any(|network: Network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_is_one() {
        for text in SPECIAL_V4.iter().chain(&SPECIAL_V6).chain(&EMBEDDED_V4) {
            assert!(text.parse::<Network>().is_ok(), "{text}");
        }
        assert!(GLOBAL_V6.parse::<Network>().is_ok());
    }

    #[test]
    fn only_what_is_public_is() {
        for address in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(is_public(address.parse().expect("an address")), "{address}");
        }
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "198.19.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:0:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(
                !is_public(address.parse().expect("an address")),
                "{address}"
            );
        }
    }
}
