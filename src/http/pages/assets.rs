//! The one style sheet and the one picture.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use crate::{
    http::{Call, Fault, body::typed},
    report::render,
};

const STYLE: &str = include_str!("page.css");
const ICON: &str = include_str!("icon.svg");

/// The reports' look, and what pages have beyond it.
pub(super) async fn style(_: Call) -> Result<Response, Fault> {
    let style = format!("{}\n{STYLE}", render::STYLE);
    Ok(kept("text/css; charset=utf-8", style))
}

pub(super) async fn icon(_: Call) -> Result<Response, Fault> {
    Ok(kept("image/svg+xml", ICON.to_owned()))
}

/// It changes with the program only.
fn kept(kind: &'static str, text: String) -> Response {
    let mut response = typed(StatusCode::OK, kind, Body::from(text));
    let hour = HeaderValue::from_static("private, max-age=3600");
    response.headers_mut().insert(header::CACHE_CONTROL, hour);
    response
}
