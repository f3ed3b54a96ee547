//! The HTTP interface: where it listens, what it lets through, and who may ask.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Invalid, parse_micros};

/// The HTTP interface.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port; empty for none. See [`Http::address`].
    pub listen: String,
    /// The server's certificate and those that vouch for it, in PEM form; empty for no TLS.
    pub tls_cert_file: PathBuf,
    /// The certificate's private key, in PEM form.
    pub tls_key_file: PathBuf,
    /// Proxies whose word on whom they pass on is taken: addresses, or networks such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
    /// Connections at a time; more have to wait.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_connections: u32,
    /// A larger body is refused.
    #[schemars(range(min = 1024, max = 134_217_728))]
    pub max_body_bytes: u32,
    /// How long a request may take to arrive, and its answer to begin.
    #[schemars(range(min = 1, max = 3600))]
    pub request_timeout_seconds: u32,
    /// Requests that read a whole trail and may run at the same time.
    #[schemars(range(min = 1, max = 1024))]
    pub max_trail_requests: u32,
    /// Connections to QWED's database that are kept for requests.
    #[schemars(range(min = 1, max = 1024))]
    pub max_readers: u32,
    /// Requests each second, of all together.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: u32,
    /// Requests each second of one API key or token.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second_per_key: u32,
    /// Requests each minute of one address that are refused for want of a key or token.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub refusals_per_minute: u32,
    /// Operators.
    pub tokens: Vec<TokenConfig>,
}

/// An operator's token, of which only the hash is known here.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The operator, as the ledger and logs name it.
    pub name: String,
    /// The token's SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// Until when; for ever without it.
    pub expires_at: Option<String>,
}

/// What an operator may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Scope {
    /// Read everything.
    #[serde(rename = "read")]
    Read,
    /// Read jobs and schedules.
    #[serde(rename = "jobs:read")]
    JobsRead,
    /// Enqueue, retry and cancel jobs.
    #[serde(rename = "jobs:write")]
    JobsWrite,
    /// Read verdicts, anchors, reports, and how old API keys are.
    #[serde(rename = "trails:read")]
    TrailsRead,
    /// Read requests for erasure and their plans.
    #[serde(rename = "erasures:read")]
    ErasuresRead,
    /// Submit and plan requests for erasure.
    #[serde(rename = "erasures:write")]
    ErasuresWrite,
    /// Approve what is planned.
    #[serde(rename = "erasures:approve")]
    ErasuresApprove,
    /// Read consents.
    #[serde(rename = "consents:read")]
    ConsentsRead,
    /// Record consents.
    #[serde(rename = "consents:write")]
    ConsentsWrite,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Read,
        Self::JobsRead,
        Self::JobsWrite,
        Self::TrailsRead,
        Self::ErasuresRead,
        Self::ErasuresWrite,
        Self::ErasuresApprove,
        Self::ConsentsRead,
        Self::ConsentsWrite,
    ];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::JobsRead => "jobs:read",
            Self::JobsWrite => "jobs:write",
            Self::TrailsRead => "trails:read",
            Self::ErasuresRead => "erasures:read",
            Self::ErasuresWrite => "erasures:write",
            Self::ErasuresApprove => "erasures:approve",
            Self::ConsentsRead => "consents:read",
            Self::ConsentsWrite => "consents:write",
        }
    }

    /// Whether who has it may do what `wanted` is asked for.
    #[must_use]
    pub fn allows(self, wanted: Self) -> bool {
        self == wanted || self == Self::Read && wanted.name().ends_with(":read")
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TokenConfig {
    /// The bytes of the hash; none where it is no hash.
    #[must_use]
    pub fn hash(&self) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        let digits = self.sha256.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(self.sha256.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(bytes)
    }

    /// When it ends; none where it does not.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        let micros = parse_micros(self.expires_at.as_deref()?)?;
        Timestamp::from_microsecond(micros).ok()
    }
}

