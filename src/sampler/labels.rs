//! Labels that come and go: which organisations have their own, and which series are taken back.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// What stands for all organisations beyond those with labels of their own.
pub(super) const OTHER: &str = "other";

/// The label of each of these organisations: its own for the first `max`, in the order of their ids. What is no number (those that
/// belong to none, and what is no organisation) is always told of by itself.
pub(super) fn labels<'o>(
    organizations: impl Iterator<Item = &'o str>,
    max: usize,
) -> BTreeMap<&'o str, &'o str> {
    let mut all: Vec<&str> = organizations.collect();
    all.sort_unstable_by(|one, other| match (number(one), number(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (None, None) => one.cmp(other),
    });
    all.dedup();
    let apart = all.iter().filter(|it| number(it).is_none()).count();
    let own = apart.saturating_add(max);
    let label = |(place, id): (usize, &'o str)| (id, if place < own { id } else { OTHER });
    all.into_iter().enumerate().map(label).collect()
}

fn number(organization: &str) -> Option<i64> {
    organization.parse().ok()
}

/// The series of one metric that there were at the last look.
#[derive(Debug, Default)]
pub(super) struct Shown(BTreeSet<Vec<String>>);

impl Shown {
    /// Takes those back that are not there any more. Done after the others were set, so that nothing that stays is ever missing.
    pub(super) fn keep_only(&mut self, now: BTreeSet<Vec<String>>, take_back: impl Fn(&[&str])) {
        for gone in self.0.difference(&now) {
            take_back(&gone.iter().map(String::as_str).collect::<Vec<_>>());
        }
        self.0 = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_cap_all_are_one() {
        let ids = ["anchors", "10", "9", "", "100"];
        let labelled = labels(ids.into_iter(), 2);
        let expected = [
            ("", ""),
            ("10", "10"),
            ("100", OTHER),
            ("9", "9"),
            ("anchors", "anchors"),
        ];
        assert_eq!(labelled, BTreeMap::from(expected));
        let labelled = labels(ids.into_iter(), 0);
        assert_eq!(labelled["9"], OTHER);
        assert_eq!(labelled["anchors"], "anchors");
    }
}
