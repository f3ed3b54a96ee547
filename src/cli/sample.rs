//! `trailkeeper sample`.

use clap::Args;
use serde::Serialize;

use super::{
    Exit, Failure,
    verify::{Format, print, print_json},
};
use crate::checkpoint::sample::{DEFAULT_COUNT, MAX_COUNT, draw};

pub(super) const AFTER: &str = "\
Each line is a place in the anchored trail, counted from zero, in the order in which they are drawn. The formula:

  block i = SHA-256(\"trailkeeper sample 1\\n\" SEED \"\\n\" POPULATION \"\\n\" i \"\\n\"), for i = 0, 1, 2, ...
  x = the block's first eight bytes, big-endian; passed over if x >= 2^64 - 2^64 mod POPULATION
  place = x mod POPULATION; passed over if it was drawn before

If the population is no larger than the sample, all of it is taken, in order. Nothing is read: no database, no configuration.

Exit codes:
  0  drawn
  2  wrong usage";

/// What `sample` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to draw with: one line of text
    #[arg(long, value_name = "TEXT")]
    seed: String,
    /// How many entries there are
    #[arg(long, value_name = "N")]
    population: u64,
    /// How many to draw
    #[arg(long, value_name = "K", default_value_t = DEFAULT_COUNT, value_parser = clap::value_parser!(u64).range(1..=MAX_COUNT))]
    count: u64,
    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct Document<'a> {
    seed: &'a str,
    population: u64,
    count: u64,
    indexes: Vec<u64>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let Arguments {
        seed,
        population,
        count,
        format,
    } = arguments;
    let indexes = draw(seed, *population, *count).map_err(Failure::usage)?;
    match format {
        Format::Json => print_json(&Document {
            seed,
            population: *population,
            count: *count,
            indexes,
        })?,
        Format::Text => print(|out| {
            indexes
                .iter()
                .try_for_each(|index| writeln!(out, "{index}"))
        })?,
    }
    Ok(Exit::Intact)
}
