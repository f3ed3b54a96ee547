//! Spans that a collector hears of.

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{FLAGS, SPAN_ID, TraceParent};

/// Makes `span` a child of what came in, and answers its own context; none where no spans are exported.
pub(super) fn adopt(span: &Span, came_in: Option<&TraceParent>) -> Option<TraceParent> {
    if let Some(remote) = came_in.and_then(remote) {
        // It fails only for spans that nobody exports.
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    let text = format!(
        "00-{}-{}-{:02x}",
        own.trace_id(),
        own.span_id(),
        own.trace_flags().to_u8()
    );
    own.is_valid().then(|| TraceParent::parse(&text)).flatten()
}

fn remote(trace: &TraceParent) -> Option<SpanContext> {
    let flags = u8::from_str_radix(&trace.as_str()[FLAGS], 16).ok()?;
    Some(SpanContext::new(
        TraceId::from_hex(trace.trace_id()).ok()?,
        SpanId::from_hex(&trace.as_str()[SPAN_ID]).ok()?,
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    ))
}

/// Attributes as in OpenTelemetry's semantic conventions for HTTP servers.
pub(super) fn request(method: &str, route: &str) -> Span {
    tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty
    )
}
