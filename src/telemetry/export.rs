//! Sends spans to an OpenTelemetry collector, by OTLP over HTTP.
//!
//! It is set up as every program of OpenTelemetry is, by [variables of the environment][variables], and off without an endpoint. Spans hold
//! what the lines of the log hold, and no more; what cannot be sent is dropped, and never holds up a job.
//!
//! [variables]: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracerProvider, Tracer},
};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::config::Environment;

/// A collector that is away must not keep the program from ending.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Any of these says where to.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Sends what is left when it is dropped.
pub(super) struct Export(SdkTracerProvider);

impl Drop for Export {
    fn drop(&mut self) {
        // Nobody is there any more who could be told that it failed.
        let _ = self.0.shutdown_with_timeout(LAST_WORDS);
    }
}

/// Begins to send, if the environment says where to. Not within a runtime: the client has one of its own.
pub(super) fn start(environment: &Environment) -> anyhow::Result<Option<(Export, Tracer)>> {
    let text = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let is_off = text("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_none = text("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    if is_off || is_none || ENDPOINTS.iter().all(|name| text(name).is_none()) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client()?)
        .build()?;
    let mut resource = Resource::builder();
    if text("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("trailkeeper");
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build();
    let tracer = provider.tracer("trailkeeper");
    Ok(Some((Export(provider), tracer)))
}

/// The time of each request is limited by the exporter.
fn client() -> anyhow::Result<reqwest::blocking::Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    let client = reqwest::blocking::Client::builder()
        .tls_backend_preconfigured(tls)
        .build()?;
    Ok(client)
}
