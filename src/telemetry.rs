//! Logs: text for people, JSON for machines, on standard error; and spans for a collector, where the feature `otel` is built in.

#[cfg(feature = "otel")]
mod export;

use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{
    config::{Environment, Log, LogFormat},
    runtime::amqp,
};

type Layer = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

/// Keeps what was set up; what is left to send is sent when it is dropped.
#[must_use]
#[derive(Default)]
pub struct Telemetry {
    #[cfg(feature = "otel")]
    _export: Option<export::Export>,
}

/// Sets up logging for the whole program, and spans if `environment` says where to send them.
///
/// # Errors
/// If the filter is none, if spans cannot be sent as the environment says, or if it was set up before.
pub fn init(log: &Log, environment: &Environment) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_new(&log.level)?
        // It prints whole messages, and every error that is handled here anyway.
        .add_directive(amqp::LOG_DIRECTIVE.parse()?)
        // They tell of their own affairs, and one prints statements with what they were given.
        .add_directive("sqlx=error".parse()?)
        .add_directive("tokio_cron_scheduler=warn".parse()?)
        // It would tell of the sending of what it tells.
        .add_directive("opentelemetry=error".parse()?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let mut layers: Vec<Layer> = vec![match log.format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines.with_ansi(is_terminal).with_target(false).boxed()
        }
    }];
    let telemetry = export(environment, &mut layers)?;
    tracing_subscriber::registry()
        .with(layers.with_filter(filter))
        .try_init()
        .map_err(|error| anyhow::anyhow!("cannot set up logging: {error}"))?;
    Ok(telemetry)
}

#[cfg(feature = "otel")]
fn export(environment: &Environment, layers: &mut Vec<Layer>) -> anyhow::Result<Telemetry> {
    let Some((export, tracer)) = export::start(environment)? else {
        return Ok(Telemetry::default());
    };
    layers.push(tracing_opentelemetry::layer().with_tracer(tracer).boxed());
    Ok(Telemetry {
        _export: Some(export),
    })
}

#[cfg(not(feature = "otel"))]
#[allow(clippy::unnecessary_wraps, reason = "as with the feature")]
fn export(_: &Environment, _: &mut Vec<Layer>) -> anyhow::Result<Telemetry> {
    Ok(Telemetry::default())
}
