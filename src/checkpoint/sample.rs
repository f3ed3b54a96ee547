//! Draws a sample of entries that anybody can draw again: auditors need not trust whoever chose.
//!
//! From a seed (one line of text), the number `N` of leaves and the counter `i` = 0, 1, 2, … come the blocks
//!
//! ```text
//! SHA-256("trailkeeper sample 1\n" SEED "\n" N "\n" i "\n")      numbers in decimal
//! ```
//!
//! The first eight bytes of a block are a number `x`, big-endian. If `x` is at least the largest multiple of `N` that is not above
//! 2^64, the block is passed over: each index would otherwise not be equally likely. Else `x mod N` is the next index, unless it was
//! drawn before. That goes on until there are as many as asked for; of no more leaves than asked for all are taken, in order.

use std::collections::HashSet;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::lines::is_line;

/// Samples have at most so many.
pub const MAX_COUNT: u64 = 10_000;
/// What a sample has if nobody says otherwise.
pub const DEFAULT_COUNT: u64 = 25;
/// The longest seed.
pub const MAX_SEED_BYTES: usize = 255;

const DOMAIN: &str = "trailkeeper sample 1";

/// Why there is no sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SampleError {
    /// The seed is no line of text.
    #[error("a seed is one line of 1 to {MAX_SEED_BYTES} bytes, without control characters")]
    Seed,
    /// Too many.
    #[error("a sample has at most {MAX_COUNT} entries, not {0}")]
    Count(u64),
}

/// The indexes of `count` of `population` leaves, counted from zero, in the order in which they are drawn.
///
/// # Errors
/// If the seed cannot be one, or more are asked for than a sample has.
pub fn draw(seed: &str, population: u64, count: u64) -> Result<Vec<u64>, SampleError> {
    if !is_line(seed) || seed.len() > MAX_SEED_BYTES {
        return Err(SampleError::Seed);
    }
    if count > MAX_COUNT {
        return Err(SampleError::Count(count));
    }
    if population <= count {
        return Ok((0..population).collect());
    }
    let begin = Sha256::new_with_prefix(format!("{DOMAIN}\n{seed}\n{population}\n"));
    let all = 1_u128 << u64::BITS;
    let limit = all - all % u128::from(population);
    let mut drawn = HashSet::new();
    let mut indexes = Vec::new();
    let mut counter = 0_u64;
    while (indexes.len() as u64) < count {
        let mut hasher = begin.clone();
        hasher.update(format!("{counter}\n"));
        counter += 1;
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hasher.finalize());
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        if u128::from(number) >= limit {
            continue;
        }
        let index = number % population;
        if drawn.insert(index) {
            indexes.push(index);
        }
    }
    Ok(indexes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by CPython from the words above:
    ///
    /// ```python
    /// block = lambda i: hashlib.sha256(f"trailkeeper sample 1\n{seed}\n{n}\n{i}\n".encode()).digest()
    /// ```
    #[test]
    fn others_draw_the_same() {
        assert_eq!(
            draw("seed", 1_000_000, 5),
            Ok(vec![626_358, 341_235, 492_846, 832_578, 797_607])
        );
    }

    #[test]
    fn small_populations_are_taken_whole() {
        assert_eq!(draw("s", 0, 25), Ok(vec![]));
        assert_eq!(draw("s", 3, 25), Ok(vec![0, 1, 2]));
        assert_eq!(draw("s", 3, 3), Ok(vec![0, 1, 2]));
        assert_eq!(draw("s", 3, 0), Ok(vec![]));
    }

    #[test]
    fn nothing_is_drawn_twice() {
        for (population, count) in [(11, 10), (1000, 999), (u64::MAX, 50), (1 << 63, 50)] {
            let mut indexes = draw("s", population, count).expect("a sample");
            assert!(indexes.iter().all(|index| *index < population));
            indexes.sort_unstable();
            indexes.dedup();
            assert_eq!(indexes.len() as u64, count);
        }
    }

    /// Pearson's chi-square over 10 leaves, of which each of 4000 seeds draws 3: far from what chance makes of it.
    #[test]
    fn each_leaf_is_as_likely() {
        let mut drawn = [0_f64; 10];
        for seed in 0..4000 {
            for index in draw(&seed.to_string(), 10, 3).expect("a sample") {
                drawn[usize::try_from(index).expect("small")] += 1.0;
            }
        }
        let square: f64 = drawn.iter().map(|it| (it - 1200.0).powi(2) / 1200.0).sum();
        assert!(
            square < 27.9,
            "p < 0.001 for 9 degrees of freedom: {drawn:?}"
        );
    }

    #[test]
    fn what_is_no_seed_is_refused() {
        let long = "s".repeat(MAX_SEED_BYTES + 1);
        for seed in ["", "a\nb", "a\0", &long] {
            assert_eq!(draw(seed, 10, 1), Err(SampleError::Seed));
        }
        assert_eq!(draw("s", 10, 10_001), Err(SampleError::Count(10_001)));
    }
}
