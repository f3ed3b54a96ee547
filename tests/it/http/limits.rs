//! What is let through: how much, how large, how slow.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trailkeeper::config::Scope;

use super::{Server, api_key};
use crate::support::store::{TestStore, block_on};

#[test]
fn a_key_that_asks_too_often_has_to_wait() {
    block_on(async {
        let lines = "requests_per_second_per_key = 1";
        let server = Server::start_with(TestStore::sqlite().await, lines).await;
        let (owner, path) = (api_key('A'), "/admin/compliance/verify/1");
        let mut refused = None;
        for _ in 0..5 {
            let answered = server.get_as(&owner, path).await;
            if answered.status == 429 {
                refused = Some(answered);
            }
        }
        let refused = refused.expect("too many requests");
        assert_eq!(refused.header("retry-after"), "1");
        assert_eq!(refused.body, r#"{"detail":"Too many requests"}"#);
        // Another is not concerned.
        let answered = server
            .get_as(&api_key('B'), "/admin/compliance/verify/2")
            .await;
        assert_eq!(answered.status, 200);
    });
}

#[test]
fn guessing_is_slow() {
    block_on(async {
        let lines = "refusals_per_minute = 3\ntrusted_proxies = [\"127.0.0.1\"]";
        let server = Server::start_with(TestStore::sqlite().await, lines).await;
        let path = "/v1/jobs";
        let from = |address| [("x-forwarded-for", address)];
        for _ in 0..3 {
            let answered = server.ask("GET", path, &from("192.0.2.1"), "").await;
            assert_eq!(answered.status, 401);
        }
        let answered = server.ask("GET", path, &from("192.0.2.1"), "").await;
        assert_eq!(answered.status, 429);
        assert_eq!(answered.header("content-type"), "application/problem+json");
        let seconds: u64 = answered.header("retry-after").parse().expect("seconds");
        assert!((1..=20).contains(&seconds), "{seconds}");
        let answered = server.ask("GET", path, &from("192.0.2.2"), "").await;
        assert_eq!(answered.status, 401);
    });
}

/// Statuses of requests without a token, one for each chain of addresses, where no more than two are refused to an address.
async fn refusals(proxies: &str, chains: &[&str]) -> Vec<u16> {
    let lines = format!("refusals_per_minute = 2\ntrusted_proxies = {proxies}");
    let server = Server::start_with(TestStore::sqlite().await, &lines).await;
    let mut statuses = Vec::new();
    for chain in chains {
        let sent = [("x-forwarded-for", *chain)];
        statuses.push(server.ask("GET", "/v1/jobs", &sent, "").await.status);
    }
    statuses
}

#[test]
fn whoever_is_no_proxy_says_nothing_of_others() {
    block_on(async {
        // The peer is 127.0.0.1, and counts as itself whatever it invents.
        let invented = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
        for proxies in ["[]", "[\"10.0.0.0/8\", \"127.0.0.2\"]"] {
            assert_eq!(refusals(proxies, &invented).await, [401, 401, 429]);
        }
        let trusted = "[\"127.0.0.1\"]";
        assert_eq!(refusals(trusted, &invented).await, [401, 401, 401]);
    });
}

#[test]
fn hops_are_read_from_the_nearest_on() {
    block_on(async {
        let proxies = "[\"127.0.0.0/8\", \"10.0.0.0/8\"]";
        // What stands before the first stranger from the right is the stranger's word.
        let chains = [
            "198.51.100.1, 192.0.2.1, 10.0.0.7",
            "198.51.100.2, 192.0.2.1",
            "198.51.100.3,10.0.0.9,192.0.2.1, 10.1.1.1,10.0.0.7",
        ];
        assert_eq!(refusals(proxies, &chains).await, [401, 401, 429]);
        // Where nobody but proxies is named, or a hop cannot be read, the last proxy that is known answers for it.
        let chains = ["10.0.0.7", "x, 10.0.0.7", "192.0.2.1, unknown,10.0.0.7"];
        assert_eq!(refusals(proxies, &chains).await, [401, 401, 429]);
        let chains = ["192.0.2.1, 10.0.0.7", "192.0.2.2, 10.0.0.7", "192.0.2.3"];
        assert_eq!(refusals(proxies, &chains).await, [401, 401, 401]);
    });
}

#[test]
fn all_together_may_ask_so_often() {
    block_on(async {
        let lines = "requests_per_second = 1";
        let server = Server::start_with(TestStore::sqlite().await, lines).await;
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(server.ask("GET", "/nothing", &[], "").await.status);
        }
        assert!(
            statuses.contains(&404) && statuses.contains(&429),
            "{statuses:?}"
        );
    });
}

#[test]
fn what_is_too_large_is_refused() {
    block_on(async {
        let lines = "max_body_bytes = 1024";
        let server = Server::start_with(TestStore::sqlite().await, lines).await;
        let large = " ".repeat(1025);
        let answered = server
            .operate(Scope::JobsWrite, "POST", "/v1/jobs", &large)
            .await;
        assert_eq!(answered.status, 413);
        // Without a length as well.
        let mut stream = connect(&server).await;
        let head = format!(
            "POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
            super::token(Scope::JobsWrite)
        );
        let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 2000, "x".repeat(2000));
        stream.write_all(head.as_bytes()).await.expect("write");
        stream.write_all(chunk.as_bytes()).await.expect("write");
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 413"));
    });
}

#[test]
fn who_is_too_slow_is_not_waited_for() {
    block_on(async {
        let lines = "request_timeout_seconds = 1";
        let server = Server::start_with(TestStore::sqlite().await, lines).await;
        let mut stream = connect(&server).await;
        let head = format!(
            "POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 10\r\n\r\n{{",
            super::token(Scope::JobsWrite)
        );
        stream.write_all(head.as_bytes()).await.expect("write");
        let started = Instant::now();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 408"));
        assert!(started.elapsed() < Duration::from_secs(20));
    });
}

async fn connect(server: &Server) -> TcpStream {
    let address = server.url("");
    let address = address.trim_start_matches("http://");
    TcpStream::connect(address).await.expect("connect")
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = stream.read(&mut bytes).await.expect("read");
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}
