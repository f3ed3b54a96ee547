//! Reports.

mod dom;
mod pdf;
mod render;
mod sample;
mod style;
