//! Which addresses a channel may connect to. Asked at each connection, and not once: a name may lead elsewhere the next time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use crate::config::{Channel, is_public};

/// Why nothing is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Barred {
    /// It may be at public addresses only.
    #[error("it has no public address, and the channel does not say allow_private")]
    NotPublic,
    /// What is sent in the clear does not leave the own network.
    #[error("it has a public address, and what is not encrypted goes to private ones only")]
    Clear,
}

/// What a channel may connect to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    allow_private: bool,
    is_encrypted: bool,
}

impl Guard {
    pub(super) fn new(channel: &Channel, is_encrypted: bool) -> Self {
        Self {
            allow_private: channel.allow_private,
            is_encrypted,
        }
    }

    pub(super) fn check(self, address: IpAddr) -> Result<(), Barred> {
        match is_public(address) {
            true if !self.is_encrypted => Err(Barred::Clear),
            false if !self.allow_private => Err(Barred::NotPublic),
            _ => Ok(()),
        }
    }

    /// The addresses of a name that may be connected to: one at least.
    pub(super) async fn resolve(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        let mut barred = None;
        let mut open = Vec::new();
        for address in found {
            match self.check(address.ip()) {
                Ok(()) => open.push(address),
                Err(error) => barred = Some(error),
            }
        }
        match (open.is_empty(), barred) {
            (true, Some(barred)) => Err(io::Error::other(barred)),
            (true, None) => Err(io::Error::new(io::ErrorKind::NotFound, "it has no address")),
            (false, _) => Ok(open),
        }
    }
}

/// For [`reqwest`], which asks for names and not for addresses that URLs name themselves.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Guard);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0;
        Box::pin(async move {
            // Port 0 stands for the URL's.
            let found = guard.resolve(name.as_str(), 0).await?;
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

/// As the client takes it.
pub(super) fn resolver(guard: Guard) -> Arc<Resolver> {
    Arc::new(Resolver(guard))
}
