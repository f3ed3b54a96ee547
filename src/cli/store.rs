//! Runs commands that wait for servers, most of them for our own database.

use std::path::Path;

use anyhow::Context;

use super::Failure;
use crate::{
    config::{Config, Environment, Loaded, Secret},
    qwed::url::DatabaseUrl,
    state::{StateError, Store},
};

pub(super) fn load(config: Option<&Path>) -> Result<Config, Failure> {
    Config::load(config, &Environment::of_process()).map_err(Failure::usage)
}

/// QWED's database: as an option gives it, or as it is configured.
pub(super) fn qwed_url(given: Option<&str>, config: &Config) -> anyhow::Result<DatabaseUrl> {
    let configured = config.qwed_url().map(Secret::expose);
    let url = given
        .or(configured)
        .context("which database? Give --database URL, or set DATABASE_URL as for QWED")?;
    Ok(url.parse()?)
}

/// Runs what a command waits for.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::could_not_check)?;
    Ok(runtime.block_on(work))
}

/// Loads the configuration, brings the tables up to date and runs `command`.
pub(super) fn with_migrated_store<T>(
    config: Option<&Path>,
    command: impl AsyncFnOnce(&Config, &Store) -> anyhow::Result<T>,
) -> Result<T, Failure> {
    open(config, async |config, store| {
        store.migrate().await?;
        command(config, store).await
    })
}

/// Loads the configuration and runs `command`. Tables are made where there are none; those of an older release are refused.
pub(super) fn with_store<T>(
    config: Option<&Path>,
    command: impl AsyncFnOnce(&Config, &Store) -> anyhow::Result<T>,
) -> Result<T, Failure> {
    open(config, async |config, store| {
        store.prepare().await?;
        command(config, store).await
    })
}

/// Runs `command` with a configuration that was loaded already, on a runtime with threads of its own.
pub(super) fn with_loaded_store<T>(
    loaded: &Loaded,
    command: impl AsyncFnOnce(&Config, &Store) -> anyhow::Result<T>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::could_not_check)?;
    let prepared = async |config: &Config, store: &Store| {
        store.prepare().await?;
        command(config, store).await
    };
    settle(runtime.block_on(connected(&loaded.config, prepared)))
}

fn open<T>(
    config: Option<&Path>,
    command: impl AsyncFnOnce(&Config, &Store) -> anyhow::Result<T>,
) -> Result<T, Failure> {
    let config = load(config)?;
    settle(block_on(connected(&config, command))?)
}

async fn connected<T>(
    config: &Config,
    command: impl AsyncFnOnce(&Config, &Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let url = config.state_url();
    let mut store = Store::open(url.expose(), config.state.max_connections).await?;
    if !config.amqp.url.is_empty() {
        store = store.publishing_events();
    }
    let done = command(config, &store).await;
    store.close().await;
    done
}

fn settle<T>(done: anyhow::Result<T>) -> Result<T, Failure> {
    done.map_err(|error| match error.downcast_ref::<StateError>() {
        // Its text has its causes in it; as a chain they would be told twice.
        Some(told @ StateError::Refused(_)) => Failure::usage(anyhow::anyhow!("{told}")),
        Some(told) => Failure::could_not_check(anyhow::anyhow!("{told}")),
        None => Failure::could_not_check(error),
    })
}
