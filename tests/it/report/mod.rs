//! Reports.

mod dom;
mod kept;
mod pdf;
mod render;
pub(crate) mod sample;
mod style;
