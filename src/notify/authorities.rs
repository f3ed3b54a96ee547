//! Whom a channel trusts besides the authorities of the machine.

use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::channel::SetupError;
use crate::config::Channel;

/// The certificates of the channel's `ca_file`; none without one.
///
/// # Errors
/// If it cannot be read, or holds no certificate.
pub(super) fn authorities(channel: &Channel) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    if channel.ca_file.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let fail = |problem: String| SetupError::Authorities {
        path: channel.ca_file.clone(),
        problem,
    };
    let found = CertificateDer::pem_file_iter(&channel.ca_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fail(error.to_string()))?;
    if found.is_empty() {
        return Err(fail("it has no certificate".to_owned()));
    }
    Ok(found)
}
