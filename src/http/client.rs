//! Who asks, where proxies stand between: their word is taken as far as they are trusted.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use crate::config::Network;

/// The nearest address that is no trusted proxy's. What stands behind it in the headers may be anybody's invention.
pub(super) fn address(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| proxies.iter().any(|proxy| proxy.contains(address));
    if !is_trusted(peer) {
        return peer;
    }
    let mut last = peer;
    for hop in hops(headers).into_iter().rev() {
        // What cannot be read ends the chain: the last proxy that is known answers for it.
        let Some(address) = hop else { return last };
        if !is_trusted(address) {
            return address;
        }
        last = address;
    }
    last
}

/// Addresses as proxies added them, the nearest last. `X-Forwarded-For` counts before `Forwarded`: a proxy that is set to send
/// one passes the other on as it came.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lists = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter();
        let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        texts
            .flat_map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    let plain = lists("x-forwarded-for");
    if !plain.is_empty() {
        return plain.iter().map(|hop| parse(hop)).collect();
    }
    let standard = lists(header::FORWARDED.as_str());
    let named = standard.iter().map(|hop| {
        let mut parts = hop.split(';').filter_map(|part| part.split_once('='));
        let (_, address) = parts.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
        parse(address.trim().trim_matches('"'))
    });
    named.collect()
}

/// An address, perhaps with a port, perhaps in brackets.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        return Some(address.ip());
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn asked(peer: &str, sent: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let value = HeaderValue::from_str(value).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        let proxies = ["10.0.0.0/8", "::1"].map(|text| text.parse().expect("a network"));
        address(peer.parse().expect("an address"), &headers, &proxies).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let forged = [("x-forwarded-for", "192.0.2.1")];
        assert_eq!(asked("203.0.113.5", &forged), "203.0.113.5");
        assert_eq!(asked("10.0.0.1", &forged), "192.0.2.1");
        assert_eq!(asked("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_nearest_stranger_counts() {
        let chain = [("x-forwarded-for", "1.1.1.1, 192.0.2.1,10.0.0.7 ")];
        assert_eq!(asked("10.0.0.1", &chain), "192.0.2.1");
        let broken = [("x-forwarded-for", "192.0.2.1, unknown, 10.0.0.7")];
        assert_eq!(asked("10.0.0.1", &broken), "10.0.0.7");
        let two = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "192.0.2.9:4711"),
        ];
        assert_eq!(asked("::1", &two), "192.0.2.9");
    }

    #[test]
    fn the_standard_header_is_read_as_well() {
        let sent = [(
            "forwarded",
            "for=1.1.1.1, For=\"[2001:db8::1]:443\";proto=https",
        )];
        assert_eq!(asked("10.0.0.1", &sent), "2001:db8::1");
        let sent = [("forwarded", "for=_hidden")];
        assert_eq!(asked("10.0.0.1", &sent), "10.0.0.1");
    }
}
