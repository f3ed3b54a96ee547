//! `trailkeeper config check --connect`: whether what the configuration names answers and can be used.

use std::io::{self, Write};

use serde::Serialize;

use super::{
    Failure,
    store::block_on,
    table::visible,
    text::{BAD, DOUBTFUL, GOOD},
};
use crate::{
    config::{Config, EraseEntries},
    qwed::{Database, erase::Eraser, url::DatabaseUrl},
    runtime::amqp::topology,
    service::bridge_settings,
    state::{Found, Store, masked},
};

/// How a try went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok,
    NotSet,
    Failed,
}

/// One thing that was tried.
#[derive(Debug, Serialize)]
pub(super) struct Connection {
    /// The key that says where it is.
    key: &'static str,
    #[serde(skip)]
    name: &'static str,
    #[serde(rename = "result")]
    answer: Answer,
    detail: String,
}

impl Connection {
    /// What is not set is no fault: not every machine runs a worker.
    pub(super) fn is_fine(&self) -> bool {
        self.answer != Answer::Failed
    }
}

/// `Ok(None)`: it is not set.
type Tried = anyhow::Result<Option<String>>;

/// Tries all, one after the other.
pub(super) fn all(config: &Config) -> Result<Vec<Connection>, Failure> {
    // The readers of QWED's database wait for it by themselves, outside of any runtime.
    let qwed = qwed(config);
    let erasing = erasing(config);
    let (state, amqp) = block_on(async { (state(config).await, amqp(config).await) })?;
    let tried = [
        ("qwed.database_url", "QWED's database", qwed),
        ("state.url", "state database", state),
        ("amqp.url", "RabbitMQ", amqp),
        ("erasure.database_url", "erasing role", erasing),
    ];
    let connection = |(key, name, tried): (_, _, Tried)| {
        let (answer, detail) = match tried {
            Ok(Some(detail)) => (Answer::Ok, detail),
            Ok(None) => (Answer::NotSet, format!("{key} is not set")),
            Err(error) => (Answer::Failed, format!("{error:#}")),
        };
        Connection {
            key,
            name,
            answer,
            detail,
        }
    };
    Ok(tried.into_iter().map(connection).collect())
}

fn qwed(config: &Config) -> Tried {
    let Some(url) = config.qwed_url() else {
        return Ok(None);
    };
    let url: DatabaseUrl = url.expose().parse()?;
    let database = Database::open(&url)?;
    // On a server this is another connection, as verifications need them.
    database.reader()?;
    Ok(Some(format!("{url} can be read")))
}

/// Another role than QWED's database is read by. Nothing is written.
fn erasing(config: &Config) -> Tried {
    let section = &config.erasure;
    if section.database_url.is_empty() {
        return Ok(None);
    }
    let url: DatabaseUrl = section.database_url.expose().parse()?;
    let mut eraser = Eraser::open(&url)?;
    // Those that every erasure changes.
    let mut tables = vec!["user", "apikey"];
    if section.entries == EraseEntries::Anonymise {
        tables.push("verificationlog");
    }
    for table in tables {
        if eraser.columns(table)?.is_empty() {
            anyhow::bail!("{url} has no table {table}, or the role may not see it");
        }
        if !eraser.may_change(table)? {
            anyhow::bail!("{url}: the role may not UPDATE {table}");
        }
    }
    Ok(Some(format!("{url} can be written")))
}

async fn state(config: &Config) -> Tried {
    let url = config.state_url();
    let found = match Store::look(url.expose()).await {
        Ok(found) => found,
        // Its text has its causes in it; as a chain they would be told twice.
        Err(error) => anyhow::bail!("{error}"),
    };
    let location = masked(url.expose());
    Ok(Some(match found {
        Found::NoFile => format!("{location} does not exist yet; the first start makes it"),
        Found::Database { applied, known } if applied == known => {
            format!("{location} is up to date")
        }
        Found::Database { applied, known } => format!(
            "{location} has {applied} of {known} migrations; the next start brings it up to date"
        ),
    }))
}

async fn amqp(config: &Config) -> Tried {
    let Some(settings) = bridge_settings(config)? else {
        return Ok(None);
    };
    topology::check(&settings).await?;
    let address = &settings.address;
    Ok(Some(format!(
        "{address} has the exchanges and queues that are needed"
    )))
}

/// A line for each.
pub(super) fn write(out: &mut dyn Write, connections: &[Connection]) -> io::Result<()> {
    for Connection {
        name,
        answer,
        detail,
        ..
    } in connections
    {
        let (style, word) = match answer {
            Answer::Ok => (GOOD, "ok"),
            Answer::NotSet => (DOUBTFUL, "not set"),
            Answer::Failed => (BAD, "failed"),
        };
        let room = "not set".len() - word.len();
        let detail = visible(detail).replace('\n', " ");
        writeln!(
            out,
            "{name:<15}  {style}{word}{style:#}{:room$}  {detail}",
            ""
        )?;
    }
    Ok(())
}
