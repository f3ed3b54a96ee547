//! PDF: A4, tagged, PDF/A-2a and PDF/UA-1 as far as a program can check that. The same report gives the same bytes.

mod emit;
mod figure;
mod font;
mod lines;
mod sheets;
mod table;

use krilla::{
    error::KrillaError,
    tagging::{ListNumbering, Tag},
};

use self::{
    font::{Fonts, Style},
    sheets::{BODY, INK, Ink, LABEL, LEFT, Look, Mark, Part, ROOT, RULE, SOFT, Sheets, WIDTH},
    table::{Grid, Item, level},
};
use super::page::{Badge, Fact, Page, Section, Source};
use crate::report::model::{Report, Status};

/// Why there is no PDF.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// A mistake of this program's: they are part of it.
    #[error("the fonts cannot be read")]
    Fonts,
    /// It would not be what it says it is.
    #[error("the document is not PDF/A-2a and PDF/UA-1: {0:?}")]
    Invalid(Box<KrillaError>),
    /// There is more of it than PDF has numbers for.
    #[error("the standards that it is to meet exclude each other")]
    Standards,
}

/// The report as PDF.
///
/// # Errors
/// If it cannot be written so that it meets its standards.
pub fn pdf(report: &Report) -> Result<Vec<u8>, PdfError> {
    let page = Page::of(report);
    let mut sheets = Sheets::new(Fonts::load()?, Tag::Part.into());
    compose(&mut sheets, &page);
    emit::emit(sheets, &page, report)
}

fn compose(sheets: &mut Sheets, page: &Page) {
    let bold = |size| Look {
        style: Style::Bold,
        size,
        ..BODY
    };
    let kind = Look {
        ink: SOFT,
        ..bold(10.0)
    };
    paragraph(sheets, ROOT, kind, page.kind.as_str());
    heading(sheets, ROOT, 1, bold(22.0), page.organization.as_str());
    sheets.y += 8.0;
    facts(sheets, ROOT, LEFT, &page.about);
    sheets.y += 8.0;
    paragraph(sheets, ROOT, LABEL, page.disclaimer.as_str());
    sheets.y += 8.0;
    let y = sheets.y;
    sheets.rule(y, 2.0, INK);
    sheets.y += 10.0;

    chapter(sheets, "Summary", "summary");
    counts(sheets, page);
    table::table(sheets, ROOT, &Grid::of(&page.guide));
    sheets.gap(14.0);
    chapter(sheets, "Controls", "index");
    index(sheets, page);
    for section in &page.sections {
        control(sheets, section);
    }
    sheets.gap(18.0);
    chapter(sheets, "Provenance", "provenance");
    facts(sheets, ROOT, LEFT, &page.provenance);
}

fn chapter(sheets: &mut Sheets, words: &str, anchor: &str) {
    sheets.need(90.0);
    sheets.bookmark(words, anchor);
    let look = Look {
        style: Style::Bold,
        size: 14.0,
        ..BODY
    };
    heading(sheets, ROOT, 2, look, words);
    sheets.y += 5.0;
}

fn heading(sheets: &mut Sheets, parent: Part, depth: u16, look: Look, words: &str) {
    // Assistive programs want a title of a heading, also where a database has none.
    let title = if words.trim().is_empty() {
        "–"
    } else {
        words
    };
    let title_cut: String = title.chars().take(200).collect();
    let part = sheets.part(parent, Tag::Hn(level(depth), Some(title_cut)));
    let leaf = sheets.leaf(part);
    sheets.text(LEFT, WIDTH, look, title, leaf);
}

fn paragraph(sheets: &mut Sheets, parent: Part, look: Look, words: &str) {
    if words.trim().is_empty() {
        return;
    }
    let part = sheets.part(parent, Tag::P);
    let leaf = sheets.leaf(part);
    sheets.text(LEFT, WIDTH, look, words, leaf);
}

/// Names on the left, what they are on the right.
fn facts(sheets: &mut Sheets, parent: Part, left: f32, facts: &[Fact]) {
    if facts.is_empty() {
        return;
    }
    let list = sheets.part(parent, Tag::L(ListNumbering::None));
    for fact in facts {
        let item = sheets.part(list, Tag::LI);
        let label = sheets.part(item, Tag::Lbl);
        let label = sheets.leaf(label);
        let body = sheets.part(item, Tag::LBody);
        let body = sheets.leaf(body);
        sheets.need(BODY.leading());
        let y = sheets.y;
        if let Some(line) = sheets.lines(LABEL, fact.label, 110.0).into_iter().next() {
            sheets.line_at(left, y, line, LABEL, Some(label));
        }
        let look = match fact.is_code {
            true => Look {
                style: Style::Mono,
                size: 8.2,
                ..BODY
            },
            false => BODY,
        };
        let (x, width) = (left + 118.0, WIDTH + LEFT - left - 118.0);
        let words = if fact.shown.is_empty() {
            "–"
        } else {
            fact.shown.as_str()
        };
        sheets.text(x, width, look, words, body);
        sheets.y += 2.0;
    }
}

/// How many controls have which status.
fn counts(sheets: &mut Sheets, page: &Page) {
    let list = sheets.part(ROOT, Tag::L(ListNumbering::None));
    let width = WIDTH / page.counts.len() as f32;
    let number = Look {
        style: Style::Bold,
        size: 18.0,
        ..BODY
    };
    sheets.rule(sheets.y, 0.6, RULE);
    let top = sheets.y + 6.0;
    for (index, (it, count)) in page.counts.iter().enumerate() {
        let item = sheets.part(list, Tag::LI);
        let body = sheets.part(item, Tag::LBody);
        let leaf = sheets.leaf(body);
        let x = LEFT + width * index as f32;
        if let Some(line) = sheets.lines(number, count, width).into_iter().next() {
            sheets.line_at(x, top, line, number, Some(leaf));
        }
        badge(sheets, x, top + 25.0, 8.2, *it, leaf);
    }
    sheets.y = top + 43.0;
    sheets.rule(sheets.y, 0.6, RULE);
    sheets.y += 2.0;
}

