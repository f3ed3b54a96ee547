//! The way of a request: the one place where limits, rules, logs and headers are.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::RequestPartsExt as _;
use axum::{
    body::{Body, Bytes},
    extract::{RawPathParams, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::Response,
};

use tracing::Instrument as _;

use super::{
    Call, Caller, Fault, Route, Rule, Style,
    api::Api,
    auth::{admit, permit},
    client, pages,
    route::{nul, table},
};
use crate::{
    state::jobs::new_id,
    trace::{self, TraceParent},
};

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// Answers a request to a route.
pub(super) async fn to_route(api: Arc<Api>, route: &'static Route, request: Request) -> Response {
    let started = Instant::now();
    let style = Style::of(route.path);
    let mut who = Caller::Anybody;
    // Where whoever has to sign in first wanted to go.
    let target = match route.method {
        Method::GET => request
            .uri()
            .path_and_query()
            .map_or(pages::HOME, |it| it.as_str()),
        _ => pages::HOME,
    };
    let target = target.to_owned();
    let (answer, method) = if request.method() == route.method {
        let trace = request.headers().get("traceparent");
        let trace = trace.and_then(|value| TraceParent::parse(value.to_str().ok()?));
        let span = trace::request(route.method.as_str(), route.path);
        let within = trace::adopt(&span, trace);
        let answer = pass(&api, route, request, started, &mut who);
        let answer = trace::within(within, answer.instrument(span.clone())).await;
        let status = answer
            .as_ref()
            .map_or_else(|fault| fault.status, Response::status);
        span.record("http.response.status_code", status.as_u16());
        (answer, route.method.as_str())
    } else {
        // axum answers HEAD by GET; QWED does not.
        (Err(method_not_allowed()), "other")
    };
    let mut response = answer.unwrap_or_else(|fault| match style {
        Style::Page => pages::fault(&fault, &who, &target),
        _ => fault.into_response(style),
    });
    allow(&mut response, route.path);
    finish(&api, response, route.path, method, &who, started)
}

/// Answers what no route is for.
pub(super) fn to_nothing(api: &Api, uri: &Uri, fault: Fault) -> Response {
    let started = Instant::now();
    let path = uri.path();
    let mut response = match api.limits.any(started) {
        Err(seconds) => too_many(seconds).into_response(Style::of(path)),
        Ok(()) => match without_slash(uri) {
            Some(redirection) => redirection,
            None => fault.into_response(Style::of(path)),
        },
    };
    allow(&mut response, path);
    finish(api, response, "none", "other", &Caller::Anybody, started)
}

/// As FastAPI, sends whoever asks with a slash too many to where they meant.
fn without_slash(uri: &Uri) -> Option<Response> {
    let path = uri.path().strip_suffix('/')?;
    if !table().iter().any(|route| route.is_at(path)) {
        return None;
    }
    let location = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let location = HeaderValue::from_str(&location).ok()?;
    response.headers_mut().insert(header::LOCATION, location);
    Some(response)
}

pub(super) fn nothing_there() -> Fault {
    Fault::not_found("Not Found")
}

pub(super) fn method_not_allowed() -> Fault {
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

/// Says which methods a path has, where the one that was used is none of them.
fn allow(response: &mut Response, path: &str) {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return;
    }
    let routes = table().iter().filter(|route| route.is_at(path));
    let methods: Vec<&str> = routes.map(|route| route.method.as_str()).collect();
    if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, methods);
    }
}

