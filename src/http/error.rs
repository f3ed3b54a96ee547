//! What goes wrong with a request, and how that is told: as FastAPI does under QWED's paths, as problem details (RFC 9457)
//! elsewhere.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use super::{auth::Caller, pages, qwed::validation::Invalid};
use crate::{answers::AnswerError, state::StateError};

/// How errors are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `{"detail": …}`.
    Qwed,
    /// `application/problem+json`.
    Problem,
    /// A page for people.
    Page,
}

impl Style {
    /// The style of what is under a path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        if path == "/v1" || path.starts_with("/v1/") {
            Self::Problem
        } else if path == "/status" || path.starts_with("/status/") {
            Self::Page
        } else {
            Self::Qwed
        }
    }
}

/// Why a request is not answered as it was meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The status.
    pub status: StatusCode,
    /// In words, without secrets or personal data.
    pub detail: String,
    /// When to come back, in seconds.
    pub retry_after: Option<u64>,
    /// Parameters that are wrong, for FastAPI's list.
    pub invalid: Vec<Invalid>,
}

/// Problem details.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

#[derive(Serialize)]
struct Detail<T> {
    detail: T,
}

impl Fault {
    /// A status, and why.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            retry_after: None,
            invalid: Vec::new(),
        }
    }

    /// 400.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 503, worth trying again.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    /// 503 for a failure that the log tells more about.
    #[must_use]
    pub fn failed(what: &str, error: &anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "{what}");
        Self::unavailable(what)
    }

    /// As it is sent.
    #[must_use]
    pub fn into_response(self, style: Style) -> Response {
        let (kind, body) = match style {
            Style::Page => return pages::fault(&self, &Caller::Anybody, pages::HOME),
            Style::Qwed if self.invalid.is_empty() => {
                let detail = Detail {
                    detail: &self.detail,
                };
                ("application/json", serde_json::to_vec(&detail))
            }
            Style::Qwed => {
                let detail = Detail {
                    detail: &self.invalid,
                };
                ("application/json", serde_json::to_vec(&detail))
            }
            Style::Problem => {
                let problem = Problem {
                    kind: "about:blank",
                    title: self.status.canonical_reason().unwrap_or("Error"),
                    status: self.status.as_u16(),
                    detail: &self.detail,
                };
                ("application/problem+json", serde_json::to_vec(&problem))
            }
        };
        let mut response = Response::new(Body::from(body.unwrap_or_default()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED && style == Style::Problem {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<AnswerError> for Fault {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Busy => Self::unavailable(error.to_string()),
            AnswerError::Stopped => Self::unavailable("the request was given up"),
            AnswerError::Read(error) => {
                Self::failed("QWED's database cannot be read", &error.into())
            }
            AnswerError::State(error) => error.into(),
        }
    }
}

impl From<StateError> for Fault {
    fn from(error: StateError) -> Self {
        match error {
            // Its text is for whoever asked.
            StateError::Refused(why) => Self::conflict(why),
            error => Self::failed("the state database cannot be used", &error.into()),
        }
    }
}
