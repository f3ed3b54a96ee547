//! The layer of environment variables: `TRAILKEEPER__SECTION__KEY`.

use std::collections::BTreeMap;

use serde_json::Value;
use toml::Spanned;
use toml::de::DeValue;

use super::{
    environment::Environment,
    error::{Place, Problem, ProblemKind},
    read::Reader,
    schema::{Schema, Shape, join},
    tree::{Node, Tree, merge},
};

/// Two underscores, so that `TRAILKEEPER_CONFIG` is none of them.
const PREFIX: &str = "TRAILKEEPER__";

/// The variable of a key.
fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// Reads all variables that set keys. What follows the prefix may be in any case.
pub(super) fn layer(environment: &Environment, schema: &Schema) -> (Tree, Vec<Problem>) {
    let mut tree = Tree::new();
    let mut problems = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in environment.iter() {
        let name = name.to_string_lossy();
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let place = Place::Variable(name.clone().into_owned());
        let key = rest.to_lowercase().replace("__", ".");
        let mut fail = |key: &str, kind| {
            problems.push(Problem {
                place: place.clone(),
                key: key.to_owned(),
                kind,
            });
        };
        if let Some(other) = seen.insert(key.clone(), name.clone().into_owned()) {
            fail(
                &key,
                ProblemKind::Invalid(format!("is also set by {other}")),
            );
            continue;
        }
        if key.is_empty() {
            fail(&key, ProblemKind::Invalid("names no key".to_owned()));
            continue;
        }
        let node = match find(schema, &key) {
            Ok(node) => node,
            Err(nearest) => {
                fail(&key, ProblemKind::UnknownKey { nearest });
                continue;
            }
        };
        let Some(value) = value.to_str() else {
            fail(&key, ProblemKind::Invalid("is not UTF-8".to_owned()));
            continue;
        };
        let at = |_| place.clone();
        let mut reader = Reader {
            schema,
            place: &at,
            is_whole: false,
            problems: Vec::new(),
        };
        let value = Spanned::new(0..0, parse(schema, node, value));
        if let Some(node) = reader.value(&key, &place, &value, node) {
            merge(&mut tree, nested(&key, node, &place));
        }
        problems.append(&mut reader.problems);
    }
    (tree, problems)
}

/// What belongs at a key, or the variable that may have been meant.
fn find<'s>(schema: &'s Schema, key: &str) -> Result<&'s Value, Option<String>> {
    let mut node = schema.root();
    let mut path = String::new();
    for part in key.split('.') {
        let Shape::Table(table) = schema.shape(node) else {
            return Err(None);
        };
        node = match table.get(part).filter(|_| !part.is_empty()) {
            Some(node) => node,
            None => {
                let near = schema.nearest(&path, part, &table);
                let rest = &key[join(&path, part).len()..];
                return Err(near.map(|near| variable_of(&format!("{near}{rest}"))));
            }
        };
        path = join(&path, part);
    }
    Ok(node)
}

/// A value in the form that its key wants. Text is taken as it is: quotes may be part of a password.
fn parse<'v>(schema: &Schema, node: &Value, text: &'v str) -> DeValue<'v> {
    let as_text = || DeValue::String(text.into());
    match schema.shape(node) {
        Shape::Text { .. } | Shape::Choice(_) => as_text(),
        Shape::List(item) if !text.trim_start().starts_with('[') => {
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            let read = |part: &'v str| match item {
                Some(item) => parse(schema, item, part),
                None => DeValue::String(part.into()),
            };
            let parts = parts.map(|part| Spanned::new(0..0, read(part)));
            DeValue::Array(parts.collect())
        }
        _ => match DeValue::parse(text.trim()) {
            Ok(value) => value.into_inner(),
            Err(_) => as_text(),
        },
    }
}

/// The tables around a key.
fn nested(key: &str, node: Node, place: &Place) -> Tree {
    match key.split_once('.') {
        Some((first, rest)) => {
            let tree = nested(rest, node, place);
            Tree::from([(first.to_owned(), Node::Table(tree, place.clone()))])
        }
        None => Tree::from([(key.to_owned(), node)]),
    }
}
