//! Reading TOML strictly: a key that does not exist is an error that names its line and the key that was meant.
//!
//! To be replaced by the reader of the configuration, which does the same.

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use super::nearest::nearest;

/// Reads a document. `known` lists the keys by table: `("", …)` those of the document, `("misfire", …)` those of
/// `[misfire]`. Tables that are not listed hold anything.
///
/// # Errors
/// All unknown keys; or else what the document's first problem is.
pub(super) fn parse<T: DeserializeOwned>(
    text: &str,
    known: &[(&str, &[&str])],
) -> Result<T, Vec<String>> {
    let place = |error: toml::de::Error| {
        let message = error.message().replace('\n', ", ");
        let at = error.span().filter(|span| !span.is_empty());
        // A missing key is nowhere: its span is the whole document.
        match at.filter(|span| span.len() < text.len()) {
            Some(span) => vec![format!("line {}: {message}", line(text, span.start))],
            None => vec![message],
        }
    };
    let document = DeTable::parse(text).map_err(place)?;
    let mut problems = Vec::new();
    for (name, keys) in known {
        let table = if name.is_empty() {
            Some(document.get_ref())
        } else {
            let value = document.get_ref().get(*name);
            value.and_then(|value| match value.get_ref() {
                DeValue::Table(table) => Some(table),
                _ => None,
            })
        };
        for key in table.into_iter().flat_map(|table| table.keys()) {
            let written: &str = key.get_ref();
            if keys.contains(&written) {
                continue;
            }
            let line = line(text, key.span().start);
            let meant = match nearest(written, keys.iter().copied()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("the keys are {}", keys.join(", ")),
            };
            problems.push((
                line,
                format!("line {line}: unknown key {written:?}; {meant}"),
            ));
        }
    }
    if problems.is_empty() {
        toml::from_str(text).map_err(place)
    } else {
        problems.sort();
        Err(problems.into_iter().map(|(_, problem)| problem).collect())
    }
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or_default();
    before.matches('\n').count() + 1
}
