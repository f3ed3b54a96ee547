//! Certificates for `amqps://`.

use std::{fmt, path::Path};

use lapin::tcp::RustlsConnector;
use lapin::tcp::RustlsConnectorConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use thiserror::Error;

/// Whom we trust and who we are. The default trusts the system's authorities and shows no certificate.
#[derive(Default)]
pub struct Tls {
    authorities: Option<Vec<CertificateDer<'static>>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// Why a certificate or key cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is not what it should be.
    #[error("cannot use {path} for RabbitMQ's TLS: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// Only one of two.
    #[error("a client certificate for RabbitMQ needs both its certificate file and its key file")]
    HalfAnIdentity,
}

impl Tls {
    /// Reads PEM files. With `ca`, only authorities of that file are trusted, not the system's: who configures a private
    /// authority wants no other to vouch for the broker.
    ///
    /// # Errors
    /// If a file cannot be read, holds nothing of the kind, or only one of `certificate` and `key` is given.
    pub fn read(
        ca: Option<&Path>,
        certificate: Option<&Path>,
        key: Option<&Path>,
    ) -> Result<Self, TlsError> {
        let authorities = ca.map(certificates).transpose()?;
        let identity = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let chain = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| fail(key, error))?;
                Some((chain, key))
            }
            _ => return Err(TlsError::HalfAnIdentity),
        };
        Ok(Self {
            authorities,
            identity,
        })
    }

    pub(super) fn connector(&self) -> std::io::Result<RustlsConnector> {
        let config = match &self.authorities {
            None => RustlsConnectorConfig::new_with_native_certs()?,
            Some(authorities) => {
                let mut config = RustlsConnectorConfig::default();
                config.add_parsable_certificates(authorities.clone());
                config
            }
        };
        match &self.identity {
            None => config.connector_with_no_client_auth(),
            Some((chain, key)) => config.connector_with_single_cert(chain.clone(), key.clone_key()),
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fail(path, error))?;
    if found.is_empty() {
        return Err(fail(path, "it holds no certificate in PEM form"));
    }
    Ok(found)
}

fn fail(path: &Path, problem: impl fmt::Display) -> TlsError {
    TlsError::File {
        path: path.display().to_string(),
        problem: problem.to_string(),
    }
}

impl fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("authorities", &self.authorities.as_ref().map(Vec::len))
            .field("identity", &self.identity.is_some())
            .finish()
    }
}
