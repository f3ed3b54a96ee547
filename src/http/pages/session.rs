//! Who is signed in. The browser keeps a secret, our database its hash, and a session lasts no longer than the token it was begun with.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::SignedDuration;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    form::Form,
    shell::{HOME, fault, home_of},
};
use crate::{
    http::{
        Call, Caller, Fault,
        api::Api,
        auth::{Visitor, hash_of_token},
    },
    state::sessions::SessionRow,
};

const COOKIE: &str = "trailkeeper_session";
/// How long it lasts. Whoever works longer signs in again.
const LASTS: SignedDuration = SignedDuration::from_hours(12);

/// The operator whose session a request belongs to; none if it belongs to none that lasts.
pub(in crate::http) async fn visitor(
    api: &Api,
    headers: &HeaderMap,
) -> Result<Option<Visitor>, Fault> {
    let Some(id) = cookie(headers) else {
        return Ok(None);
    };
    let now = api.now();
    let found = api.store.session(&hash_of_token(id)).await?;
    let Some(session) = found.filter(|it| it.expires_at > now.as_microsecond()) else {
        return Ok(None);
    };
    let operator = api
        .tokens
        .named(&session.operator, &session.token_sha256, now);
    Ok(operator.map(|operator| Visitor {
        operator: operator.clone(),
        csrf: URL_SAFE_NO_PAD.encode(Sha256::digest(format!("trailkeeper form {id}"))),
        id_sha256: session.id_sha256,
    }))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut named = pairs.filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = named.find(|(name, _)| *name == COOKIE)?;
    Some(value)
}

/// Takes a token for a session.
pub(super) async fn sign_in(call: Call) -> Result<Response, Fault> {
    let form = Form::of(&call);
    let api = &call.api;
    let now = api.now();
    let token = Zeroizing::new(form.get("token").unwrap_or_default().trim().to_owned());
    let next = form.get("next").unwrap_or_default();
    let Some(operator) = api.tokens.find(&token, now) else {
        let detail = "the token is not known, or its time is over";
        let unknown = Fault::new(StatusCode::UNAUTHORIZED, detail);
        // The form once more, which has not forgotten where they want to go.
        return Ok(fault(&unknown, &call.caller, next));
    };
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut())
        .map_err(|error| Fault::failed("there is no randomness", &anyhow::anyhow!("{error}")))?;
    let id = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_ref()));
    let session = SessionRow {
        id_sha256: hash_of_token(&id),
        operator: operator.name.clone(),
        token_sha256: hash_of_token(&token),
        expires_at: (now + LASTS).as_microsecond(),
    };
    api.store
        .insert_session(&session, now.as_microsecond())
        .await?;
    tracing::info!(operator = operator.name, "signed in to the status page");
    // Only to pages of ours.
    let is_ours = next == HOME
        || next
            .strip_prefix(HOME)
            .is_some_and(|rest| rest.starts_with(['/', '?']));
    let cookie = set_cookie(&call, &id, LASTS.as_secs());
    Ok(with_cookie(
        see(if is_ours && next != HOME {
            next
        } else {
            home_of(operator)
        }),
        &cookie,
    ))
}

/// Whoever loads the answer to a failed attempt again.
pub(super) async fn begin(_: Call) -> Result<Response, Fault> {
    Ok(see(HOME))
}

/// Ends the session.
pub(super) async fn sign_out(call: Call) -> Result<Response, Fault> {
    if let Caller::Visitor(visitor) = &call.caller {
        call.api.store.delete_session(&visitor.id_sha256).await?;
    }
    Ok(with_cookie(see(HOME), &set_cookie(&call, "", 0)))
}

/// Lax, so that a link in a message leads to the page and not to the sign-in form; forms are guarded by a secret of their own.
fn set_cookie(call: &Call, id: &str, seconds: i64) -> String {
    // Whoever says so and has no TLS harms nobody but themselves: they would not be sent the cookie again.
    let forwarded = call.headers.get("x-forwarded-proto");
    let is_secure = call.api.services.config.http.has_tls()
        || forwarded.is_some_and(|protocol| protocol.as_bytes() == b"https");
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{COOKIE}={id}; Path={HOME}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(mut cookie) = HeaderValue::from_str(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Sends the browser to another page, which it asks for with GET.
pub(super) fn see(path: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static(HOME));
    response.headers_mut().insert(header::LOCATION, path);
    response
}
