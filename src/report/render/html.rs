//! HTML: one file that asks for nothing else, neither scripts nor fonts nor pictures, and says so to the browser.

use askama::{Template, filters::HtmlSafe};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::{
    chart::{Anchor, Drawing, Shape},
    page::{Badge, Fact, Page, Table, TableCell},
    text::{Cell, Kind},
};
use crate::report::model::{Report, Status};

/// The look of reports and of the status page. It names no address.
pub const STYLE: &str = include_str!("style.css");

/// The report as one HTML document.
#[must_use]
pub fn html(report: &Report) -> String {
    let document = Document {
        page: &Page::of(report),
        style: STYLE,
        style_hash: style_hash(),
    };
    document.render().expect("a string takes all")
}

fn style_hash() -> String {
    STANDARD.encode(Sha256::digest(STYLE))
}

/// The Content-Security-Policy that whoever serves [`html`] has to send: a browser applies the document's own and the header's, and
/// a stricter one would leave it without its style.
#[must_use]
pub fn content_security_policy() -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        style_hash()
    )
}

#[derive(Template)]
#[template(path = "report/render/html/report.html")]
struct Document<'a> {
    page: &'a Page,
    style: &'static str,
    /// What the browser is to apply, and nothing else.
    style_hash: String,
}

/// What a template writes is escaped already where it is put into another one.
macro_rules! part {
    ($type:ident, $path:literal, $field:ident: $inner:ty) => {
        #[derive(Template)]
        #[template(path = $path)]
        struct $type<'a> {
            $field: &'a $inner,
        }

        impl HtmlSafe for $type<'_> {}
    };
}

part!(BadgePart, "report/render/html/badge.html", badge: Badge);
part!(CellPart, "report/render/html/cell.html", cell: Cell);
part!(FactsPart, "report/render/html/facts.html", facts: [Fact]);
part!(TablePart, "report/render/html/table.html", table: Table);
part!(DrawingPart, "report/render/html/drawing.svg", drawing: Drawing);

impl Badge {
    fn html(&self) -> BadgePart<'_> {
        BadgePart { badge: self }
    }

    fn class(&self) -> &'static str {
        match self.status {
            Status::Fail => "fail",
            Status::Unknown => "unknown",
            Status::Pass => "pass",
            Status::NotApplicable => "none",
        }
    }
}

impl Cell {
    fn html(&self) -> CellPart<'_> {
        CellPart { cell: self }
    }
}

impl Table {
    fn html(&self) -> TablePart<'_> {
        TablePart { table: self }
    }
}

impl Drawing {
    fn svg(&self) -> DrawingPart<'_> {
        DrawingPart { drawing: self }
    }
}

impl Anchor {
    fn css(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

fn facts(facts: &[Fact]) -> FactsPart<'_> {
    FactsPart { facts }
}
