//! The effective configuration: the defaults, the file, the environment and files of secrets, in this order.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    Config, DEFAULT,
    environment::Environment,
    error::{Invalid, Place, Problem, ProblemKind, Problems},
    schema::{Schema, Shape, join},
    strict,
    tree::{self, Node, Plain, Tree},
    variables,
};

/// No configuration or secret is near this size; a device or a wrong path may be endless.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// QWED's own variable, which holds for `qwed.database_url` if nothing else does.
const DATABASE_URL: &str = "DATABASE_URL";
/// QWED's variable for what its API keys are looked up by.
const LOOKUP_SECRET: &str = "QWED_API_KEY_LOOKUP_SECRET";

/// A configuration with the place that each value comes from.
#[derive(Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    pub(super) tree: Tree,
}

impl fmt::Debug for Loaded {
    /// Without the tree, which holds secrets as plain text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loaded").field(&self.config).finish()
    }
}

impl Loaded {
    /// Reads and validates all layers.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let text = path.and_then(|path| match read_bounded(path) {
            Ok(text) => Some((path, Zeroizing::new(text))),
            Err(reason) => {
                problems.push(Problem {
                    place: Place::Whole(path.to_owned()),
                    key: String::new(),
                    kind: ProblemKind::Unreadable(reason),
                });
                None
            }
        });
        let text = text.as_ref().map(|(path, text)| (*path, text.as_str()));
        Self::combine(text, environment, problems)
    }

    pub(super) fn combine(
        file: Option<(&Path, &str)>,
        environment: &Environment,
        mut problems: Vec<Problem>,
    ) -> Result<Self, Problems> {
        let schema = Schema::of::<Config>();
        let mut tree = defaults(&schema);
        if let Some((path, text)) = file {
            let (_, layer, mut found) = strict::layer(path, text, &schema, false);
            tree::merge(&mut tree, layer);
            problems.append(&mut found);
        }
        let (layer, mut found) = variables::layer(environment, &schema);
        tree::merge(&mut tree, layer);
        problems.append(&mut found);

        let mut at = Secrets {
            schema: &schema,
            problems: &mut problems,
        };
        at.fill("", schema.root(), &mut tree);
        fall_back(&mut tree, environment);

        // What did not fit the schema is not in the tree, so that this fails only if serde and the schema disagree.
        // Serde's message may quote a value, which may be a secret.
        let config = Config::deserialize(tree::plain(&tree)).map_err(|_| {
            let kind = ProblemKind::Invalid("the values do not fit together".to_owned());
            Problems(vec![Problem {
                place: Place::Default,
                key: String::new(),
                kind,
            }])
        })?;
        let loaded = Self { config, tree };
        problems.extend(loaded.locate(loaded.config.validate()));
        problems.sort_by(|one, other| one.place.cmp(&other.place));
        if problems.is_empty() {
            Ok(loaded)
        } else {
            Err(Problems(problems))
        }
    }

    /// Where a key's value comes from.
    #[must_use]
    pub fn place(&self, key: &str) -> Place {
        tree::find(&self.tree, key).map_or(Place::Default, |node| node.place().clone())
    }

    /// Adds their places to broken rules.
    #[must_use]
    pub fn locate(&self, broken: Vec<Invalid>) -> Vec<Problem> {
        let locate = |Invalid { key, problem }| Problem {
            place: self.place(&key),
            key,
            kind: ProblemKind::Invalid(problem),
        };
        broken.into_iter().map(locate).collect()
    }
}

/// The lowest layer, which every key is in.
fn defaults(schema: &Schema) -> Tree {
    fn mark(tree: &mut Tree) {
        for node in tree.values_mut() {
            match node {
                Node::Leaf(_, place) => *place = Place::Default,
                Node::Table(tree, place) => {
                    *place = Place::Default;
                    mark(tree);
                }
            }
        }
    }
    let (_, mut tree, problems) =
        strict::layer(Path::new("config/default.toml"), DEFAULT, schema, true);
    debug_assert!(problems.is_empty(), "{problems:?}");
    mark(&mut tree);
    tree
}

/// Reads the files that `X_file` names into `X`, for every `X` that is a secret.
struct Secrets<'a> {
    schema: &'a Schema,
    problems: &'a mut Vec<Problem>,
}

