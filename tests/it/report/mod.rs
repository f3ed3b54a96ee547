//! Reports.

mod dom;
mod pdf;
mod render;
pub(crate) mod sample;
mod style;
