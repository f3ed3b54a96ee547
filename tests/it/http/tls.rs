//! TLS of the interface: what is answered, to whom, and what keeps it from starting.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use reqwest::{Certificate, Client};
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Answered, Server, api_key};
use crate::support::{
    program::{Program, url},
    store::{TestStore, block_on},
};

/// Long enough for a machine that runs other tests as well, and longer than the server waits for anybody.
const PATIENCE: Duration = Duration::from_secs(40);
const YEAR: &str = "max-age=31536000";

/// A certificate of its own for this machine, with its key.
struct Identity {
    directory: TempDir,
    pem: String,
}

impl Identity {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).expect("usable names");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        fs::write(directory.path().join("server.pem"), &pem).expect("write it");
        fs::write(directory.path().join("server.key"), key.serialize_pem()).expect("write it");
        Self { directory, pem }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Lines of the section `http`.
    fn lines(&self) -> String {
        lines(&self.file("server.pem"), &self.file("server.key"))
    }

    /// A client that trusts nobody else.
    fn client(&self) -> Client {
        // The first to be installed stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificate = Certificate::from_pem(self.pem.as_bytes()).expect("a certificate");
        let builder = Client::builder().tls_certs_only([certificate]);
        builder.build().expect("make a client")
    }

    /// Shakes hands in one version of TLS alone, asks, and answers which it was and what came.
    async fn ask_in(
        &self,
        version: &'static SupportedProtocolVersion,
        address: &str,
    ) -> (Option<ProtocolVersion>, String) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[version]);
        let mut roots = RootCertStore::empty();
        let certificate = rustls_pki_types::pem::PemObject::from_pem_slice(self.pem.as_bytes());
        roots.add(certificate.expect("PEM")).expect("a certificate");
        let config = builder.expect("a version").with_root_certificates(roots);
        let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let stream = connect(address).await;
        let mut stream = connector.connect(name, stream).await.expect("shake hands");
        let head = "GET /v1/jobs HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.expect("write");
        let mut answer = Vec::new();
        // That the other side says goodbye is checked with it.
        let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        read.expect("in time").expect("a whole answer");
        let version = stream.get_ref().1.protocol_version();
        (version, String::from_utf8_lossy(&answer).into_owned())
    }
}

fn lines(certificate: &Path, key: &Path) -> String {
    let (certificate, key) = (certificate.display(), key.display());
    format!(
        "tls_cert_file = {:?}\ntls_key_file = {:?}",
        certificate.to_string(),
        key.to_string()
    )
}

fn address(server: &Server) -> String {
    server.url("").trim_start_matches("https://").to_owned()
}

async fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).await.expect("connect")
}

/// Sends bytes; answers what comes until the other side closes.
async fn converse(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(address).await;
    stream.write_all(bytes).await.expect("write");
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // Closed one way or the other.
    let _ = read.expect("the connection is closed in time");
    answer
}

#[test]
fn over_https_all_is_answered_and_told_to_stay_there() {
    block_on(async {
        let identity = Identity::new();
        let server = Server::start_with(TestStore::sqlite().await, &identity.lines()).await;
        let client = identity.client();
        for (path, status) in [
            ("/admin/compliance/verify/1", 200),
            ("/v1/jobs", 401),
            ("/nothing", 404),
        ] {
            let request = client.get(server.url(path));
            let answer = request.header("x-api-key", api_key('A')).send().await;
            let answered = Answered::of(answer.expect("an answer")).await;
            assert_eq!(answered.status, status, "{path}: {}", answered.body);
            assert_eq!(answered.header("strict-transport-security"), YEAR);
        }
        // Who does not trust the certificate learns nothing.
        let stranger = Identity::new().client();
        let refused = stranger.get(server.url("/v1/jobs")).send().await;
        assert!(refused.expect_err("an unknown certificate").is_connect());

        let plain = Server::start(TestStore::sqlite().await).await;
        let answered = plain.ask("GET", "/v1/jobs", &[], "").await;
        assert_eq!(answered.header("strict-transport-security"), "");
    });
}

