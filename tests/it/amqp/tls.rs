//! TLS with certificates on both sides.

use std::{fs, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use trailkeeper::runtime::amqp::{ports::Message, tls::Tls};

use super::{Bridge, settings, until};
use crate::support::amqp_client::Client;
use crate::support::rabbitmq::{RabbitMq, ServerTls};

fn authority(path: &Path, name: &str) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).expect("a certificate");
    fs::write(path, certificate.pem()).expect("write it");
    Issuer::new(params, key)
}

fn certificate(
    directory: &Path,
    issuer: &Issuer<'_, KeyPair>,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
) {
    let key = KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).expect("usable names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages.push(usage);
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    fs::write(directory.join(format!("{name}.pem")), certificate.pem()).expect("write it");
    fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).expect("write it");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_show_certificates() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name);
    let ours = authority(&file("ca.pem"), "ours");
    authority(&file("other-ca.pem"), "another");
    certificate(
        directory.path(),
        &ours,
        "server",
        ExtendedKeyUsagePurpose::ServerAuth,
    );
    certificate(
        directory.path(),
        &ours,
        "client",
        ExtendedKeyUsagePurpose::ClientAuth,
    );
    let broker = RabbitMq::start_with(Some(&ServerTls {
        ca: &file("ca.pem"),
        certificate: &file("server.pem"),
        key: &file("server.key"),
    }));
    let with = |tls: Tls| {
        let mut settings = settings(&broker.tls_url());
        settings.tls = Arc::new(tls);
        settings
    };
    let (ca, certificate, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let (certificate, key) = (Some(certificate.as_path()), Some(key.as_path()));

    let bridge = Bridge::start(with(Tls::read(Some(&ca), certificate, key).unwrap())).await;
    let client = Client::connect(&broker.url()).await;
    client.send_many(["over TLS".to_owned()]).await;
    until("it is taken in", async || bridge.memory.len() == 1).await;
    let message: Option<Message> = bridge.memory.message("billing", "over TLS");
    assert!(message.is_some());
    bridge.stop().await;

    // Without a certificate, by a client that trusts others, or one that trusts the system.
    let other = file("other-ca.pem");
    for (tls, part) in [
        (Tls::read(Some(&ca), None, None).unwrap(), "ertificate"),
        (
            Tls::read(Some(&other), certificate, key).unwrap(),
            "invalid peer certificate",
        ),
        (Tls::default(), "invalid peer certificate"),
    ] {
        let bridge = Bridge::launch(with(tls), Arc::default());
        until("it says why it does not connect", async || {
            let error = bridge.status.last_error().unwrap_or_default();
            error.contains("cannot connect to amqps://guest@127.0.0.1:")
        })
        .await;
        let error = bridge.status.last_error().unwrap();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("guest:"), "{error}");
        assert!(!bridge.status.consuming() && !bridge.status.publishing());
        bridge.stop().await;
    }
}

#[test]
fn says_which_file_is_wrong() {
    let directory = tempfile::tempdir().expect("a directory");
    let empty = directory.path().join("empty.pem");
    fs::write(&empty, "nothing").expect("write it");
    let error = Tls::read(Some(&empty), None, None).unwrap_err().to_string();
    assert!(
        error.contains("empty.pem") && error.contains("no certificate"),
        "{error}"
    );
    let error = Tls::read(None, Some(&empty), None).unwrap_err().to_string();
    assert!(error.contains("needs both"), "{error}");
    let error = Tls::read(Some(Path::new("/no/such.pem")), None, None);
    assert!(error.unwrap_err().to_string().contains("/no/such.pem"));
}
