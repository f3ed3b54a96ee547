//! Reports.

mod render;
mod sample;