fn index(sheets: &mut Sheets, page: &Page) {
    let numbers: Vec<_> = page
        .sections
        .iter()
        .map(|it| it.number.to_string())
        .collect();
    let criteria: Vec<_> = page
        .sections
        .iter()
        .map(|it| {
            let ids: Vec<_> = it.criteria.iter().map(|(id, _)| id.as_str()).collect();
            ids.join(", ")
        })
        .collect();
    let rows = page.sections.iter().enumerate().map(|(index, section)| {
        vec![
            Item::Text(&numbers[index]),
            Item::Link(section.title.as_str(), &section.anchor),
            Item::Badge(section.badge),
            Item::Text(&criteria[index]),
        ]
    });
    let grid = Grid {
        title: "Index of controls",
        extent: "evidence for a criterion does not say that it is met",
        columns: vec![
            ("No.", true),
            ("Control", false),
            ("Status", false),
            ("Evidence for", false),
        ],
        rows: rows.collect(),
        header: 1,
        is_full: true,
    };
    table::table(sheets, ROOT, &grid);
}

fn control(sheets: &mut Sheets, section: &Section) {
    let part = sheets.part(ROOT, Tag::Section);
    sheets.gap(16.0);
    sheets.need(130.0);
    sheets.rule(sheets.y, 0.6, RULE);
    sheets.y += 9.0;
    let words = format!("{}  {}", section.number, section.title);
    sheets.bookmark(&words, &section.anchor);
    let look = Look {
        style: Style::Bold,
        size: 13.0,
        ..BODY
    };
    heading(sheets, part, 2, look, &words);
    sheets.y += 3.0;
    let status = sheets.part(part, Tag::P);
    let leaf = sheets.leaf(status);
    let y = sheets.y;
    badge(sheets, LEFT, y, 8.8, section.badge, leaf);
    sheets.y += 19.0;
    facts(sheets, part, LEFT, &section.said);
    if !section.criteria.is_empty() {
        subheading(sheets, part, "Evidence for");
        let list = sheets.part(part, Tag::L(ListNumbering::None));
        for (id, about) in &section.criteria {
            let item = sheets.part(list, Tag::LI);
            let body = sheets.part(item, Tag::LBody);
            let leaf = sheets.leaf(body);
            sheets.text(LEFT, WIDTH, BODY, &format!("{id}  {about}"), leaf);
        }
    }
    if section.measured.is_some() || !section.figures.is_empty() || !section.tables.is_empty() {
        subheading(sheets, part, "Evidence");
    }
    if let Some(measured) = &section.measured {
        let grid = Grid {
            is_full: false,
            ..Grid::of(measured)
        };
        table::table(sheets, part, &grid);
    }
    for it in &section.figures {
        figure::figure(sheets, part, it);
    }
    for it in &section.tables {
        table::table(sheets, part, &Grid::of(it));
    }
    if !section.obtained.is_empty() {
        subheading(sheets, part, "How it was obtained");
        for it in &section.obtained {
            source(sheets, part, it);
        }
    }
}

fn subheading(sheets: &mut Sheets, part: Part, words: &str) {
    sheets.gap(9.0);
    sheets.need(60.0);
    let look = Look {
        style: Style::Bold,
        size: 10.5,
        ..BODY
    };
    heading(sheets, part, 3, look, words);
    sheets.y += 2.0;
}

fn source(sheets: &mut Sheets, part: Part, source: &Source) {
    sheets.need(50.0);
    let origin = Look {
        style: Style::Bold,
        size: 9.0,
        ..BODY
    };
    let query = Look {
        style: Style::Mono,
        size: 7.8,
        ..BODY
    };
    paragraph(sheets, part, origin, source.origin);
    sheets.y += 1.0;
    paragraph(sheets, part, query, source.query.as_str());
    sheets.y += 2.0;
    facts(sheets, part, LEFT, &source.facts);
    sheets.gap(5.0);
}

/// A status in its colours, with its sign and its word: the colours say nothing that these do not.
fn badge(sheets: &mut Sheets, x: f32, y: f32, size: f32, badge: Badge, part: Part) {
    let (ink, wash) = match badge.status {
        Status::Pass => (Ink(0x17, 0x64, 0x2f), Ink(0xe6, 0xf3, 0xe9)),
        Status::Fail => (Ink(0xa1, 0x1c, 0x15), Ink(0xfb, 0xe9, 0xe7)),
        Status::Unknown => (Ink(0x7a, 0x4f, 0x00), Ink(0xfb, 0xf1, 0xd9)),
        Status::NotApplicable => (SOFT, Ink(0xee, 0xf1, 0xf4)),
    };
    let look = Look {
        style: Style::Bold,
        size: size - 0.4,
        ink,
    };
    let words = format!("{} {}", badge.sign, badge.word);
    let Some(line) = sheets.lines(look, &words, WIDTH).into_iter().next() else {
        return;
    };
    let width = line.width * look.size + 8.0;
    let height = look.leading();
    let mut rectangle = |inset: f32, ink| {
        let mark = Mark::Rectangle {
            x: x + inset,
            y: y - 0.6 + inset,
            width: width - 2.0 * inset,
            height: height - 2.0 * inset,
            ink,
        };
        sheets.place(mark, None);
    };
    rectangle(0.0, ink);
    rectangle(0.5, wash);
    sheets.line_at(x + 4.0, y - 0.2, line, look, Some(part));
}
