//! Logs: text for people, JSON for machines, on standard error.

use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use crate::{
    config::{Log, LogFormat},
    runtime::amqp,
};

/// Sets up logging for the whole program.
///
/// # Errors
/// If the filter is none, or logging was set up before.
pub fn init(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level)?
        // It prints whole messages, and every error that is handled here anyway.
        .add_directive(amqp::LOG_DIRECTIVE.parse()?)
        // They tell of their own affairs, and one prints statements with what they were given.
        .add_directive("sqlx=error".parse()?)
        .add_directive("tokio_cron_scheduler=warn".parse()?);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr);
    let done = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(is_terminal).with_target(false).try_init()
        }
    };
    done.map_err(|error| anyhow::anyhow!("cannot set up logging: {error}"))
}
