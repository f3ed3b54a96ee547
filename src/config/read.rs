//! Compares parsed TOML with a schema: what fits becomes a tree, what does not becomes problems. All of them are
//! reported, not the first only.

use std::net::SocketAddr;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::{
    error::{Place, Problem, ProblemKind},
    schema::{Schema, Shape, Table, join},
    tree::{Node, Tree},
};

/// The form of an address to listen on, for `#[schemars(extend("format" = …))]`: schemars itself names none.
pub(super) const SOCKET_ADDRESS: &str = "socket-address";

/// Reads one layer, file or variable.
pub(super) struct Reader<'a> {
    pub(super) schema: &'a Schema,
    /// The place of a range of the text.
    pub(super) place: &'a dyn Fn(Range<usize>) -> Place,
    /// Whether this layer has to be complete. An element of a list always has to be: lists are not merged.
    pub(super) is_whole: bool,
    pub(super) problems: Vec<Problem>,
}

impl Reader<'_> {
    fn report(&mut self, place: &Place, key: &str, kind: ProblemKind) {
        self.problems.push(Problem {
            place: place.clone(),
            key: key.to_owned(),
            kind,
        });
    }

    /// A table's keys, less those with problems.
    pub(super) fn table(
        &mut self,
        path: &str,
        at: &Place,
        table: &DeTable<'_>,
        known: &Table<'_>,
    ) -> Tree {
        let mut tree = Tree::new();
        // By their place in the text, which is the order in which people go through problems.
        let mut pairs: Vec<_> = table.iter().collect();
        pairs.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in pairs {
            let place = (self.place)(key.span());
            let name = key.get_ref().as_ref();
            let full = join(path, name);
            if let Some(node) = known.get(name) {
                if let Some(node) = self.value(&full, &place, value, node) {
                    tree.insert(name.to_owned(), node);
                }
            } else {
                let nearest = self.schema.nearest(path, name, known);
                self.report(&place, &full, ProblemKind::UnknownKey { nearest });
            }
        }
        if self.is_whole {
            for key in &known.required {
                if !table.iter().any(|(name, _)| name.get_ref() == key) {
                    self.report(at, &join(path, key), ProblemKind::MissingKey);
                }
            }
        }
        tree
    }

    pub(super) fn value(
        &mut self,
        path: &str,
        place: &Place,
        value: &Spanned<DeValue<'_>>,
        node: &serde_json::Value,
    ) -> Option<Node> {
        let before = self.problems.len();
        let shape = self.schema.shape(node);
        let found = match (&shape, value.get_ref()) {
            (Shape::Text { .. } | Shape::Choice(_), DeValue::String(_)) => "other text",
            (Shape::Integer(..), DeValue::Integer(_)) => "another integer",
            (_, value) => name_of(value),
        };
        let expected = match (shape, value.get_ref()) {
            (Shape::Any, _) => None,
            (Shape::Either(nodes), _) => return self.either(path, place, value, &nodes),
            (Shape::Table(known), DeValue::Table(table)) => {
                let tree = self.table(path, place, table, &known);
                return Some(Node::Table(tree, place.clone()));
            }
            (Shape::Table(_), _) => Some("a table".to_owned()),
            (Shape::List(item), DeValue::Array(items)) => {
                if let Some(node) = item {
                    self.elements(path, items.iter(), node);
                }
                None
            }
            (Shape::List(_), _) => Some("a list".to_owned()),
            (Shape::Choice(words), DeValue::String(text)) if words.contains(&text.as_ref()) => None,
            (Shape::Choice(words), _) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                Some(words.join(" or "))
            }
            (Shape::Text { format, .. }, DeValue::String(text)) => match format {
                Some(SOCKET_ADDRESS) if text.parse::<SocketAddr>().is_err() => {
                    Some("an address and a port, such as \"127.0.0.1:9464\"".to_owned())
                }
                _ => None,
            },
            (Shape::Text { .. }, _) => Some("text in quotes".to_owned()),
            (Shape::Integer(least, most), value) => integer_expected(value, least, most),
            (Shape::Number, DeValue::Integer(_) | DeValue::Float(_)) => None,
            (Shape::Number, _) => Some("a number".to_owned()),
            (Shape::Boolean, DeValue::Boolean(_)) => None,
            (Shape::Boolean, _) => Some("true or false".to_owned()),
        };
        if let Some(expected) = expected {
            self.report(place, path, ProblemKind::WrongType { expected, found });
        }
        if self.problems.len() > before {
            return None;
        }
        let Ok(plain) = toml::Value::deserialize(ValueDeserializer::from(value.clone())) else {
            let problem = "is a number beyond what can be held".to_owned();
            self.report(place, path, ProblemKind::Invalid(problem));
            return None;
        };
        Some(Node::Leaf(plain.into(), place.clone()))
    }

    fn elements<'v, 'i: 'v>(
        &mut self,
        path: &str,
        items: impl Iterator<Item = &'v Spanned<DeValue<'i>>>,
        node: &serde_json::Value,
    ) {
        let was_whole = std::mem::replace(&mut self.is_whole, true);
        for (index, item) in items.enumerate() {
            let place = (self.place)(item.span());
            self.value(&format!("{path}[{index}]"), &place, item, node);
        }
        self.is_whole = was_whole;
    }

    /// Reads it as that alternative with which it has the fewest problems: most likely the one that was meant.
    fn either(
        &mut self,
        path: &str,
        place: &Place,
        value: &Spanned<DeValue<'_>>,
        nodes: &[&serde_json::Value],
    ) -> Option<Node> {
        let attempts = nodes.iter().map(|node| {
            let mut reader = Reader {
                problems: Vec::new(),
                is_whole: true,
                ..*self
            };
            let read = reader.value(path, place, value, node);
            (reader.problems, read)
        });
        let (problems, read) = attempts.min_by_key(|(problems, _)| problems.len())?;
        self.problems.extend(problems);
        read
    }
}

/// What is expected of an integer, unless `value` is one.
fn integer_expected(value: &DeValue<'_>, least: i64, most: i64) -> Option<String> {
    let number = match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    if number.is_some_and(|number| (least..=most).contains(&number)) {
        return None;
    }
    Some(match (least, most) {
        (i64::MIN, i64::MAX) => "an integer".to_owned(),
        (least, i64::MAX) => format!("an integer of at least {least}"),
        (least, most) => format!("an integer from {least} to {most}"),
    })
}

/// What a value is, without saying the value.
fn name_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time without quotes",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