impl Secrets<'_> {
    fn fill(&mut self, path: &str, node: &Value, tree: &mut Tree) {
        let schema = self.schema;
        let Shape::Table(table) = schema.shape(node) else {
            return;
        };
        for (key, node) in &table.keys {
            let key = *key;
            match schema.shape(node) {
                Shape::Table(_) => {
                    if let Some(Node::Table(below, _)) = tree.get_mut(key) {
                        self.fill(&join(path, key), node, below);
                    }
                }
                Shape::List(Some(item)) => self.fill_list(&join(path, key), item, key, tree),
                Shape::Text {
                    is_secret: true, ..
                } => self.fill_one(path, key, tree),
                _ => {}
            }
        }
    }

    /// The same in each table of a list, which is a value of one place.
    fn fill_list(&mut self, path: &str, item: &Value, key: &str, tree: &mut Tree) {
        let Shape::Table(table) = self.schema.shape(item) else {
            return;
        };
        let Some(Node::Leaf(value, place)) = tree.get(key) else {
            return;
        };
        let (mut list, place) = (Plain::from(toml::Value::clone(value)), place.clone());
        let elements = list.as_array_mut().into_iter().flatten();
        for (index, element) in elements.enumerate() {
            let Some(element) = element.as_table_mut() else {
                continue;
            };
            for (key, node) in &table.keys {
                if self.schema.is_secret(node) {
                    self.fill_element(&format!("{path}[{index}]"), key, element, &place);
                }
            }
        }
        tree.insert(key.to_owned(), Node::Leaf(list, place));
    }

    fn fill_element(&mut self, path: &str, key: &str, element: &mut toml::Table, place: &Place) {
        let set = |key: &str| {
            let text = element.get(key).and_then(toml::Value::as_str);
            text.filter(|text| !text.is_empty())
        };
        let name = format!("{key}_file");
        let Some(file) = set(&name) else {
            return;
        };
        let problem = match set(key) {
            Some(_) => format!("and {} are both set; set one of them", join(path, key)),
            None => match secret(Path::new(file)) {
                Ok(secret) => {
                    element.insert(key.to_owned(), secret.into());
                    return;
                }
                Err(problem) => format!("{file:?} {problem}"),
            },
        };
        self.problems.push(Problem {
            place: place.clone(),
            key: join(path, &name),
            kind: ProblemKind::Invalid(problem),
        });
    }

    fn fill_one(&mut self, path: &str, key: &str, tree: &mut Tree) {
        let name = format!("{key}_file");
        let Some((file, place)) = text(tree, &name) else {
            return;
        };
        let problem = match text(tree, key) {
            Some((_, Place::Default)) | None => match secret(Path::new(file)) {
                Ok(secret) => {
                    let place = Place::Whole(PathBuf::from(file));
                    tree.insert(key.to_owned(), Node::Leaf(secret.into(), place));
                    return;
                }
                Err(problem) => format!("{file:?} {problem}"),
            },
            Some((_, other)) => format!(
                "and {} are both set, the latter by {other}; set one of them",
                join(path, key)
            ),
        };
        self.problems.push(Problem {
            place: place.clone(),
            key: join(path, &name),
            kind: ProblemKind::Invalid(problem),
        });
    }
}

/// A text that is set, which an empty one is not.
fn text<'t>(tree: &'t Tree, key: &str) -> Option<(&'t str, &'t Place)> {
    match tree::find(tree, key)? {
        Node::Leaf(value, place) => Some((value.as_str().filter(|text| !text.is_empty())?, place)),
        Node::Table(..) => None,
    }
}

/// The secret in a file, without the newline that editors end files with.
fn secret(path: &Path) -> Result<String, String> {
    let text = read_bounded(path).map_err(|reason| format!("cannot be read: {reason}"))?;
    let text = Zeroizing::new(text);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err("is an empty file".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads a file that people write, or says why not.
pub(crate) fn read_bounded(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    // With room for all of it: a text that grows leaves copies behind, which nobody could wipe.
    let size = file.metadata().map_or(0, |found| found.len());
    let mut text = String::with_capacity(size.min(MAX_FILE_BYTES) as usize + 1);
    file.take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
    }
    Ok(text)
}

/// Takes QWED's own variables where no layer says more. One that is not UTF-8 is none that QWED could use.
fn fall_back(tree: &mut Tree, environment: &Environment) {
    for (key, variable) in [
        ("database_url", DATABASE_URL),
        ("api_key_lookup_secret", LOOKUP_SECRET),
    ] {
        if text(tree, &format!("qwed.{key}")).is_some() {
            continue;
        }
        let value = environment.get(variable);
        let value = value.and_then(|value| value.into_string().ok());
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            continue;
        };
        if let Some(Node::Table(qwed, _)) = tree.get_mut("qwed") {
            let place = Place::Variable(variable.to_owned());
            qwed.insert(key.to_owned(), Node::Leaf(value.into(), place));
        }
    }
}
