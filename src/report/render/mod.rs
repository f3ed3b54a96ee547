//! Renderings of a report for people: HTML, PDF, and CSV of each table.
//!
//! They show a [`Report`](super::model::Report) and compute nothing of it. HTML and PDF are two writings of one `page`, so that neither says what the
//! other leaves out. Text comes from databases and may be anything: `text::Shown` is the only way into a page, and a template
//! escapes all that it is given.

mod chart;
mod csv;
mod html;
mod page;
mod pdf;
mod text;

pub use csv::{csv, csv_files};
pub use html::{STYLE, content_security_policy, html};
pub use pdf::{PdfError, pdf};
