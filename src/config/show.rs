//! The effective configuration for people and machines, with the place of each value and without secrets.

use std::fmt::Write;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Config, Loaded, Place, Secret,
    schema::{Schema, Shape, join},
    tree::{Node, Tree},
};
use crate::trail::hash::to_hex;

impl Loaded {
    /// As TOML, with the place of each value in a comment.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let schema = Schema::of::<Config>();
        let mut text = String::new();
        write_table(&mut text, &schema, schema.root(), "", &self.tree);
        text
    }

    /// As JSON: `config`, the values, and `sources`, the place of each by its key.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let schema = Schema::of::<Config>();
        let mut sources = serde_json::Map::new();
        let config = values(&mut sources, &schema, schema.root(), "", &self.tree);
        json!({ "config": config, "sources": sources })
    }

    /// The SHA-256, in hexadecimal, of all values without secrets: of the document that [`Self::to_json`] calls `config`.
    /// Where a value comes from, and a secret that is exchanged for another, change nothing.
    #[must_use]
    pub fn sha256(&self) -> String {
        let hash = Sha256::digest(self.to_json()["config"].to_string());
        String::from_utf8_lossy(&to_hex(&hash.into())).into_owned()
    }
}

fn write_table(text: &mut String, schema: &Schema, node: &Value, path: &str, tree: &Tree) {
    // Values first: what follows a table's heading belongs to that table.
    for (key, child) in tree {
        if let Node::Leaf(value, place) = child {
            let value = shown(schema, node, key, value);
            let source = match place {
                Place::Default => "default".to_owned(),
                place => format!("from {place}"),
            };
            let _ = writeln!(text, "{} = {value}  # {source}", name(key));
        }
    }
    for (key, child) in tree {
        if let Node::Table(below, _) = child {
            let path = join(path, &name(key));
            if below.is_empty() || below.values().any(|node| matches!(node, Node::Leaf(..))) {
                let _ = writeln!(text, "\n[{path}]");
            }
            let below_node = child_of(schema, node, key).unwrap_or(&Value::Null);
            write_table(text, schema, below_node, &path, below);
        }
    }
}

fn values(
    sources: &mut serde_json::Map<String, Value>,
    schema: &Schema,
    node: &Value,
    path: &str,
    tree: &Tree,
) -> Value {
    let pairs = tree.iter().map(|(key, child)| {
        let full = join(path, key);
        let value = match child {
            Node::Leaf(value, place) => {
                sources.insert(full, place.to_string().into());
                serde_json::to_value(shown(schema, node, key, value)).unwrap_or_default()
            }
            Node::Table(below, _) => {
                let node = child_of(schema, node, key).unwrap_or(&Value::Null);
                values(sources, schema, node, &full, below)
            }
        };
        (key.clone(), value)
    });
    Value::Object(pairs.collect())
}

/// The value, with all masked in it that may be a secret.
fn shown(schema: &Schema, table: &Value, key: &str, value: &toml::Value) -> toml::Value {
    match child_of(schema, table, key) {
        Some(node) => masked(schema, node, value),
        None => value.clone(),
    }
}

/// Lists are values as a whole, with tables in them that have secrets of their own.
fn masked(schema: &Schema, node: &Value, value: &toml::Value) -> toml::Value {
    match (schema.shape(node), value) {
        (
            Shape::Text {
                is_secret: true, ..
            },
            toml::Value::String(text),
        ) => toml::Value::String(Secret::new(text.as_str()).to_string()),
        (Shape::List(Some(item)), toml::Value::Array(values)) => {
            let values = values.iter().map(|value| masked(schema, item, value));
            toml::Value::Array(values.collect())
        }
        (Shape::Table(_), toml::Value::Table(values)) => {
            let values = values.iter();
            let shown = |(key, value): (&String, _)| (key.clone(), shown(schema, node, key, value));
            toml::Value::Table(values.map(shown).collect())
        }
        _ => value.clone(),
    }
}

fn child_of<'s>(schema: &'s Schema, table: &'s Value, key: &str) -> Option<&'s Value> {
    match schema.shape(table) {
        Shape::Table(table) => table.get(key),
        _ => None,
    }
}

/// A key, in quotes if it has to be.
fn name(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(is_bare) {
        key.to_owned()
    } else {
        toml::Value::from(key).to_string()
    }
}
