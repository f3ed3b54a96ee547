//! What a form sends, and whether it was ours.

use axum::http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq;

use crate::http::{Call, Caller, Fault, route::nul};

/// The fields of a form.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn of(call: &Call) -> Self {
        Self::parse(&call.body)
    }

    fn parse(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    /// What stands in a field; none where it is missing or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

/// Refuses what another site had a browser send: it does not know the session's secret. What signs in has no session yet, and there
/// the browser's own word has to do.
pub(in crate::http) fn guard(
    caller: &Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), Fault> {
    let refused = || {
        let detail =
            "the form is not one of this session's; go back, load the page again and send it again";
        Err(Fault::new(StatusCode::FORBIDDEN, detail))
    };
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
        return refused();
    }
    let form = Form::parse(body);
    if form.0.iter().any(|(_, value)| value.contains('\0')) {
        return Err(nul());
    }
    if let Caller::Visitor(visitor) = caller {
        let sent = form.get("csrf").unwrap_or_default();
        if !bool::from(sent.as_bytes().ct_eq(visitor.csrf.as_bytes())) {
            return refused();
        }
    }
    Ok(())
}
