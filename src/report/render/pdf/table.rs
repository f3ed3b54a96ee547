//! Tables over pages: heads come again on each, and only the first of them is part of the structure.

use std::num::NonZeroU16;

use krilla::tagging::{TableHeaderScope, Tag, TagKind};

use super::{
    badge,
    font::Style,
    lines::{Line, widths},
    sheets::{BODY, LEFT, Look, Part, RULE, SOFT, Sheets, WIDTH},
};
use crate::report::render::page::{Badge, Table, TableCell};

const GAP: f32 = 9.0;
const PAD: f32 = 2.6;
/// Rows after this one have no say in how wide columns are.
const ROWS_MEASURED: usize = 200;
/// A word may ask for as much; a longer one is broken.
const WORD_MAX: f32 = 110.0;

/// A table to set, of whatever it was made.
pub(super) struct Grid<'a> {
    pub(super) title: &'a str,
    pub(super) extent: &'a str,
    pub(super) columns: Vec<(&'a str, bool)>,
    pub(super) rows: Vec<Vec<Item<'a>>>,
    /// The column that names its row.
    pub(super) header: usize,
    /// Whether it is as wide as the page, however little it has.
    pub(super) is_full: bool,
}

/// What stands in a cell.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    Text(&'a str),
    Faint(&'a str),
    Badge(Badge),
    /// A text that leads to an anchor.
    Link(&'a str, &'a str),
}

impl<'a> Item<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Text(text) | Self::Faint(text) | Self::Link(text, _) => text,
            Self::Badge(badge) => badge.word,
        }
    }
}

impl<'a> Grid<'a> {
    pub(super) fn of(table: &'a Table) -> Self {
        let columns = table.columns.iter();
        let item = |cell: &'a TableCell| match cell {
            TableCell::Status(badge) => Item::Badge(*badge),
            TableCell::Value(cell) if cell.is_nothing() => Item::Faint(cell.shown.as_str()),
            TableCell::Value(cell) => Item::Text(cell.shown.as_str()),
        };
        Self {
            title: table.title.as_str(),
            extent: &table.extent,
            columns: columns.map(|it| (it.name.as_str(), it.is_number)).collect(),
            rows: table
                .rows
                .iter()
                .map(|row| row.iter().map(item).collect())
                .collect(),
            header: 0,
            is_full: true,
        }
    }
}

struct Setter<'a, 'g> {
    sheets: &'a mut Sheets,
    grid: &'a Grid<'g>,
    look: Look,
    head: Look,
    /// Left edges and widths.
    columns: Vec<(f32, f32)>,
}

/// Sets a table below what is there.
pub(super) fn table(sheets: &mut Sheets, parent: Part, grid: &Grid<'_>) {
    let size = if grid.columns.len() > 8 { 7.0 } else { 8.2 };
    let look = Look { size, ..BODY };
    let head = Look {
        style: Style::Bold,
        ink: SOFT,
        ..look
    };
    sheets.gap(9.0);
    // The title, the head and a row or two stay together.
    sheets.need(70.0);
    let part = sheets.part(parent, Tag::Table);
    caption(sheets, part, grid);
    let columns = columns(sheets, grid, look, head);
    let mut setter = Setter {
        sheets,
        grid,
        look,
        head,
        columns,
    };
    let thead = setter.sheets.part(part, Tag::THead);
    setter.head(Some(thead));
    let tbody = setter.sheets.part(part, Tag::TBody);
    for row in &grid.rows {
        setter.row(tbody, row);
    }
    if grid.rows.is_empty() {
        setter.empty(tbody);
    }
    setter.sheets.gap(4.0);
}

fn caption(sheets: &mut Sheets, part: Part, grid: &Grid<'_>) {
    let caption = sheets.part(part, Tag::Caption);
    let bold = Look {
        style: Style::Bold,
        size: 8.8,
        ..BODY
    };
    if !grid.title.trim().is_empty() {
        let leaf = sheets.leaf(caption);
        sheets.text(LEFT, WIDTH, bold, grid.title, leaf);
    }
    if !grid.extent.is_empty() {
        let leaf = sheets.leaf(caption);
        let faint = Look {
            size: 8.2,
            ink: SOFT,
            ..BODY
        };
        sheets.text(LEFT, WIDTH, faint, grid.extent, leaf);
    }
}

/// How wide columns are: as they need where that fits; else what their longest words take, and a share of the rest.
fn columns(sheets: &mut Sheets, grid: &Grid<'_>, look: Look, head: Look) -> Vec<(f32, f32)> {
    let count = grid.columns.len().max(1);
    let mut wanted = vec![(8f32, 8f32); count];
    let mut ask = |index: usize, look: Look, text: &str, more: f32| {
        let (line, word) = widths(&mut sheets.fonts, look.style, text);
        let (line, word) = (line * look.size + more, word * look.size + more);
        let (most, least) = &mut wanted[index];
        *most = most.max(line);
        *least = least.max(word.min(WORD_MAX));
    };
    for (index, (name, _)) in grid.columns.iter().enumerate() {
        ask(index, head, name, 0.5);
    }
    for row in grid.rows.iter().take(ROWS_MEASURED) {
        for (index, item) in row.iter().enumerate().take(count) {
            let more = if let Item::Badge(_) = item { 20.0 } else { 0.5 };
            ask(index, look, item.text(), more);
        }
    }
    let room = WIDTH - GAP * (count - 1) as f32;
    let most: f32 = wanted.iter().map(|it| it.0).sum();
    let least: f32 = wanted.iter().map(|it| it.1).sum();
    let width = |(line, word): (f32, f32)| {
        if most <= room {
            let share = if grid.is_full {
                (room - most) / count as f32
            } else {
                0.0
            };
            line + share
        } else if least <= room {
            word + (room - least) * (line - word) / (most - least).max(1.0)
        } else {
            word * room / least
        }
    };
    let mut x = LEFT;
    let mut edges = Vec::with_capacity(count);
    for it in wanted {
        let width = width(it);
        edges.push((x, width));
        x += width + GAP;
    }
    edges
}

