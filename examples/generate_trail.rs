//! Makes a valid QWED trail of any size, for benchmarks:
//! `generate_trail ROWS [--orgs N] [--seed N] --sqlite FILE | --copy` (COPY text on standard output).

use std::io::{BufWriter, stdout};
use std::path::PathBuf;

use clap::Parser;
use trailkeeper::{
    demo::generator::{Generator, SqliteWriter, write_copy},
    trail::keys::Key,
};

#[derive(Parser)]
struct Arguments {
    /// How many entries
    rows: u64,
    /// Over how many organisations
    #[arg(long, default_value_t = 3)]
    orgs: i64,
    /// The same seed makes the same trail
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The signing key
    #[arg(long, env = "QWED_AUDIT_SECRET_KEY")]
    key: String,
    /// Write a SQLite database
    #[arg(long, value_name = "FILE", required_unless_present = "copy")]
    sqlite: Option<PathBuf>,
    /// Print verificationlog in PostgreSQL's COPY text format
    #[arg(long)]
    copy: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let key = Key::new("default", arguments.key.as_bytes());
    let mut generator = Generator::new(key, arguments.orgs, arguments.seed);
    if let Some(path) = &arguments.sqlite {
        SqliteWriter::create(path)?.write(&mut generator, arguments.rows)?;
    } else {
        write_copy(
            &mut generator,
            arguments.rows,
            &mut BufWriter::new(stdout().lock()),
        )?;
    }
    Ok(())
}
