//! What the worker tells over HTTP: whether it lives, whether it is ready, and its metrics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{metrics::Metrics, state::Store};

/// A database that does not answer within this is not there.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// A further condition of readiness: `Err` says what is missing.
pub type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the answers are made of.
pub struct Health {
    /// Our own database.
    pub store: Store,
    /// What Prometheus is told.
    pub metrics: Metrics,
    /// Set when the worker begins to shut down.
    pub is_draining: AtomicBool,
    /// Whether the worker still turns.
    pub lives: Check,
    /// Further conditions, by name.
    pub checks: Vec<(&'static str, Check)>,
}

/// Listens on `address`.
///
/// # Errors
/// If the address cannot be had.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address} for metrics and health; set metrics.listen to an address that is free"
        )
    })
}

/// Answers until cancelled.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health);
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn livez(State(health): State<Arc<Health>>) -> Response {
    match (health.lives)() {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let mut checks = serde_json::Map::new();
    let mut is_ready = true;
    let mut add = |name: &str, result: Result<(), String>| {
        is_ready &= result.is_ok();
        checks.insert(
            name.to_owned(),
            json!(result.err().unwrap_or_else(|| "ok".to_owned())),
        );
    };
    add(
        "shutdown",
        if health.is_draining.load(Relaxed) {
            Err("the worker is shutting down".to_owned())
        } else {
            Ok(())
        },
    );
    let ping = tokio::time::timeout(PING_TIMEOUT, health.store.ping()).await;
    add(
        "state",
        match ping {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the state database does not answer".to_owned()),
        },
    );
    for (name, check) in &health.checks {
        add(name, check());
    }
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({"ready": is_ready, "checks": checks}).to_string() + "\n";
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (status, headers, body).into_response()
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    match health.metrics.text() {
        Ok(text) => {
            let headers = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
            (headers, Body::from(text)).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