impl Setter<'_, '_> {
    /// Sets the head; again without a part.
    fn head(&mut self, thead: Option<Part>) {
        let tr = thead.map(|it| self.sheets.part(it, Tag::TR));
        let look = self.head;
        let mut cells = Vec::new();
        for (index, (name, _)) in self.grid.columns.iter().enumerate() {
            let (_, width) = self.columns[index];
            cells.push(self.sheets.lines(look, name, width));
        }
        let count = cells.iter().map(Vec::len).max().unwrap_or(1);
        let y = self.sheets.y + PAD;
        for (index, lines) in cells.into_iter().enumerate() {
            let part = tr.map(|it| {
                let th = self.sheets.part(it, Tag::TH(TableHeaderScope::Column));
                self.sheets.leaf(th)
            });
            let down = (count - lines.len()) as f32 * look.leading();
            self.cell(index, y + down, lines, look, part);
        }
        self.sheets.y = y + count as f32 * look.leading() + PAD;
        let y = self.sheets.y;
        self.sheets.rule(y, 0.7, SOFT);
        self.sheets.y += 0.7;
    }

    fn cell(&mut self, index: usize, y: f32, lines: Vec<Line>, look: Look, part: Option<Part>) {
        let (left, width) = self.columns[index];
        for (number, line) in lines.into_iter().enumerate() {
            let x = match self.grid.columns.get(index) {
                Some((_, true)) => left + width - line.width * look.size,
                _ => left,
            };
            let y = y + number as f32 * look.leading();
            self.sheets.line_at(x, y, line, look, part);
        }
    }

    fn row(&mut self, tbody: Part, row: &[Item<'_>]) {
        let leading = self.look.leading();
        let mut cells: Vec<Vec<Line>> = Vec::new();
        for (index, item) in row.iter().enumerate() {
            let (_, width) = self.columns[index];
            cells.push(match item {
                Item::Badge(_) => Vec::new(),
                item => self.sheets.lines(self.look, item.text(), width),
            });
        }
        let mut count = cells.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let height = |count: usize| count as f32 * leading + 2.0 * PAD;
        if height(count) > self.sheets.room() && height(count) < Sheets::height() - 80.0 {
            self.turn();
        }
        let tr = self.sheets.part(tbody, Tag::TR);
        let parts: Vec<Part> = (0..row.len())
            .map(|index| {
                let tag: TagKind = match index == self.grid.header {
                    true => Tag::TH(TableHeaderScope::Row).into(),
                    false => Tag::TD.into(),
                };
                let cell = self.sheets.part(tr, tag);
                match row[index] {
                    Item::Link(..) => {
                        let link = self.sheets.part(cell, Tag::Link);
                        self.sheets.leaf(link)
                    }
                    _ => self.sheets.leaf(cell),
                }
            })
            .collect();
        // A row that no page holds goes on over the next.
        loop {
            let fitting = ((self.sheets.room() - 2.0 * PAD) / leading)
                .floor()
                .max(1.0) as usize;
            let now = count.min(fitting);
            let y = self.sheets.y + PAD;
            for (index, item) in row.iter().enumerate() {
                let part = Some(parts[index]);
                if let Item::Badge(it) = item {
                    if cells[index].is_empty() {
                        let (x, _) = self.columns[index];
                        badge(self.sheets, x, y, self.look.size, *it, parts[index]);
                        // Once is enough.
                        cells[index].push(Line::default());
                    }
                    continue;
                }
                let cell = &mut cells[index];
                let rest = cell.split_off(now.min(cell.len()));
                let lines = std::mem::replace(cell, rest);
                if let Item::Link(words, target) = item {
                    self.link(index, y, lines.len(), words, target, parts[index]);
                }
                let look = match item {
                    Item::Faint(_) => Look {
                        ink: SOFT,
                        ..self.look
                    },
                    _ => self.look,
                };
                self.cell(index, y, lines, look, part);
            }
            self.sheets.y += height(now);
            count -= now;
            if count == 0 {
                break;
            }
            self.turn();
        }
        let y = self.sheets.y;
        self.sheets.rule(y, 0.4, RULE);
        self.sheets.y += 0.4;
    }

    fn link(&mut self, index: usize, y: f32, lines: usize, words: &str, target: &str, part: Part) {
        let (left, width) = self.columns[index];
        let height = lines as f32 * self.look.leading();
        let page = self.sheets.page();
        self.sheets.sheets[page].links.push(super::sheets::Link {
            rectangle: (left, y, left + width, y + height),
            target: target.to_owned(),
            part,
            words: words.to_owned(),
        });
    }

    fn empty(&mut self, tbody: Part) {
        let tr = self.sheets.part(tbody, Tag::TR);
        let td = self.sheets.part(tr, Tag::TD);
        let leaf = self.sheets.leaf(td);
        let look = Look {
            ink: SOFT,
            ..self.look
        };
        self.sheets.y += PAD;
        self.sheets.text(LEFT, WIDTH, look, "no rows", leaf);
        self.sheets.y += PAD;
    }

    fn turn(&mut self) {
        self.sheets.turn();
        self.head(None);
    }
}

/// The level of a heading.
pub(super) fn level(level: u16) -> NonZeroU16 {
    NonZeroU16::new(level).unwrap_or(NonZeroU16::MIN)
}
