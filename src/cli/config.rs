//! `trailkeeper config`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Exit, Failure,
    connect::{self, Connection},
    verify::{Format, print, print_json},
};
use crate::{
    config::{ConfigError, Environment, Invalid, Loaded, Place, Problem, ProblemKind, Problems},
    jobs::registry,
    qwed::url::DatabaseUrl,
    runtime::schedule,
};

const LAYERS: &str = "\
The configuration is laid together of the defaults (config/default.toml in the sources lists every key), the file, the \
environment (TRAILKEEPER__SECTION__KEY) and the files that keys ending in _file name. Nothing is connected to.";

const CHECK: &str = "\
Without --connect nothing is connected to. With it QWED's database is read, the state database is looked at and left as it is, \
erasure.database_url is asked what its role may do, and what is missing of exchanges and queues is made in RabbitMQ, as at every start of a worker.

Exit codes:
  0  valid; with --connect: and everything that is set can be used
  2  not valid; nothing is connected to then
  3  valid, but something cannot be reached or used";

/// What `config` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Name everything that is wrong with the configuration; exit with 2 if anything is
    #[command(after_help = CHECK)]
    Check(Check),
    /// Print the configuration that is in force and where each value comes from, without secrets
    #[command(after_help = LAYERS)]
    Show(Input),
}

#[derive(Debug, Args)]
struct Check {
    /// Also try the databases and RabbitMQ
    #[arg(long)]
    connect: bool,
    #[command(flatten)]
    input: Input,
}

/// What most commands take.
#[derive(Debug, Args)]
pub(super) struct Input {
    /// Configuration file
    #[arg(long, value_name = "FILE", env = "TRAILKEEPER_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    pub(super) format: Format,
}

