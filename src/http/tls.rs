//! The server's certificate.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

use crate::config::Http;

/// Reads certificate and key; none where TLS is another's business.
pub(super) fn acceptor(section: &Http) -> anyhow::Result<Option<TlsAcceptor>> {
    if !section.has_tls() {
        return Ok(None);
    }
    let chain = certificates(&section.tls_cert_file)?;
    let path = &section.tls_key_file;
    let key = PrivateKeyDer::from_pem_file(path)
        .with_context(|| format!("cannot use {} (http.tls_key_file)", path.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS has no versions to offer")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("http.tls_cert_file and http.tls_key_file do not fit together")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found =
        found.with_context(|| format!("cannot use {} (http.tls_cert_file)", path.display()))?;
    anyhow::ensure!(
        !found.is_empty(),
        "{} (http.tls_cert_file) holds no certificate in PEM form",
        path.display()
    );
    Ok(found)
}
