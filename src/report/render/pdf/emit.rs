//! Writing what was composed.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};
use krilla::{
    Document, SerializeSettings,
    annotation::{Annotation, LinkAnnotation, Target},
    color::rgb,
    configure::{Accessibility, Archival, ConfigurationBuilder},
    destination::{Destination, XyzDestination},
    geom::{PathBuilder, Point, Rect},
    metadata::{DateTime, Metadata},
    outline::{Outline, OutlineNode},
    page::PageSettings,
    paint::Fill,
    surface::Surface,
    tagging::{Artifact, ArtifactType, ContentTag, Identifier, Node as Tagged, TagGroup, TagTree},
};

use super::{
    PdfError,
    sheets::{
        BODY, Ink, LEFT, Look, Mark, Node, PAGE_HEIGHT, PAGE_WIDTH, Part, Placed, ROOT, SOFT,
        Sheets, WIDTH,
    },
};
use crate::report::{
    model::Report,
    render::{page::Page, text::Shown},
};

/// Outlines are read by programs that have limits of their own.
const BOOKMARK_CHARACTERS: usize = 120;

pub(super) fn emit(mut sheets: Sheets, page: &Page, report: &Report) -> Result<Vec<u8>, PdfError> {
    let configuration = ConfigurationBuilder::new()
        .with_archival_validator(Archival::A2_A)
        .with_accessibility_validator(Accessibility::UA1)
        .finish()
        .map_err(|_| PdfError::Standards)?;
    let mut document = Document::new_with(SerializeSettings {
        configuration,
        ..SerializeSettings::default()
    });
    document.set_metadata(metadata(page, report));
    let targets = targets(&sheets);
    let mut written: HashMap<Part, Vec<Identifier>> = HashMap::new();
    let footer = Shown::text(&format!("{} · report {}", page.title, report.id));
    let footer = footer.as_str().replace('\n', " ");
    let all = sheets.sheets.len();
    for (index, sheet) in std::mem::take(&mut sheets.sheets).into_iter().enumerate() {
        let settings = PageSettings::from_wh(PAGE_WIDTH, PAGE_HEIGHT).ok_or(PdfError::Standards)?;
        let mut page = document.start_page_with(settings);
        let mut surface = page.surface();
        content(&mut surface, &sheet.placed, &mut written);
        let number = format!("{} of {all}", index + 1);
        foot(&mut sheets, &mut surface, &footer, &number);
        surface.finish();
        for link in sheet.links {
            let (Some((page_index, y)), (left, top, right, bottom)) =
                (targets.get(&link.target), link.rectangle)
            else {
                continue;
            };
            let Some(rectangle) = Rect::from_ltrb(left, top, right, bottom) else {
                continue;
            };
            let place = XyzDestination::new(*page_index, Point::from_xy(LEFT, y - 8.0));
            let target = Target::Destination(Destination::Xyz(place));
            let annotation = LinkAnnotation::new(rectangle, target);
            // Assistive programs want words of a link, also where a database has none.
            let words = if link.words.trim().is_empty() {
                link.target
            } else {
                link.words
            };
            let annotation = Annotation::new_link(annotation, Some(words));
            let identifier = page.add_tagged_annotation(annotation);
            written.entry(link.part).or_default().push(identifier);
        }
        page.finish();
    }
    document.set_outline(outline(&sheets));
    let mut tree = TagTree::new().with_lang(Some("en".to_owned()));
    if let Some(root) = group(&sheets.nodes, ROOT, &mut written) {
        tree.push(root);
    }
    document.set_tag_tree(tree);
    document
        .finish()
        .map_err(|error| PdfError::Invalid(Box::new(error)))
}

fn metadata(page: &Page, report: &Report) -> Metadata {
    // XMP is XML, which has no word for control characters.
    let cut = |text: &str| -> String {
        let shown = Shown::text(text);
        shown.as_str().chars().take(500).collect()
    };
    let program = &report.provenance;
    Metadata::new()
        .title(cut(page.title.as_str()))
        .language("en".to_owned())
        .creator(cut(&format!("{} {}", program.program, program.version)))
        .document_id(cut(&report.id))
        .creation_date(date(report.generated_at))
}

fn date(at: Timestamp) -> DateTime {
    let at = at.to_zoned(TimeZone::UTC);
    let part = |it: i8| u8::try_from(it).unwrap_or(0);
    DateTime::new(u16::try_from(at.year()).unwrap_or(0))
        .month(part(at.month()))
        .day(part(at.day()))
        .hour(part(at.hour()))
        .minute(part(at.minute()))
        .second(part(at.second()))
        .utc_offset_hour(0)
        .utc_offset_minute(0)
}

