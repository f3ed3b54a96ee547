//! A schedule's file: one TOML document each. `jobs/nightly_verification.toml` explains the keys.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::calendar::{Calendar, CalendarError};
use crate::config::{Invalid, Place, Problem, ProblemKind, strict};

/// The longest name of a schedule or a kind: both are label values and parts of keys.
const NAME_MAX: usize = 64;
/// The longest window in which missed fires are made up for: a leap year.
const WINDOW_HOURS_MAX: u32 = 366 * 24;
/// The most missed fires that are made up for at once.
const MISFIRE_MAX: u32 = 1000;
const WINDOW_HOURS_DEFAULT: u32 = 24;
const MISFIRE_DEFAULT: u32 = 10;

/// Which job runs when.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its name, which is also its file's: what the database remembers it by.
    pub name: String,
    /// For people.
    pub description: String,
    /// The kind of job.
    pub kind: String,
    /// The job's payload, always an object.
    pub payload: Value,
    /// The expression as written.
    pub cron: String,
    /// IANA name.
    pub timezone: String,
    /// What happens to fires that were missed.
    pub misfire: Misfire,
    /// What happens while the job that fired before still runs.
    pub overlap: Overlap,
    /// The jobs' priority; the kind's own if it is `None`.
    pub priority: Option<i32>,
    /// Whether nothing fires.
    pub paused: bool,
    calendar: Calendar,
    /// Where `kind` stands.
    pub(super) kind_place: Place,
    /// Where `payload` stands.
    pub(super) payload_place: Place,
}

/// What happens to fires that were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfire {
    /// Which of them are made up for.
    pub policy: MisfirePolicy,
    /// How far back, 1 to 8784.
    pub window_hours: u32,
    /// At most how many at once, 1 to 1000. Only for [`MisfirePolicy::All`].
    pub max: u32,
}

/// Which missed fires are made up for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MisfirePolicy {
    /// None.
    Skip,
    /// The newest.
    #[default]
    Once,
    /// The newest `max`, in their order.
    All,
}

/// What happens to a fire while the job of an earlier one still runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// It starts no job.
    #[default]
    Skip,
    /// Its job waits for the other.
    Queue,
    /// Both run.
    Allow,
}

/// The document as TOML has it. What must be there is optional here, so that all that is missing is told at once.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Document {
    name: Option<String>,
    description: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    #[schemars(with = "Map<String, Value>")]
    payload: toml::Table,
    cron: Option<String>,
    timezone: Option<String>,
    #[serde(default)]
    misfire: MisfireTable,
    #[serde(default)]
    overlap: Overlap,
    priority: Option<i32>,
    #[serde(default)]
    paused: bool,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MisfireTable {
    #[serde(default)]
    policy: MisfirePolicy,
    window_hours: Option<u32>,
    max: Option<u32>,
}

impl Schedule {
    /// Reads the text of a file, whose path ends in `<name>.toml`.
    ///
    /// # Errors
    /// All that is wrong with it, each with its line and what to do.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let document: Document = strict::parse(path, text)?;
        let place = |key: &str| strict::place_of(path, text, key);
        let mut problems = Vec::new();
        let name = required(document.name, "name", "\"nightly\"", &mut problems);
        let description = required(
            document.description,
            "description",
            "\"What the job is for\"",
            &mut problems,
        );
        let kind = required(document.kind, "kind", "\"verify_trail\"", &mut problems);
        let cron = required(document.cron, "cron", "\"0 2 * * *\"", &mut problems);
        let timezone = document.timezone.unwrap_or_else(|| "UTC".to_owned());

        for (key, value) in [("name", &name), ("kind", &kind)] {
            if let Some(value) = value
                && !is_identifier(value)
            {
                let problem = format!(
                    "= {value:?} must be lower-case letters, digits, \"-\" and \"_\", start with a letter, and have \
                     at most {NAME_MAX} characters"
                );
                problems.push(Invalid::new(key, problem));
            }
        }
        if let Some(name) = &name
            && path.file_name() != Some(format!("{name}.toml").as_ref())
        {
            let file_name = path.file_name().unwrap_or_default();
            let problem = format!(
                "= {name:?} must be that of its file, {file_name:?}: rename one of them (a schedule with a new name \
                 starts anew)"
            );
            problems.push(Invalid::new("name", problem));
        }
        // Without an expression only the zone is looked at.
        let calendar = Calendar::new(cron.as_deref().unwrap_or("@daily"), &timezone);
        let calendar = calendar.map_err(|errors| {
            problems.extend(errors.iter().map(no_calendar));
        });
        let misfire = document.misfire.check(&mut problems);
        let payload = object(document.payload, "payload", &mut problems);