#[test]
fn only_newer_versions_are_spoken() {
    block_on(async {
        let identity = Identity::new();
        let server = Server::start_with(TestStore::sqlite().await, &identity.lines()).await;
        let address = address(&server);
        for version in [&TLS12, &TLS13] {
            let (spoken, answer) = identity.ask_in(version, &address).await;
            assert_eq!(spoken, Some(version.version));
            assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        }
        // A client says hello that knows nothing newer than the version given, and suites of that time. It names a signature
        // algorithm, which the server asks for before it looks at the version.
        for minor in [1, 2] {
            let mut hello = vec![3, minor];
            hello.extend([7; 32]);
            hello.extend([0, 0, 4, 0xc0, 0x09, 0xc0, 0x13, 1, 0]);
            hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
            let length = u8::try_from(hello.len()).expect("a short hello");
            let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
            record.extend(hello);
            let answer = converse(&address, &record).await;
            // A fatal alert: no such version.
            assert_eq!(answer.first(), Some(&21), "{answer:?}");
            assert_eq!(answer[5..], [2, 70], "{answer:?}");
        }
    });
}

#[test]
fn plain_http_is_neither_answered_nor_kept_waiting() {
    block_on(async {
        let identity = Identity::new();
        let server = Server::start_with(TestStore::sqlite().await, &identity.lines()).await;
        let address = address(&server);
        let key = api_key('A');
        let request = format!(
            "GET /admin/compliance/verify/1 HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n"
        );
        let started = Instant::now();
        let answer = converse(&address, request.as_bytes()).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("HTTP") && !text.contains("valid"), "{text}");
        assert!(started.elapsed() < Duration::from_secs(8), "at once");
        let answer = identity.client().get(server.url("/v1/jobs")).send().await;
        assert_eq!(answer.expect("an answer").status(), 401);
    });
}

#[test]
fn handshakes_that_stall_hold_up_nobody() {
    block_on(async {
        let identity = Identity::new();
        let lines = format!("{}\nmax_connections = 8", identity.lines());
        let server = Server::start_with(TestStore::sqlite().await, &lines).await;
        let address = address(&server);
        // Silent ones, and ones that stop in the middle of their hello.
        let mut stalled = Vec::new();
        for number in 0..7 {
            let mut stream = connect(&address).await;
            if number % 2 == 0 {
                stream.write_all(&[22, 3, 1, 2]).await.expect("write");
            }
            stalled.push(stream);
        }
        let started = Instant::now();
        let client = identity.client();
        for _ in 0..3 {
            let answer = client.get(server.url("/v1/jobs")).send().await;
            assert_eq!(answer.expect("an answer").status(), 401);
        }
        assert!(started.elapsed() < Duration::from_secs(8), "at once");
        // They are not waited for, so that their places are free again.
        for mut stream in stalled {
            let closed = timeout(PATIENCE, stream.read(&mut [0; 64])).await;
            assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
        }
    });
}

#[test]
fn a_certificate_that_is_of_no_use_keeps_it_from_starting() {
    let (identity, other) = (Identity::new(), Identity::new());
    let text = identity.file("text.pem");
    fs::write(&text, "no certificate\n").expect("write");
    let missing = identity.file("missing.pem");
    let (certificate, key) = (identity.file("server.pem"), identity.file("server.key"));
    for (certificate, key, expected) in [
        (
            &certificate,
            &other.file("server.key"),
            "http.tls_cert_file and http.tls_key_file do not fit together",
        ),
        (&missing, &key, "missing.pem (http.tls_cert_file)"),
        (&certificate, &missing, "missing.pem (http.tls_key_file)"),
        (&text, &key, "text.pem (http.tls_cert_file)"),
        (&certificate, &text, "text.pem (http.tls_key_file)"),
        // The wrong way round.
        (&key, &certificate, "server.key (http.tls_cert_file)"),
    ] {
        let directory = tempfile::tempdir().expect("make a directory");
        let database = directory.path().join("qwed.db");
        fs::copy(super::recorded("server.db"), &database).expect("copy the database");
        let config = directory.path().join("trailkeeper.toml");
        let content = format!(
            "data_dir = {:?}\n[qwed]\ndatabase_url = {:?}\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
             [http]\nlisten = \"127.0.0.1:0\"\n{}\n",
            directory.path().display().to_string(),
            url(&database),
            lines(certificate, key)
        );
        fs::write(&config, content).expect("write");
        let run = Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", super::AUDIT_KEY)
            .args(["run", "--config"])
            .arg(&config)
            .run();
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(run.stderr.contains(expected), "{expected}: {}", run.stderr);
        assert!(!run.stderr.contains("PRIVATE KEY"), "{}", run.stderr);
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    }
}