fn targets(sheets: &Sheets) -> HashMap<String, (usize, f32)> {
    let target = |it: &super::sheets::Bookmark| (it.anchor.clone(), (it.page, it.y));
    sheets.bookmarks.iter().map(target).collect()
}

fn outline(sheets: &Sheets) -> Outline {
    let mut outline = Outline::new();
    for it in &sheets.bookmarks {
        let place = XyzDestination::new(it.page, Point::from_xy(LEFT, it.y - 8.0));
        let words = it.words.replace('\n', " ");
        let words = words.chars().take(BOOKMARK_CHARACTERS).collect();
        outline.push_child(OutlineNode::new(words, place));
    }
    outline
}

/// What follows each other and belongs together is one piece of content.
fn content(
    surface: &mut Surface<'_>,
    placed: &[Placed],
    written: &mut HashMap<Part, Vec<Identifier>>,
) {
    for piece in placed.chunk_by(|a, b| a.part == b.part) {
        let part = piece[0].part;
        let identifier = surface.start_tagged(match part {
            Some(_) => ContentTag::Other,
            None => ContentTag::Artifact(Artifact::with_kind(ArtifactType::Layout)),
        });
        for placed in piece {
            draw(surface, &placed.mark);
        }
        surface.end_tagged();
        if let Some(part) = part {
            written.entry(part).or_default().push(identifier);
        }
    }
}

/// The page's number, and whose page it is.
fn foot(sheets: &mut Sheets, surface: &mut Surface<'_>, words: &str, number: &str) {
    let look = Look {
        size: 8.0,
        ink: SOFT,
        ..BODY
    };
    surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(
        ArtifactType::Footer,
    )));
    let baseline = PAGE_HEIGHT - 34.0;
    let mut set = |text: &str, width: f32, is_right: bool| {
        let Some(line) = sheets.lines(look, text, width).into_iter().next() else {
            return;
        };
        let x = match is_right {
            true => LEFT + WIDTH - line.width * look.size,
            false => LEFT,
        };
        draw(
            surface,
            &Mark::Line {
                x,
                baseline,
                line,
                look,
            },
        );
    };
    set(words, WIDTH - 70.0, false);
    set(number, 70.0, true);
    surface.end_tagged();
}

fn draw(surface: &mut Surface<'_>, mark: &Mark) {
    match mark {
        Mark::Rectangle {
            x,
            y,
            width,
            height,
            ink,
        } => {
            let mut path = PathBuilder::new();
            if let Some(it) = Rect::from_xywh(*x, *y, *width, *height) {
                path.push_rect(it);
            }
            if let Some(path) = path.finish() {
                surface.set_fill(Some(fill(*ink)));
                surface.draw_path(&path);
            }
        }
        Mark::Line {
            x,
            baseline,
            line,
            look,
        } => {
            surface.set_fill(Some(fill(look.ink)));
            for (at, word) in &line.words {
                let mut x = x + at * look.size;
                for run in word.runs.iter() {
                    let start = Point::from_xy(x, *baseline);
                    let font = run.font.clone();
                    surface.draw_glyphs(start, &run.glyphs, font, &run.text, look.size, false);
                    x += run.width * look.size;
                }
            }
        }
    }
}

fn fill(Ink(red, green, blue): Ink) -> Fill {
    Fill {
        paint: rgb::Color::new(red, green, blue).into(),
        ..Fill::default()
    }
}

/// The structure below a node, without what has no content.
fn group(
    nodes: &[Node],
    part: Part,
    written: &mut HashMap<Part, Vec<Identifier>>,
) -> Option<TagGroup> {
    let node = &nodes[part];
    let mut children: Vec<Tagged> = Vec::new();
    for child in &node.children {
        if nodes[*child].is_leaf {
            let identifiers = written.remove(child).unwrap_or_default();
            children.extend(identifiers.into_iter().map(Tagged::from));
        } else {
            children.extend(group(nodes, *child, written).map(Tagged::from));
        }
    }
    // An empty cell is a cell all the same.
    (!children.is_empty() || is_cell(node))
        .then(|| TagGroup::with_children(node.tag.clone(), children))
}

fn is_cell(node: &Node) -> bool {
    use krilla::tagging::TagKind;
    matches!(node.tag, TagKind::TD(_) | TagKind::TH(_))
}