        match (name, description, kind, cron, calendar) {
            (Some(name), Some(description), Some(kind), Some(cron), Ok(calendar))
                if problems.is_empty() =>
            {
                Ok(Self {
                    name,
                    description,
                    kind,
                    payload,
                    cron,
                    timezone,
                    misfire,
                    overlap: document.overlap,
                    priority: document.priority,
                    paused: document.paused,
                    calendar,
                    kind_place: place("kind"),
                    payload_place: place("payload"),
                })
            }
            _ => Err(located(problems, place)),
        }
    }

    /// Its fires.
    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// See [`Calendar::definition_hash`].
    #[must_use]
    pub fn definition_hash(&self) -> String {
        self.calendar.definition_hash()
    }
}

impl MisfireTable {
    fn check(&self, problems: &mut Vec<Invalid>) -> Misfire {
        let window_hours = self.window_hours.unwrap_or(WINDOW_HOURS_DEFAULT);
        let max = self.max.unwrap_or(MISFIRE_DEFAULT);
        for (key, value, most) in [
            ("window_hours", window_hours, WINDOW_HOURS_MAX),
            ("max", max, MISFIRE_MAX),
        ] {
            if !(1..=most).contains(&value) {
                let problem = format!("= {value} must be 1 to {most}");
                problems.push(Invalid::new(format!("misfire.{key}"), problem));
            }
        }
        // A limit that limits nothing was meant for something else.
        if self.max.is_some() && self.policy != MisfirePolicy::All {
            let problem = "is for policy = \"all\": remove it, or change the policy";
            problems.push(Invalid::new("misfire.max", problem));
        }
        if self.window_hours.is_some() && self.policy == MisfirePolicy::Skip {
            let problem = "means nothing with policy = \"skip\": remove it, or change the policy";
            problems.push(Invalid::new("misfire.window_hours", problem));
        }
        Misfire {
            policy: self.policy,
            window_hours,
            max,
        }
    }
}

/// The calendar's sentences begin with their key, as they may stand alone.
fn no_calendar(error: &CalendarError) -> Invalid {
    let key = match error {
        CalendarError::Zone { .. } => "timezone",
        _ => "cron",
    };
    let sentence = error.to_string();
    let problem = sentence.strip_prefix(key).unwrap_or(&sentence);
    Invalid::new(key, problem.trim_start())
}

/// Adds their places, and goes by them.
fn located(problems: Vec<Invalid>, place: impl Fn(&str) -> Place) -> Vec<Problem> {
    let locate = |Invalid { key, problem }| Problem {
        place: place(&key),
        key,
        kind: ProblemKind::Invalid(problem),
    };
    let mut problems: Vec<Problem> = problems.into_iter().map(locate).collect();
    problems.sort_by(|one, other| one.place.cmp(&other.place));
    problems
}

fn required(
    value: Option<String>,
    key: &str,
    example: &str,
    problems: &mut Vec<Invalid>,
) -> Option<String> {
    let value = value.filter(|value| !value.trim().is_empty());
    if value.is_none() {
        let problem = format!("is missing: add for example {key} = {example}");
        problems.push(Invalid::new(key, problem));
    }
    value
}

fn is_identifier(text: &str) -> bool {
    let is_part =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    text.len() <= NAME_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(is_part)
}

fn object(table: toml::Table, path: &str, problems: &mut Vec<Invalid>) -> Value {
    let member = |(key, value)| {
        let path = format!("{path}.{key}");
        (key, json(value, &path, problems))
    };
    Value::Object(table.into_iter().map(member).collect::<Map<_, _>>())
}

/// TOML as JSON. Dates and times become their text, as RFC 3339 writes them.
fn json(value: toml::Value, path: &str, problems: &mut Vec<Invalid>) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Boolean(boolean) => boolean.into(),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Float(number) => {
            if !number.is_finite() {
                let problem = format!("= {number} does not exist in JSON: write a finite number");
                problems.push(Invalid::new(path, problem));
            }
            number.into()
        }
        toml::Value::Array(values) => {
            let values = values.into_iter();
            values.map(|value| json(value, path, problems)).collect()
        }
        toml::Value::Table(table) => object(table, path, problems),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
