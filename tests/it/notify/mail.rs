//! A real mail server, with TLS in both ways and without.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};
use trailkeeper::notify::{Moment, Prospect, Sender};

use super::{SECRET, channel, notice, refusal, sender};
use crate::support::{
    process::{Process, command_that_dies_with_us, free_ports},
    store::block_on,
};

/// The one that scripts/setup installs aiosmtpd for.
const PYTHON: &str = "/usr/bin/python3";
const LATER: Prospect = Prospect::Later { after: None };

struct Server {
    mode: &'static str,
    port: u16,
    directory: TempDir,
    process: Process,
}

impl Server {
    /// Its certificate is for `localhost`.
    async fn start(mode: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let at = |name: &str| directory.path().join(name);
        let issuer = authority(&at("ca.pem"));
        authority(&at("other-ca.pem"));
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");
        fs::write(at("server.pem"), certificate.pem()).expect("write it");
        fs::write(at("server.key"), key.serialize_pem()).expect("write it");
        fs::create_dir(at("mail")).expect("make a directory");
        let [port] = free_ports();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/notify/mail_server.py");
        let mut command = command_that_dies_with_us(PYTHON);
        command
            .arg(program)
            .args([mode, &port.to_string()])
            .args([at("server.pem"), at("server.key"), at("mail")])
            .stderr(fs::File::create(at("log")).expect("make a log"));
        let process = Process::start(command);
        let server = Self {
            mode,
            port,
            directory,
            process,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let log = fs::read_to_string(server.file("log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline && !server.process.has_ended(),
                "{log}"
            );
            sleep(Duration::from_millis(100)).await;
        }
        server
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn lines(&self) -> String {
        let login = match self.mode {
            "none" => String::new(),
            _ => format!(
                "username = \"tk\"\nsecret = \"{SECRET}\"\nca_file = {:?}\n",
                self.file("ca.pem")
            ),
        };
        format!(
            "type = \"smtp\"\nhost = \"localhost\"\nport = {}\ntls = \"{}\"\ntimeout_seconds = 10\n\
             from = \"Worker <tk@example.org>\"\nto = [\"a@example.org\", \"B <b@example.org>\"]\n{login}",
            self.port, self.mode
        )
    }

    fn mail(&self) -> Vec<String> {
        let found = fs::read_dir(self.file("mail")).expect("a directory");
        let mut paths: Vec<PathBuf> = found.map(|it| it.expect("a file").path()).collect();
        paths.sort();
        let read = |path| {
            fs::read_to_string(path)
                .expect("text")
                .replace("\r\n", "\n")
        };
        paths.into_iter().map(read).collect()
    }
}

fn authority(path: &Path) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Test");
    let certificate = params.self_signed(&key).expect("a certificate");
    fs::write(path, certificate.pem()).expect("write it");
    Issuer::new(params, key)
}

#[test]
fn mail_arrives_encrypted_in_both_ways() {
    block_on(async {
        for mode in ["starttls", "tls"] {
            let server = Server::start(mode).await;
            let sender = sender(&channel(&server.lines()));
            for moment in [Moment::Firing, Moment::Resolved] {
                sender.send(&notice(moment)).await.expect("taken");
            }
            let mail = server.mail();
            assert_eq!(mail.len(), 2, "{mail:?}");
            assert!(
                mail[0].starts_with("X-To: a@example.org,b@example.org\n"),
                "{}",
                mail[0]
            );
            assert!(
                mail[0].contains("\nSubject: [CRITICAL] Tampering in organisation 7"),
                "{}",
                mail[0]
            );
            assert!(mail[1].contains("\nSubject: [resolved] "), "{}", mail[1]);
            assert!(mail[0].contains("\nEntry 12 differs."), "{}", mail[0]);
            assert!(!mail[0].contains("hunter2"));

            let wrong = server.lines().replace(SECRET, "hunter2-no-more");
            assert!(refusal(&channel(&wrong)).await.is_final());
            let nobody = server.lines().replace("\"a@", "\"nobody@");
            let error = refusal(&channel(&nobody)).await;
            assert!(
                error.is_final() && error.reason.contains("no such user"),
                "{error}"
            );
            let busy = server.lines().replace("\"a@", "\"busy@");
            assert_eq!(refusal(&channel(&busy)).await.kind, LATER);
            assert_eq!(server.mail().len(), 2);
        }
    });
}

#[test]
fn no_other_certificate_will_do() {
    block_on(async {
        for mode in ["starttls", "tls"] {
            let server = Server::start(mode).await;
            let strangers = server.lines().replace("ca.pem", "other-ca.pem");
            let nobodys = server.lines().replace("ca_file", "#");
            let others = server.lines().replace("\"localhost\"", "\"127.0.0.1\"");
            for lines in [strangers, nobodys, others] {
                let error = refusal(&channel(&lines)).await;
                assert!(
                    error.kind == LATER && error.reason.contains("certificate"),
                    "{error}"
                );
            }
            let missing = channel(&server.lines().replace("ca.pem", "server.key"));
            let error = Sender::new(&missing).err().expect("no certificate");
            assert!(error.to_string().contains("ca_file"), "{error}");
            assert_eq!(server.mail().len(), 0);
        }
    });
}

#[test]
fn nothing_is_sent_in_the_clear_that_should_not_be() {
    block_on(async {
        let server = Server::start("none").await;
        let clear = channel(&server.lines());
        sender(&clear)
            .send(&notice(Moment::Test))
            .await
            .expect("taken");
        assert_eq!(server.mail().len(), 1);
        // Whoever strips STARTTLS from what the server says gets nothing.
        let error = refusal(&channel(
            &server.lines().replace("\"none\"", "\"starttls\""),
        ))
        .await;
        assert_eq!(server.mail().len(), 1, "{error}");
        let mut private = clear.clone();
        private.allow_private = false;
        let error = refusal(&private).await;
        assert!(error.reason.contains("no public address"), "{error}");
        assert_eq!(server.mail().len(), 1);
    });
}
