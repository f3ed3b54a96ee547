//! A list that keeps the first of many, however many there are.

use std::collections::BTreeMap;

/// The `limit` entries of lowest rank. Ranks are unique.
pub(super) struct Listing<R, T> {
    limit: usize,
    kept: BTreeMap<R, T>,
    left_out: u64,
}

impl<R: Ord, T> Listing<R, T> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: BTreeMap::new(),
            left_out: 0,
        }
    }

    pub(super) fn insert(&mut self, rank: R, entry: T) {
        let is_full = self.kept.len() >= self.limit;
        self.left_out += u64::from(is_full);
        // Most entries of a long list are behind the last one kept: for them this is one comparison.
        if is_full
            && self
                .kept
                .last_key_value()
                .is_none_or(|(last, _)| *last < rank)
        {
            return;
        }
        self.kept.insert(rank, entry);
        if is_full {
            self.kept.pop_last();
        }
    }

    /// What is kept, in order, and how many were left out.
    pub(super) fn finish(self) -> (Vec<T>, u64) {
        (self.kept.into_values().collect(), self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_the_first_in_order(ranks in proptest::collection::hash_set(0..1000, 0..50), limit in 0_usize..60) {
            let mut listing = Listing::new(limit);
            for &rank in &ranks {
                listing.insert(rank, rank);
            }
            let (kept, left_out) = listing.finish();
            let mut sorted: Vec<i32> = ranks.iter().copied().collect();
            sorted.sort_unstable();
            prop_assert_eq!(left_out as usize, sorted.len().saturating_sub(limit));
            sorted.truncate(limit);
            prop_assert_eq!(kept, sorted);
        }
    }
}