impl Input {
    fn load(&self, environment: &Environment) -> Result<Loaded, Problems> {
        Loaded::load(self.config.as_deref(), environment)
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let environment = Environment::of_process();
    match &arguments.command {
        Command::Check(arguments) => check(arguments, &environment),
        Command::Show(input) => show(input, &environment),
    }
}

fn show(input: &Input, environment: &Environment) -> Result<Exit, Failure> {
    let loaded = input.load(environment).map_err(Failure::usage)?;
    match input.format {
        Format::Text => print(|out| out.write_all(loaded.to_toml().as_bytes()))?,
        Format::Json => print_json(&loaded.to_json())?,
    }
    Ok(Exit::Intact)
}

/// Something to check of a configuration that is sound in itself. Reads files and never connects.
type Rule = fn(&Loaded, &Environment) -> Vec<Problem>;

/// All of them, in the order in which their problems are listed.
const RULES: [Rule; 6] = [
    database_urls,
    files,
    signing_keys,
    producers,
    job_kinds,
    schedules,
];

fn check(arguments: &Check, environment: &Environment) -> Result<Exit, Failure> {
    let input = &arguments.input;
    let loaded = input.load(environment);
    let problems = match &loaded {
        Ok(loaded) => {
            let rules = RULES.iter();
            rules.flat_map(|rule| rule(loaded, environment)).collect()
        }
        Err(problems) => problems.0.clone(),
    };
    let connections = match &loaded {
        Ok(loaded) if arguments.connect && problems.is_empty() => {
            Some(connect::all(&loaded.config)?)
        }
        _ => None,
    };
    match input.format {
        Format::Json => print_json(&Document::of(&problems, connections.as_deref()))?,
        Format::Text => print(|out| {
            for problem in &problems {
                writeln!(out, "{problem}")?;
            }
            match problems.len() {
                0 => writeln!(out, "the configuration is valid")?,
                1 => writeln!(out, "1 problem")?,
                number => writeln!(out, "{number} problems")?,
            }
            connect::write(out, connections.as_deref().unwrap_or_default())
        })?,
    }
    let all_answer = connections.iter().flatten().all(Connection::is_fine);
    Ok(match (problems.is_empty(), all_answer) {
        (true, true) => Exit::Intact,
        (true, false) => Exit::CouldNotCheck,
        (false, _) => Exit::Usage,
    })
}

/// The URLs of QWED's database: how they are spelled is known only where they are used.
fn database_urls(loaded: &Loaded, _: &Environment) -> Vec<Problem> {
    let config = &loaded.config;
    let urls = [
        ("qwed.database_url", &config.qwed.database_url),
        ("keys.flag_database_url", &config.keys.flag_database_url),
        ("erasure.database_url", &config.erasure.database_url),
        ("backup.scratch_url", &config.backup.scratch_url),
    ];
    let broken = urls.into_iter().filter(|(_, url)| !url.is_empty());
    let broken = broken.filter_map(|(key, url)| {
        let error = url.expose().parse::<DatabaseUrl>().err()?;
        Some(Invalid::new(key, format!("is of no use: {error}")))
    });
    loaded.locate(broken.collect())
}

/// Files and directories that have to be readable.
fn files(loaded: &Loaded, _: &Environment) -> Vec<Problem> {
    let (amqp, http) = (&loaded.config.amqp, &loaded.config.http);
    let list: fn(&Path) -> io::Result<()> = |path| fs::read_dir(path).map(|_| ());
    let paths = [
        ("amqp.ca_file", &amqp.ca_file, can_read as fn(&Path) -> _),
        ("amqp.client_cert_file", &amqp.client_cert_file, can_read),
        ("amqp.client_key_file", &amqp.client_key_file, can_read),
        ("http.tls_cert_file", &http.tls_cert_file, can_read),
        ("http.tls_key_file", &http.tls_key_file, can_read),
        ("jobs.dir", &loaded.config.jobs.dir, list),
    ];
    let set = paths
        .into_iter()
        .filter(|(_, path, _)| !path.as_os_str().is_empty());
    let broken = set.filter_map(|(key, path, read)| {
        let error = read(path).err()?;
        Some(Invalid::new(
            key,
            format!("{path:?} cannot be read: {error}"),
        ))
    });
    loaded.locate(broken.collect())
}

/// Opening a directory succeeds, so that a byte is read as well.
fn can_read(path: &Path) -> io::Result<()> {
    File::open(path)?.read(&mut [0]).map(|_| ())
}

/// The ring of keys. That there is none at all is no fault of the configuration: the variable may be set only where
/// the worker runs.
fn signing_keys(loaded: &Loaded, environment: &Environment) -> Vec<Problem> {
    match loaded.config.key_ring(|name| environment.get(name)) {
        Ok(_) => Vec::new(),
        Err(error) => broken_key(loaded, "qwed.keys", error),
    }
}

/// The keys by which services sign requests for erasure. They are listed where they are to be had, so that one that is not
/// would keep a worker from starting.
fn producers(loaded: &Loaded, environment: &Environment) -> Vec<Problem> {
    match loaded.config.producers(|name| environment.get(name)) {
        Ok(_) => Vec::new(),
        Err(error) => broken_key(loaded, "erasure.producers", error),
    }
}

/// What is wrong with keys that are listed under `list`.
fn broken_key(loaded: &Loaded, list: &str, error: ConfigError) -> Vec<Problem> {
    let problem = |place, key: &str, problem| {
        vec![Problem {
            place,
            key: key.to_owned(),
            kind: ProblemKind::Invalid(problem),
        }]
    };
    match error {
        ConfigError::NoKey => Vec::new(),
        ConfigError::Problems(problems) => problems.0,
        ConfigError::Key { id, problem: what } => {
            let place = loaded.place(list);
            problem(place, list, format!("lists {id:?}, which {what}"))
        }
        ConfigError::Variable(name) => {
            problem(Place::Variable(name.to_owned()), "", error.to_string())
        }
    }
}

/// The kinds of jobs for which something is set.
fn job_kinds(loaded: &Loaded, _: &Environment) -> Vec<Problem> {
    let registry = registry(&loaded.config);
    let known: Vec<&str> = registry.kinds().map(|kind| kind.name).collect();
    loaded.locate(loaded.config.jobs.validate_kinds(&known))
}

/// The schedules of the directory, or without one those that ship with the program.
fn schedules(loaded: &Loaded, _: &Environment) -> Vec<Problem> {
    let dir = loaded.config.jobs.schedules();
    // One that cannot be read is among the files.
    if dir.is_some_and(|dir| fs::read_dir(dir).is_err()) {
        return Vec::new();
    }
    let checked = schedule::load(dir)
        .and_then(|schedules| schedule::check(&schedules, &registry(&loaded.config)));
    checked.err().unwrap_or_default()
}

/// The document of `config check`.
#[derive(Serialize)]
struct Document<'a> {
    valid: bool,
    problems: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<&'a [Connection]>,
}

/// A problem in parts, and as the line that people read.
#[derive(Serialize)]
struct Entry {
    file: Option<String>,
    line: Option<usize>,
    variable: Option<String>,
    key: Option<String>,
    message: String,
}

impl<'a> Document<'a> {
    fn of(problems: &[Problem], connections: Option<&'a [Connection]>) -> Self {
        Self {
            valid: problems.is_empty(),
            problems: problems.iter().map(Entry::of).collect(),
            connections,
        }
    }
}

impl Entry {
    fn of(problem: &Problem) -> Self {
        let (file, line, variable) = match &problem.place {
            Place::Whole(path) => (Some(path), None, None),
            Place::File { path, line } => (Some(path), Some(*line), None),
            Place::Variable(name) => (None, None, Some(name.clone())),
            Place::Default => (None, None, None),
        };
        Self {
            file: file.map(|path| path.display().to_string()),
            line,
            variable,
            key: Some(problem.key.clone()).filter(|key| !key.is_empty()),
            message: problem.to_string(),
        }
    }
}