impl Http {
    /// Where it listens; none if it does not.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    /// Whether it speaks TLS itself.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        !self.tls_cert_file.as_os_str().is_empty()
    }

    /// The proxies.
    #[must_use]
    pub fn proxies(&self) -> Vec<Network> {
        let networks = self.trusted_proxies.iter();
        networks.filter_map(|text| text.parse().ok()).collect()
    }

    /// What is wrong with the values.
    #[must_use]
    pub fn validate(&self) -> Vec<Invalid> {
        let mut broken = Vec::new();
        if !self.listen.is_empty() && self.address().is_none() {
            let problem = "has to be an address and port such as \"127.0.0.1:8420\", or empty";
            broken.push(Invalid::new("http.listen", problem));
        }
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        match (is_set(&self.tls_cert_file), is_set(&self.tls_key_file)) {
            (true, false) => broken.push(Invalid::new(
                "http.tls_cert_file",
                "is set without http.tls_key_file",
            )),
            (false, true) => broken.push(Invalid::new(
                "http.tls_key_file",
                "is set without http.tls_cert_file",
            )),
            _ => {}
        }
        for text in &self.trusted_proxies {
            if text.parse::<Network>().is_err() {
                let problem = format!(
                    "lists {text:?}, which is no address and no network such as 10.0.0.0/8"
                );
                broken.push(Invalid::new("http.trusted_proxies", problem));
            }
        }
        self.validate_tokens(&mut broken);
        broken
    }

    fn validate_tokens(&self, broken: &mut Vec<Invalid>) {
        let mut fail = |problem: String| broken.push(Invalid::new("http.tokens", problem));
        for (index, token) in self.tokens.iter().enumerate() {
            let name = &token.name;
            // It goes into the ledger and logs.
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
            if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
                fail(format!(
                    "lists {name:?}; a name has 1 to 64 letters, digits, \"-\", \"_\", \".\" or \"@\""
                ));
            }
            if token.hash().is_none() {
                fail(format!(
                    "lists {name:?}, whose sha256 is not 64 hexadecimal digits; \"trailkeeper token new\" prints one"
                ));
            }
            if token.scopes.is_empty() {
                fail(format!("lists {name:?}, which has no scopes"));
            }
            if token.expires_at.is_some() && token.expires_at().is_none() {
                fail(format!(
                    "lists {name:?}, whose expires_at is no date or time"
                ));
            }
            let others = &self.tokens[..index];
            if others.iter().any(|other| other.name == *name) {
                fail(format!("lists {name:?} twice"));
            }
            if others
                .iter()
                .any(|other| other.sha256.eq_ignore_ascii_case(&token.sha256))
            {
                fail(format!("lists {name:?}, whose token is also another's"));
            }
        }
    }
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    prefix: u32,
}

impl Network {
    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let free = 128 - self.prefix;
        (self.bits ^ bits(address)).checked_shr(free).unwrap_or(0) == 0
    }
}

/// IPv4 as IPv6 writes it, so that a server that listens on both sees one kind.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| ())?,
            None => width,
        };
        if prefix > width {
            return Err(());
        }
        Ok(Self {
            bits: bits(address),
            prefix: 128 - width + prefix,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_begins_alike() {
        let holds = |network: &str, address: &str| {
            let network: Network = network.parse().expect("a network");
            network.contains(address.parse().expect("an address"))
        };
        assert!(holds("10.0.0.0/8", "10.255.0.1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("127.0.0.1", "127.0.0.1"));
        assert!(!holds("127.0.0.1", "127.0.0.2"));
        assert!(holds("0.0.0.0/0", "203.0.113.9"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("::/0", "203.0.113.9"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1"));
        for wrong in ["", "10.0.0.0/33", "10.0.0.0/", "host", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn reading_everything_is_not_writing() {
        for scope in Scope::ALL {
            assert_eq!(
                Scope::Read.allows(scope),
                scope.name().ends_with("read"),
                "{scope}"
            );
            assert!(scope.allows(scope));
            assert_eq!(
                serde_json::to_value(scope).expect("serialise"),
                scope.name()
            );
        }
        assert!(!Scope::JobsWrite.allows(Scope::JobsRead));
    }
}
