//! Pages as they are composed: what is drawn where, and which part of the document's structure it belongs to.
//!
//! Nothing is written before everything has its place: a page's number is told with the count of all, and links go forwards.

use krilla::tagging::TagKind;

use super::{
    font::{Fonts, Style},
    lines::{Line, broken},
};

/// A4, in points.
pub(super) const PAGE_WIDTH: f32 = 595.28;
pub(super) const PAGE_HEIGHT: f32 = 841.89;
pub(super) const LEFT: f32 = 50.0;
pub(super) const WIDTH: f32 = PAGE_WIDTH - 2.0 * LEFT;
const TOP: f32 = 52.0;
const BOTTOM: f32 = PAGE_HEIGHT - 60.0;

/// What colours mean; light only, as paper is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ink(pub(super) u8, pub(super) u8, pub(super) u8);

pub(super) const INK: Ink = Ink(0x15, 0x19, 0x1e);
pub(super) const SOFT: Ink = Ink(0x56, 0x61, 0x6d);
pub(super) const RULE: Ink = Ink(0xd3, 0xd9, 0xdf);

/// How text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) style: Style,
    pub(super) size: f32,
    pub(super) ink: Ink,
}

impl Look {
    /// From one line to the next.
    pub(super) fn leading(self) -> f32 {
        self.size * 1.38
    }
}

pub(super) const BODY: Look = Look {
    style: Style::Regular,
    size: 9.5,
    ink: INK,
};
pub(super) const LABEL: Look = Look { ink: SOFT, ..BODY };

/// A part of the document's structure.
pub(super) type Part = usize;

/// A node of the structure.
pub(super) struct Node {
    pub(super) tag: TagKind,
    pub(super) children: Vec<Part>,
    /// Whether it is content itself; then it has no children.
    pub(super) is_leaf: bool,
}

/// Something that is drawn.
pub(super) enum Mark {
    Line {
        x: f32,
        baseline: f32,
        line: Line,
        look: Look,
    },
    Rectangle {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        ink: Ink,
    },
}

/// One after another, from back to front.
pub(super) struct Placed {
    pub(super) mark: Mark,
    /// What it belongs to; nothing for what only decorates.
    pub(super) part: Option<Part>,
}

/// A place to click.
pub(super) struct Link {
    pub(super) rectangle: (f32, f32, f32, f32),
    pub(super) target: String,
    pub(super) part: Part,
    pub(super) words: String,
}

/// A page.
#[derive(Default)]
pub(super) struct Sheet {
    pub(super) placed: Vec<Placed>,
    pub(super) links: Vec<Link>,
}

/// An entry of the outline.
pub(super) struct Bookmark {
    pub(super) words: String,
    pub(super) anchor: String,
    pub(super) page: usize,
    pub(super) y: f32,
}

/// What is composed.
pub(super) struct Sheets {
    pub(super) fonts: Fonts,
    pub(super) sheets: Vec<Sheet>,
    pub(super) nodes: Vec<Node>,
    pub(super) bookmarks: Vec<Bookmark>,
    /// Where the next thing goes.
    pub(super) y: f32,
}

/// The structure's root.
pub(super) const ROOT: Part = 0;

impl Sheets {
    pub(super) fn new(fonts: Fonts, root: TagKind) -> Self {
        Self {
            fonts,
            sheets: vec![Sheet::default()],
            nodes: vec![Node {
                tag: root,
                children: Vec::new(),
                is_leaf: false,
            }],
            bookmarks: Vec::new(),
            y: TOP,
        }
    }

    /// Adds a node to the structure.
    pub(super) fn part(&mut self, parent: Part, tag: impl Into<TagKind>) -> Part {
        self.node(parent, tag.into(), false)
    }

    /// Adds a node with content.
    pub(super) fn leaf(&mut self, parent: Part) -> Part {
        self.node(parent, krilla::tagging::Tag::Span.into(), true)
    }

    fn node(&mut self, parent: Part, tag: TagKind, is_leaf: bool) -> Part {
        let part = self.nodes.len();
        self.nodes.push(Node {
            tag,
            children: Vec::new(),
            is_leaf,
        });
        self.nodes[parent].children.push(part);
        part
    }

    pub(super) fn page(&self) -> usize {
        self.sheets.len() - 1
    }

    /// How much is left of the page.
    pub(super) fn room(&self) -> f32 {
        BOTTOM - self.y
    }

    /// How much an empty page has.
    pub(super) const fn height() -> f32 {
        BOTTOM - TOP
    }

    pub(super) fn turn(&mut self) {
        self.sheets.push(Sheet::default());
        self.y = TOP;
    }

    /// Begins a page if less than this is left, unless it has just begun.
    pub(super) fn need(&mut self, height: f32) {
        if self.room() < height && self.y > TOP {
            self.turn();
        }
    }

    /// Leaves some room free, but not at the top of a page.
    pub(super) fn gap(&mut self, height: f32) {
        if self.y > TOP {
            self.y += height;
        }
    }

    pub(super) fn place(&mut self, mark: Mark, part: Option<Part>) {
        let page = self.page();
        self.sheets[page].placed.push(Placed { mark, part });
    }

    pub(super) fn rule(&mut self, y: f32, height: f32, ink: Ink) {
        self.place(
            Mark::Rectangle {
                x: LEFT,
                y,
                width: WIDTH,
                height,
                ink,
            },
            None,
        );
    }

    pub(super) fn lines(&mut self, look: Look, text: &str, width: f32) -> Vec<Line> {
        broken(&mut self.fonts, look.style, text, width / look.size)
    }

    /// Sets one line with its top at `y`.
    pub(super) fn line_at(&mut self, x: f32, y: f32, line: Line, look: Look, part: Option<Part>) {
        let baseline = y + look.size * 1.02;
        self.place(
            Mark::Line {
                x,
                baseline,
                line,
                look,
            },
            part,
        );
    }

    /// Sets text below what is there, over as many pages as it takes.
    pub(super) fn text(&mut self, x: f32, width: f32, look: Look, text: &str, part: Part) {
        for line in self.lines(look, text, width) {
            self.need(look.leading());
            let y = self.y;
            self.line_at(x, y, line, look, Some(part));
            self.y += look.leading();
        }
    }

    pub(super) fn bookmark(&mut self, words: &str, anchor: &str) {
        let (page, y) = (self.page(), self.y);
        self.bookmarks.push(Bookmark {
            words: words.to_owned(),
            anchor: anchor.to_owned(),
            page,
            y,
        });
    }
}