async fn pass(
    api: &Arc<Api>,
    route: &Route,
    request: Request,
    now: Instant,
    who: &mut Caller,
) -> Result<Response, Fault> {
    api.limits.any(now).map_err(too_many)?;
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied();
    let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |Peer(address)| address);
    let address = client::address(peer, &parts.headers, &api.proxies);
    // Where others at the same address guessed too often, whoever has a token or a session goes on, and pages keep their look; API keys,
    // and tokens to sign in with, are not even looked up.
    let is_guess = match route.rule {
        Rule::QwedAdmin => true,
        Rule::Open(_) => route.method == Method::POST,
        Rule::Scope(_) | Rule::Page(_) => false,
    };
    if is_guess {
        api.limits.may_be_refused(address, now).map_err(too_many)?;
    }
    let admitted = admit(api, route.rule, &parts.headers).await;
    let permitted = admitted.and_then(|caller| {
        *who = caller;
        permit(route.rule, who)
    });
    if let Err(fault) = &permitted
        && matches!(
            fault.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        )
    {
        if !is_guess {
            api.limits.may_be_refused(address, now).map_err(too_many)?;
        }
        api.limits.refused(address, now);
    }
    permitted?;
    if let Some(whose) = who.whose() {
        api.limits.of(whose, now).map_err(too_many)?;
    }
    let section = &api.services.config.http;
    let patience = Duration::from_secs(section.request_timeout_seconds.into());
    let path: Vec<(String, String)> = match parts.extract::<RawPathParams>().await {
        Ok(params) => params
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        Err(_) => return Err(Fault::bad_request("the path is not UTF-8")),
    };
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query).into_owned().collect();
    // QWED's routes take no texts, and have words of their own for what is no number and no time.
    let mut texts = path.iter().chain(&query);
    if matches!(route.rule, Rule::Scope(_) | Rule::Page(_))
        && texts.any(|(_, text)| text.contains('\0'))
    {
        return Err(nul());
    }
    let body = read(
        &parts.headers,
        body,
        section.max_body_bytes as usize,
        patience,
    )
    .await?;
    if Style::of(route.path) == Style::Page && route.method == Method::POST {
        pages::guard(who, &parts.headers, &body)?;
    }
    let call = Call {
        api: Arc::clone(api),
        caller: who.clone(),
        path,
        query,
        headers: parts.headers,
        body,
    };
    let work = (route.handler)(call);
    let answer = match route.is_long {
        true => work.await,
        false => {
            let answer = tokio::time::timeout(patience, work).await;
            answer.unwrap_or_else(|_| Err(Fault::unavailable("it takes too long; try again later")))
        }
    };
    // A token that was no good for signing in.
    let status = answer
        .as_ref()
        .map_or_else(|fault| fault.status, Response::status);
    if status == StatusCode::UNAUTHORIZED {
        api.limits.refused(address, now);
    }
    answer
}

/// Reads a body as far as it may go.
async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, Fault> {
    let too_large = || {
        let detail = format!("the body has more than {limit} bytes");
        Fault::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let said = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let bytes = tokio::time::timeout(patience, axum::body::to_bytes(body, limit)).await;
    match bytes {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let inner = std::error::Error::source(&error);
            // Either it is too long, or the other side has gone and reads no answer.
            let is_cut = inner.is_some_and(|inner| inner.is::<hyper::Error>());
            Err(match is_cut {
                true => Fault::bad_request("the body broke off"),
                false => too_large(),
            })
        }
        Err(_) => Err(Fault::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body takes too long to arrive",
        )),
    }
}

fn too_many(seconds: u64) -> Fault {
    Fault {
        retry_after: Some(seconds),
        ..Fault::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests")
    }
}

/// Adds what every answer has, and tells log and Prometheus.
fn finish(
    api: &Api,
    mut response: Response,
    route: &'static str,
    method: &str,
    who: &Caller,
    started: Instant,
) -> Response {
    let id = new_id();
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        headers.entry(name).or_insert(value);
    }
    headers
        .entry(header::VARY)
        .or_insert(HeaderValue::from_static("Origin"));
    if api.services.config.http.has_tls() {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    let elapsed = started.elapsed();
    let status = response.status();
    let metrics = &api.services.metrics;
    metrics
        .http_requests
        .with_label_values(&[route, method, status.as_str()])
        .inc();
    metrics
        .http_request_seconds
        .with_label_values(&[route])
        .observe(elapsed.as_secs_f64());
    let millis = elapsed.as_secs_f64() * 1000.0;
    tracing::info!(
        route,
        method,
        status = status.as_u16(),
        millis = format!("{millis:.1}"),
        who = who.describe(),
        request = id,
        "answered"
    );
    response
}
