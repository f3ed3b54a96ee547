//! Tells a QWED of a record, by its `POST /verify/fact`.
//!
//! QWED's server appends to its own trail then, as its single writer. What is sent names the record by its place and its hash, and
//! nobody: what QWED is told stays in its trail, and may go to a language model.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use thiserror::Error;

use super::row::Record;
use crate::{config, objects::http_client};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// QWED itself gives up sooner.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a record was not forwarded.
#[derive(Debug, Error)]
pub enum ForwardError {
    /// The configuration does not say where to, or TLS cannot be set up.
    #[error("consents cannot be forwarded to QWED: {0}")]
    Setup(String),
    /// QWED could not be reached, or did not answer in time.
    #[error("QWED at consent.qwed_url cannot be reached: {0}")]
    Unreachable(String),
    /// QWED answered something else than success.
    #[error("QWED at consent.qwed_url answers {0}")]
    Refused(StatusCode),
}

impl ForwardError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Setup(_) => false,
            Self::Unreachable(_) => true,
            Self::Refused(status) => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
        }
    }
}

/// A QWED that is told of records.
pub struct Forwarder<'a> {
    client: reqwest::Client,
    url: String,
    section: &'a config::Consent,
}

impl<'a> Forwarder<'a> {
    /// The one of the configuration.
    ///
    /// # Errors
    /// If there is none, or TLS cannot be set up.
    pub fn open(section: &'a config::Consent) -> Result<Self, ForwardError> {
        let url = section.qwed_url.trim_end_matches('/');
        if !section.forward_to_qwed || url.is_empty() {
            let problem = "consent.forward_to_qwed is not set".to_owned();
            return Err(ForwardError::Setup(problem));
        }
        // Plain HTTP is only spoken where somebody wrote http://.
        let allow_http = url.starts_with("http://");
        let client = http_client(CONNECT_TIMEOUT, REQUEST_TIMEOUT, allow_http);
        Ok(Self {
            client: client.map_err(|error| ForwardError::Setup(error.to_string()))?,
            url: format!("{url}/verify/fact"),
            section,
        })
    }

    /// Tells of a record. An answer that is lost leaves open whether QWED has it: the next call may be its second.
    ///
    /// # Errors
    /// If QWED cannot be reached, or refuses.
    pub async fn forward(&self, record: &Record) -> Result<(), ForwardError> {
        let fact = fact(record);
        // The claim is its own evidence: QWED is to record it, not to find out whether it holds.
        let body = json!({ "claim": fact, "context": fact }).to_string();
        let request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("x-api-key", self.section.api_key.expose())
            .body(body);
        // Without the URL: who can put a password in it will.
        let sent = request.send().await.map_err(reqwest::Error::without_url);
        let answer = sent.map_err(|error| ForwardError::Unreachable(chain(&error)))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(ForwardError::Refused(status)),
        }
    }
}

/// A record in a sentence that names nobody.
fn fact(record: &Record) -> String {
    let statement = &record.statement;
    let what = match statement.purposes.is_empty() {
        true => "everything".to_owned(),
        false => statement.purposes.join(", "),
    };
    format!(
        "Consent record {} of organization {}: consent to {what} was {} at {}. Its hash is {}.",
        record.note.sequence,
        statement.organization_id,
        statement.status.name(),
        record.at(),
        record.entry_hash,
    )
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
