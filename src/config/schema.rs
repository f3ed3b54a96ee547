//! What a type's JSON schema says about its keys, in the few words that reading TOML needs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

use super::nearest;

/// The JSON schema of a type.
pub(super) struct Schema(Value);

/// What a value must be.
pub(super) enum Shape<'s> {
    /// Anything, or something that is not described closely enough to be judged.
    Any,
    /// One of these.
    Either(Vec<&'s Value>),
    /// A table.
    Table(Table<'s>),
    /// A list of these.
    List(Option<&'s Value>),
    /// One of these words.
    Choice(Vec<&'s str>),
    /// Text.
    Text {
        /// A form that is checked.
        format: Option<&'s str>,
        /// Whether it must not be shown.
        is_secret: bool,
    },
    /// An integer, ends included.
    Integer(i64, i64),
    /// A number.
    Number,
    /// True or false.
    Boolean,
}

/// The keys of a table.
#[derive(Default)]
pub(super) struct Table<'s> {
    /// Those that are named.
    pub(super) keys: BTreeMap<&'s str, &'s Value>,
    /// What any other key holds, if others are allowed.
    pub(super) others: Option<&'s Value>,
    /// Those that must be there.
    pub(super) required: Vec<&'s str>,
}

impl<'s> Table<'s> {
    pub(super) fn get(&self, key: &str) -> Option<&'s Value> {
        self.keys.get(key).copied().or(self.others)
    }
}

impl Schema {
    pub(super) fn of<T: JsonSchema>() -> Self {
        Self(schemars::schema_for!(T).to_value())
    }

    pub(super) fn root(&self) -> &Value {
        &self.0
    }

    /// The node that a reference stands for.
    fn resolve<'s>(&'s self, node: &'s Value) -> &'s Value {
        let target = node["$ref"]
            .as_str()
            .and_then(|name| name.strip_prefix('#'));
        match target.and_then(|pointer| self.0.pointer(pointer)) {
            Some(target) => self.resolve(target),
            None => node,
        }
    }

    pub(super) fn shape<'s>(&'s self, node: &'s Value) -> Shape<'s> {
        let node = self.resolve(node);
        for word in ["anyOf", "oneOf"] {
            if let Some(alternatives) = node[word].as_array() {
                return self.either(node, alternatives);
            }
        }
        if let Some(word) = node["const"].as_str() {
            return Shape::Choice(vec![word]);
        }
        if let Some(words) = node["enum"].as_array() {
            return Shape::Choice(words.iter().filter_map(Value::as_str).collect());
        }
        // An optional value has two types; TOML has no null, so that the other one is meant.
        let kind = match &node["type"] {
            Value::Array(kinds) => kinds
                .iter()
                .filter_map(Value::as_str)
                .find(|kind| *kind != "null"),
            kind => kind.as_str(),
        };
        match kind {
            Some("object") => self.table(node),
            Some("array") => Shape::List(node.get("items").filter(|items| items.is_object())),
            Some("string") => Shape::Text {
                format: node["format"].as_str(),
                is_secret: node["writeOnly"].as_bool().unwrap_or(false),
            },
            Some("integer") => {
                let (least, most) = match node["format"].as_str() {
                    Some("uint8") => (0, u8::MAX.into()),
                    Some("uint16") => (0, u16::MAX.into()),
                    Some("uint32") => (0, u32::MAX.into()),
                    Some("int32") => (i32::MIN.into(), i32::MAX.into()),
                    _ => (i64::MIN, i64::MAX),
                };
                let end = |word: &str, otherwise| node[word].as_i64().unwrap_or(otherwise);
                Shape::Integer(end("minimum", least), end("maximum", most))
            }
            Some("number") => Shape::Number,
            Some("boolean") => Shape::Boolean,
            _ => Shape::Any,
        }
    }

    /// Whether it is a text that must not be shown.
    pub(super) fn is_secret(&self, node: &Value) -> bool {
        let shape = self.shape(node);
        matches!(
            shape,
            Shape::Text {
                is_secret: true,
                ..
            }
        )
    }

    fn either<'s>(&'s self, node: &'s Value, alternatives: &'s [Value]) -> Shape<'s> {
        let mut some = alternatives
            .iter()
            .filter(|one| one["type"] != "null")
            .collect::<Vec<_>>();
        let words = |one: &&'s Value| match self.shape(one) {
            Shape::Choice(words) => Some(words),
            _ => None,
        };
        if let Some(words) = some.iter().map(words).collect::<Option<Vec<_>>>() {
            return Shape::Choice(words.concat());
        }
        match (some.pop(), some.is_empty()) {
            (Some(one), true) => self.shape(one),
            // Keys beside the alternatives (a tagged enum in a struct) would be unknown to each of them.
            (Some(_), false) if node.get("properties").is_some() => Shape::Any,
            (Some(one), false) => {
                some.push(one);
                Shape::Either(some)
            }
            (None, _) => Shape::Any,
        }
    }

    fn table<'s>(&'s self, node: &'s Value) -> Shape<'s> {
        let properties = node["properties"].as_object();
        let others = match (&node["additionalProperties"], properties) {
            (Value::Bool(false), _) | (Value::Null, Some(_)) => None,
            (Value::Null, None) => return Shape::Any,
            (others, _) => Some(others),
        };
        let required = node["required"].as_array();
        Shape::Table(Table {
            keys: properties
                .into_iter()
                .flatten()
                .map(|(key, node)| (key.as_str(), node))
                .collect(),
            others,
            required: required
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect(),
        })
    }

    /// What an unknown key of the table at `path` may have been meant to be: another of that table, or else one of the
    /// same name in another, if somebody forgot the section.
    pub(super) fn nearest(&self, path: &str, name: &str, known: &Table<'_>) -> Option<String> {
        if let Some(near) = nearest(name, known.keys.keys().copied()) {
            return Some(join(path, near));
        }
        let mut paths = self.paths().into_iter();
        paths.find(|path| path.rsplit('.').next() == Some(name))
    }

    /// The keys of all tables that are named, in full: sections and what they hold.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(self.root(), "", &mut paths);
        paths
    }

    fn collect(&self, node: &Value, path: &str, paths: &mut Vec<String>) {
        match self.shape(node) {
            Shape::Table(table) => {
                for (key, node) in table.keys {
                    self.collect(node, &join(path, key), paths);
                }
                if table.others.is_some() {
                    paths.push(path.to_owned());
                }
            }
            _ => paths.push(path.to_owned()),
        }
    }
}

/// `path.key`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
