//! Floor 2: SOC 2 evidence about one organisation and a period.
//!
//! Facts are gathered first, each with the query that found it; then each control judges by them alone, as pure functions do;
//! renderings show the result and compute nothing. A fact that could not be had makes a control `unknown`, never `pass`.
//!
//! ```text
//! QWED's database ─▶ qwed ─┐
//! our database ────▶ own ──┼─▶ facts ─▶ control ─▶ model::Report ─▶ renderings
//! archive, verification ───┘
//! ```

mod control;
pub mod criteria;
pub mod facts;
mod gather;
pub mod model;
mod names;
pub mod ocsf;
pub mod oscal;
mod own;
pub mod produce;
mod qwed;
pub mod render;

pub use gather::{Sources, make};

use self::model::{Control, Table};

/// Where an auditor pack has a table of a control, as CSV.
#[must_use]
pub fn table_file(control: &Control, table: &Table) -> String {
    format!("tables/{}-{}.csv", control.id, table.name)
}
