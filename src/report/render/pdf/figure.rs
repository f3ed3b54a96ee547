//! Charts: the shapes that HTML draws too.

use krilla::tagging::Tag;

use super::{
    font::Style,
    sheets::{BODY, INK, Ink, LEFT, Look, Mark, Part, SOFT, Sheets, WIDTH},
    table::{Grid, table},
};
use crate::report::render::{
    chart::{Anchor, COLOURS, Drawing, Shape},
    page::Figure,
};

/// As in the stylesheet.
const COLOUR: [Ink; COLOURS] = [
    Ink(0x1f, 0x5f, 0xa8),
    Ink(0xc2, 0x5e, 0x00),
    Ink(0x3b, 0x7f, 0x4b),
    Ink(0x8a, 0x4b, 0x9e),
    Ink(0x8a, 0x6d, 0x00),
    Ink(0x66, 0x71, 0x7d),
];
const GRID: Ink = Ink(0xe3, 0xe7, 0xeb);

/// Sets a chart with its title, its legend and the table of its values.
pub(super) fn figure(sheets: &mut Sheets, parent: Part, figure: &Figure) {
    let bold = Look {
        style: Style::Bold,
        size: 8.8,
        ..BODY
    };
    sheets.gap(9.0);
    let scale = figure.drawing.as_ref().map_or(0.0, |it| WIDTH / it.width);
    let height = figure.drawing.as_ref().map_or(0.0, |it| it.height * scale);
    sheets.need(height + 60.0);
    let title = sheets.part(parent, Tag::P);
    let leaf = sheets.leaf(title);
    sheets.text(LEFT, WIDTH, bold, figure.title.as_str(), leaf);
    match &figure.drawing {
        Some(drawing) => {
            let alt = format!("{}. {}", figure.title, figure.description);
            let part = sheets.part(parent, Tag::Figure(Some(alt)));
            let leaf = sheets.leaf(part);
            draw(sheets, drawing, scale, leaf);
            sheets.y += height;
            legend(sheets, parent, figure);
        }
        None => {
            let part = sheets.part(parent, Tag::P);
            let leaf = sheets.leaf(part);
            let look = Look { ink: SOFT, ..BODY };
            sheets.text(
                LEFT,
                WIDTH,
                look,
                "Nothing to draw: no value is above zero.",
                leaf,
            );
        }
    }
    table(sheets, parent, &Grid::of(&figure.table));
}

fn draw(sheets: &mut Sheets, drawing: &Drawing, scale: f32, part: Part) {
    let top = sheets.y;
    let look = Look {
        style: Style::Regular,
        size: 11.0 * scale,
        ink: SOFT,
    };
    let mut rectangle = |x: f32, y: f32, width: f32, height: f32, ink| {
        let mark = Mark::Rectangle {
            x: LEFT + x * scale,
            y: top + y * scale,
            width: width * scale,
            height: height * scale,
            ink,
        };
        sheets.place(mark, Some(part));
    };
    let mut labels = Vec::new();
    for shape in &drawing.shapes {
        match shape {
            Shape::Line { from, to, is_axis } => {
                let ink = if *is_axis { SOFT } else { GRID };
                let (width, height) = ((to.0 - from.0).abs(), (to.1 - from.1).abs());
                let (x, y) = (from.0.min(to.0), from.1.min(to.1));
                rectangle(x, y, width.max(0.8), height.max(0.8), ink);
            }
            Shape::Bar {
                x,
                y,
                width,
                height,
                colour,
                ..
            } => {
                // What is between bars on top of each other is paper.
                let height = if *height > 1.5 { height - 0.6 } else { *height };
                rectangle(*x, y + 0.3, *width, height, COLOUR[colour % COLOURS]);
            }
            Shape::Label { x, y, anchor, text } => labels.push((*x, *y, *anchor, text)),
        }
    }
    for (x, baseline, anchor, text) in labels {
        let Some(line) = sheets
            .lines(look, text.as_str(), f32::MAX)
            .into_iter()
            .next()
        else {
            continue;
        };
        let width = line.width * look.size;
        let x = LEFT + x * scale
            - match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => width / 2.0,
                Anchor::End => width,
            };
        let baseline = top + baseline * scale;
        let mark = Mark::Line {
            x,
            baseline,
            line,
            look,
        };
        sheets.place(mark, Some(part));
    }
}

fn legend(sheets: &mut Sheets, parent: Part, figure: &Figure) {
    let part = sheets.part(parent, Tag::P);
    let leaf = sheets.leaf(part);
    let look = Look {
        size: 8.2,
        ink: INK,
        ..BODY
    };
    sheets.y += 3.0;
    let mut x = LEFT;
    for (colour, name) in &figure.legend {
        let words = name.as_str().replace('\n', " ");
        let line = sheets.lines(look, &words, WIDTH - 30.0).into_iter().next();
        let line = line.unwrap_or_default();
        let width = line.width * look.size + 22.0;
        if x + width > LEFT + WIDTH && x > LEFT {
            x = LEFT;
            sheets.y += look.leading();
        }
        let y = sheets.y;
        let mark = Mark::Rectangle {
            x,
            y: y + 2.2,
            width: 6.5,
            height: 6.5,
            ink: COLOUR[colour % COLOURS],
        };
        sheets.place(mark, None);
        sheets.line_at(x + 9.5, y, line, look, Some(leaf));
        x += width;
    }
    sheets.y += look.leading();
}
