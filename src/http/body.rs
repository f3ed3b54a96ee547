//! Answers as they are sent.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

/// A document.
#[must_use]
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(bytes) => typed(status, "application/json", Body::from(bytes)),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written");
            typed(
                StatusCode::INTERNAL_SERVER_ERROR,
                "application/json",
                Body::empty(),
            )
        }
    }
}

/// A body of a type.
#[must_use]
pub(super) fn typed(status: StatusCode, kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
