//! Trace context, as the W3C has it: which trace of its caller a request, a message or a job belongs to.
//!
//! A context comes in by the header `traceparent` (HTTP, AMQP), the CloudEvents attribute of that name, or the environment's
//! `TRACEPARENT` (commands). It is kept with the job, goes on to its children and its events, and into the lines of its log, whether or not
//! this program exports spans of its own; where it does (feature `otel`), what goes on names those.
//!
//! `tracestate` is not carried, as the recommendation allows: it is its vendors' to read.

#[cfg(feature = "otel")]
mod exported;

use std::fmt;
use std::future::Future;

use tracing::Span;

/// A `traceparent` of [Trace Context](https://www.w3.org/TR/trace-context/), version 00: 55 characters, such as
/// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(String);

/// Places of the four fields; between them stand dashes.
const TRACE_ID: std::ops::Range<usize> = 3..35;
const SPAN_ID: std::ops::Range<usize> = 36..52;
const FLAGS: std::ops::Range<usize> = 53..55;
const LENGTH: usize = 55;

impl TraceParent {
    /// Reads a header's value. What is none by the recommendation is none, and no error: a trace begins anew then.
    ///
    /// Of later versions the fields of version 00 are read, and passed on as such.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t']);
        let head = text.get(..LENGTH)?;
        let bytes = head.as_bytes();
        let is_hex = |text: &str| {
            let mut bytes = text.bytes();
            bytes.all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let has_id = |text: &str| text.bytes().any(|byte| byte != b'0');
        let (version, rest) = (&head[..2], &text[LENGTH..]);
        let is_well_formed = [2, 35, 52].iter().all(|&place| bytes[place] == b'-')
            && [version, &head[TRACE_ID], &head[SPAN_ID], &head[FLAGS]]
                .into_iter()
                .all(is_hex);
        let is_known = match version {
            "ff" => false,
            "00" => rest.is_empty(),
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let is_whole = is_well_formed && is_known;
        if !is_whole || !has_id(&head[TRACE_ID]) || !has_id(&head[SPAN_ID]) {
            return None;
        }
        Some(Self(format!("00{}", &head[2..])))
    }

    /// The header's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trace's id, 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        &self.0[TRACE_ID]
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

tokio::task_local! {
    static CURRENT: Option<TraceParent>;
}

/// The context of what is being done.
#[must_use]
pub fn current() -> Option<TraceParent> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// Makes `span` part of the trace that came in, and answers the context in which what it does goes on: of the span itself where spans
/// are exported, else the one that came in.
#[must_use]
pub fn adopt(span: &Span, came_in: Option<TraceParent>) -> Option<TraceParent> {
    #[cfg(feature = "otel")]
    return exported::adopt(span, came_in.as_ref()).or(came_in);
    #[cfg(not(feature = "otel"))]
    {
        let _ = span;
        came_in
    }
}

/// The span of a request to a route, where spans are exported; `route` is its pattern, and nobody's path.
#[must_use]
pub fn request(method: &str, route: &str) -> Span {
    #[cfg(feature = "otel")]
    return exported::request(method, route);
    #[cfg(not(feature = "otel"))]
    {
        let _ = (method, route);
        Span::none()
    }
}

/// Does `work` as part of a trace.
pub async fn within<F: Future>(trace: Option<TraceParent>, work: F) -> F::Output {
    CURRENT.scope(trace, work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_one_is_read() {
        for text in [
            GIVEN.to_owned(),
            format!(" {GIVEN}\t"),
            format!("cc{}", &GIVEN[2..]),
            format!("cc{}-what-the-future-will-be-like", &GIVEN[2..]),
        ] {
            let read = TraceParent::parse(&text).expect(&text);
            assert_eq!(read.as_str(), GIVEN, "{text}");
            assert_eq!(read.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        }
    }

    #[test]
    fn what_is_none_begins_anew() {
        for text in [
            "",
            "00",
            &GIVEN[..54],
            &format!("{GIVEN}-"),
            &format!("{GIVEN}0"),
            &format!("ff{}", &GIVEN[2..]),
            &format!("cc{}.what", &GIVEN[2..]),
            &format!("0x{}", &GIVEN[2..]),
            &GIVEN.to_uppercase(),
            &GIVEN.replace('-', "_"),
            &GIVEN.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GIVEN.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GIVEN.replace("b7ad", "b7ä"),
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn work_knows_its_trace() {
        let given = TraceParent::parse(GIVEN);
        assert_eq!(current(), None);
        let seen = within(given.clone(), async { current() }).await;
        assert_eq!(seen, given);
        assert_eq!(current(), None);
    }
}
