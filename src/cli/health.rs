//! `trailkeeper health`: asks a worker on this machine, for whoever has no other program to ask with.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::{Exit, Failure, verify::print};
use crate::config::{Config, Environment};

pub(super) const AFTER: &str = "\
It asks /livez, or /readyz, at metrics.listen, and prints the answer.

Exit codes:
  0  the worker lives, or is ready
  2  wrong usage or configuration
  3  it does not, is not, or does not answer";

/// For connecting, and for each piece of the answer.
const TIMEOUT: Duration = Duration::from_secs(4);
/// No answer is near this size; whoever listens there may be somebody else.
const MAX_ANSWER_BYTES: u64 = 1 << 16;

/// What `health` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Ask whether it can work, not only whether it lives
    #[arg(long)]
    ready: bool,
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "TRAILKEEPER_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let config = Config::load(arguments.config.as_deref(), &Environment::of_process())
        .map_err(Failure::usage)?;
    let path = if arguments.ready { "/readyz" } else { "/livez" };
    let address = reachable(config.metrics.listen);
    let (status, body) = ask(address, path)
        .with_context(|| format!("no worker answers at {address}"))
        .map_err(Failure::could_not_check)?;
    if status == 200 {
        print(|out| out.write_all(body.as_bytes()))?;
        return Ok(Exit::Intact);
    }
    let problem = anyhow::anyhow!("{path} answers {status}: {}", body.trim());
    Err(Failure::could_not_check(problem))
}

/// Where to ask whoever listens on all addresses.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let host = match listen.ip() {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    SocketAddr::new(host, listen.port())
}

/// The status and the body of an answer.
fn ask(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0, whose answers end with the connection and come in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer)?;
    parse(&answer).context("the answer is no HTTP")
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some((status.parse().ok()?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_answer() {
        let answer = "HTTP/1.0 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nno\n";
        assert_eq!(parse(answer), Some((503, "no\n".to_owned())));
        for wrong in [
            "",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 \r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn asks_here_whoever_listens_everywhere() {
        for (listen, asked) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            let listen = listen.parse().expect("an address");
            assert_eq!(reachable(listen).to_string(), asked);
        }
    }
}
