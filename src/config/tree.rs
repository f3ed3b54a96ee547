//! Values with the places that they come from, and how layers of them are laid over one another.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use zeroize::Zeroize;

use super::error::Place;

/// A table, or a value that replaces or is replaced as a whole. Without `Debug`: values may be secrets.
#[derive(Clone)]
pub(super) enum Node {
    Table(Tree, Place),
    Leaf(Plain, Place),
}

/// A value, which may be a secret: wiped from memory when it is dropped.
#[derive(Clone)]
pub(super) struct Plain(toml::Value);

impl Drop for Plain {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl Deref for Plain {
    type Target = toml::Value;

    fn deref(&self) -> &toml::Value {
        &self.0
    }
}

impl DerefMut for Plain {
    fn deref_mut(&mut self) -> &mut toml::Value {
        &mut self.0
    }
}

impl<V: Into<toml::Value>> From<V> for Plain {
    fn from(value: V) -> Self {
        Self(value.into())
    }
}

fn wipe(value: &mut toml::Value) {
    match value {
        toml::Value::String(text) => text.zeroize(),
        toml::Value::Array(values) => values.iter_mut().for_each(wipe),
        toml::Value::Table(table) => table.iter_mut().for_each(|(_, value)| wipe(value)),
        _ => {}
    }
}

/// The keys of a table.
pub(super) type Tree = BTreeMap<String, Node>;

/// Lays `upper` over `lower`.
pub(super) fn merge(lower: &mut Tree, upper: Tree) {
    for (key, node) in upper {
        match (lower.get_mut(&key), node) {
            (Some(Node::Table(below, at)), Node::Table(above, place)) => {
                *at = place;
                merge(below, above);
            }
            (_, node) => {
                lower.insert(key, node);
            }
        }
    }
}

/// Without the places.
pub(super) fn plain(tree: &Tree) -> toml::Table {
    let value = |node: &Node| match node {
        Node::Table(tree, _) => toml::Value::Table(plain(tree)),
        Node::Leaf(value, _) => toml::Value::clone(value),
    };
    tree.iter()
        .map(|(key, node)| (key.clone(), value(node)))
        .collect()
}

/// The value or table at a key with dots between its parts.
pub(super) fn find<'t>(tree: &'t Tree, key: &str) -> Option<&'t Node> {
    match key.split_once('.') {
        None => tree.get(key),
        Some((first, rest)) => match tree.get(first)? {
            Node::Table(tree, _) => find(tree, rest),
            Node::Leaf(..) => None,
        },
    }
}

impl Node {
    /// Where it comes from: a table, from where it was named last.
    pub(super) fn place(&self) -> &Place {
        let (Self::Table(_, place) | Self::Leaf(_, place)) = self;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wipes_texts_at_every_depth() {
        let text = "a = \"hunter2\"\nb = [\"hunter2\", 3]\nc = [{ d = \"hunter2\" }]";
        let mut value = toml::Value::Table(text.parse().expect("TOML"));
        wipe(&mut value);
        assert!(!value.to_string().contains("hunter2"), "{value}");
        assert_eq!(value["b"][1].as_integer(), Some(3));
    }
}
