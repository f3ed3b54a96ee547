//! Reads TOML into a type and forgives nothing: a key that does not exist is a mistyped one that does.

use std::ops::Range;
use std::path::Path;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    error::{Place, Problem, ProblemKind},
    read::Reader,
    schema::{Schema, Shape, Table},
    tree::Tree,
};

/// Reads `text`, which is the whole of the file `path`.
///
/// What `T`'s own `Deserialize` refuses is reported in its words, so it should not quote a value that may be secret.
///
/// # Errors
/// All keys that do not exist, lack or have values of the wrong type, with lines; or what is no TOML.
pub fn parse<T: DeserializeOwned + JsonSchema>(path: &Path, text: &str) -> Result<T, Vec<Problem>> {
    let (table, _, problems) = layer(path, text, &Schema::of::<T>(), true);
    if !problems.is_empty() {
        return Err(problems);
    }
    T::deserialize(toml::de::Deserializer::from(table)).map_err(|error| {
        let kind = ProblemKind::Invalid(error.message().replace('\n', ", "));
        vec![Problem {
            place: place(path, text, error.span().unwrap_or_default()),
            key: String::new(),
            kind,
        }]
    })
}

/// Where a key of a file stands, its tables before dots; the file as a whole if it does not.
#[must_use]
pub fn place_of(path: &Path, text: &str, key: &str) -> Place {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut table = Some(document.get_ref());
    let mut found = Place::Whole(path.to_owned());
    for part in key.split('.') {
        let Some((key, value)) = table.and_then(|table| table.get_key_value(part)) else {
            break;
        };
        found = place(path, text, key.span());
        table = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
    }
    found
}

/// What fits the schema, and everything that does not.
pub(super) fn layer<'t>(
    path: &Path,
    text: &'t str,
    schema: &Schema,
    is_whole: bool,
) -> (Spanned<DeTable<'t>>, Tree, Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return (table, Tree::new(), syntax(path, text, &errors));
    }
    let at = |span: Range<usize>| place(path, text, span);
    let mut reader = Reader {
        schema,
        place: &at,
        is_whole,
        problems: Vec::new(),
    };
    let root = match schema.shape(schema.root()) {
        Shape::Table(root) => root,
        _ => Table::default(),
    };
    let tree = reader.table("", &at(0..0), table.get_ref(), &root);
    let mut problems = reader.problems;
    problems.sort_by(|one, other| one.place.cmp(&other.place));
    (table, tree, problems)
}

/// The first error of each line: the others tend to follow from it. The line itself is not shown, as it may be the
/// one with the password.
fn syntax(path: &Path, text: &str, errors: &[toml::de::Error]) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for error in errors {
        let place = place(path, text, error.span().unwrap_or_default());
        if problems.iter().all(|other| other.place != place) {
            let kind = ProblemKind::Syntax(error.message().replace('\n', ", "));
            problems.push(Problem {
                place,
                key: String::new(),
                kind,
            });
        }
    }
    problems.sort_by(|one, other| one.place.cmp(&other.place));
    problems
}

fn place(path: &Path, text: &str, span: Range<usize>) -> Place {
    let before = text.get(..span.start).unwrap_or_default();
    Place::File {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    /// Of the kind that schedule files are.
    #[derive(Debug, Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only read")]
    struct Schedule {
        name: String,
        cron: Option<String>,
        enabled: Option<bool>,
        overlap: Option<Overlap>,
        #[serde(default)]
        retries: u8,
        target: Option<Target>,
        #[serde(default)]
        params: serde_json::Map<String, serde_json::Value>,
        #[serde(default)]
        limits: BTreeMap<String, Limit>,
        #[serde(default)]
        steps: Vec<Limit>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Overlap {
        /// With words of its own.
        Skip,
        Queue,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(tag = "type", rename_all = "snake_case")]
    #[expect(dead_code, reason = "only read")]
    enum Target {
        File { path: String },
        Bucket { url: String, region: Option<String> },
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only read")]
    struct Limit {
        seconds: f64,
    }

    fn read(text: &str) -> Result<Schedule, String> {
        parse(Path::new("jobs/a.toml"), text).map_err(|problems| {
            let lines = problems.iter().map(|problem| format!("{problem}\n"));
            lines.collect()
        })
    }

    #[test]
    fn reads_what_fits() {
        let schedule = read(
            "name = \"a\"\noverlap = \"skip\"\nretries = 3\ntarget = { type = \"bucket\", url = \"s3\" }\n\
             limits.any = { seconds = 1 }\n[params]\nwhatever = [1, { deep = true }]\n[[steps]]\nseconds = 0.5\n",
        )
        .unwrap();
        assert!(schedule.params.contains_key("whatever") && schedule.limits.contains_key("any"));
        assert!(read("name = \"a\"\n").is_ok());
    }

    #[test]
    fn names_everything_that_does_not() {
        let errors = read(
            "crom = \"* * * * *\"\nenabled = \"yes\"\noverlap = \"drop\"\nretries = 300\n\n[target]\ntype = \"bucket\"\n\
             ulr = \"s3://hunter2\"\n[limits.any]\nsecond = 1\n[[steps]]\n[[steps]]\nseconds = 2026-01-01\n",
        )
        .unwrap_err();
        insta::assert_snapshot!(errors);
        assert!(!errors.contains("hunter2"));
    }

    #[test]
    fn says_where_it_is_no_toml() {
        let errors = read("name = \"a\ncron \"hunter2\"\n\n[steps\nname = \"b\"\n").unwrap_err();
        insta::assert_snapshot!(errors);
        assert!(!errors.contains("hunter2"));
    }
}
