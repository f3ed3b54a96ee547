//! Letters: which font has a character, how wide words are, where glyphs stand.
//!
//! The fonts are embedded, as PDF/A wants it. What none of them has a shape for is written as its number, `[U+4E2D]`: an empty box
//! tells nothing, and PDF/A forbids it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;

use krilla::text::{Font, GlyphId, KrillaGlyph};
use rustybuzz::{Direction, Face, UnicodeBuffer};

use super::PdfError;

/// Which letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Style {
    Regular,
    Bold,
    /// Of one width.
    Mono,
}

const FILES: [&[u8]; 4] = [
    include_bytes!("../fonts/SourceSans3-Regular.ttf"),
    include_bytes!("../fonts/SourceSans3-SemiBold.ttf"),
    include_bytes!("../fonts/SourceCodePro-Regular.ttf"),
    include_bytes!("../fonts/DejaVuSans.ttf"),
];
/// Has what the others lack: Arabic, Hebrew, signs.
const FALLBACK: usize = 3;

struct Loaded {
    font: Font,
    face: Face<'static>,
}

/// Glyphs of one font and direction.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) font: Font,
    pub(super) glyphs: Vec<KrillaGlyph>,
    pub(super) text: String,
    /// Its width at size 1.
    pub(super) width: f32,
}

/// A word, or a piece of one.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) runs: Rc<Vec<Run>>,
    /// Its width at size 1.
    pub(super) width: f32,
    /// It is read from right to left.
    pub(super) is_rtl: bool,
}

/// The fonts, and the words that were shaped already.
pub(super) struct Fonts {
    fonts: Vec<Loaded>,
    words: HashMap<(Style, String), Word>,
}

impl Fonts {
    pub(super) fn load() -> Result<Self, PdfError> {
        let load = |bytes: &'static [u8]| {
            let font = Font::new(bytes.into(), 0)?;
            let face = Face::from_slice(bytes, 0)?;
            Some(Loaded { font, face })
        };
        let fonts: Option<Vec<_>> = FILES.into_iter().map(load).collect();
        Ok(Self {
            fonts: fonts.ok_or(PdfError::Fonts)?,
            words: HashMap::new(),
        })
    }

    /// Shapes a word. Spaces in it are as wide as they are.
    pub(super) fn word(&mut self, style: Style, text: &str) -> Word {
        let key = (style, text.to_owned());
        if let Some(word) = self.words.get(&key) {
            return word.clone();
        }
        let word = self.shaped(style, text);
        self.words.insert(key, word.clone());
        word
    }

    fn shaped(&self, style: Style, text: &str) -> Word {
        let mut runs = Vec::new();
        for (font, is_rtl, text) in self.split(style, text) {
            match self.run(font, is_rtl, &text) {
                Some(run) => runs.push(run),
                // A shape is missing that the font's table of characters promised.
                None => {
                    let numbers: String = text.chars().map(number).collect();
                    runs.extend(self.run(style as usize, false, &numbers));
                }
            }
        }
        let is_rtl = text.chars().any(is_rtl) && !text.chars().any(|it| it.is_ascii_alphabetic());
        if is_rtl {
            runs.reverse();
        }
        let width = runs.iter().map(|it| it.width).sum();
        Word {
            runs: Rc::new(runs),
            width,
            is_rtl,
        }
    }

    /// Pieces of one font and direction each.
    fn split(&self, style: Style, text: &str) -> Vec<(usize, bool, String)> {
        let mut pieces: Vec<(usize, bool, String)> = Vec::new();
        for character in text.chars() {
            let own = style as usize;
            let (font, shown) = match character {
                _ if is_private(character) => (own, number(character)),
                _ if self.has(own, character) => (own, character.to_string()),
                _ if self.has(FALLBACK, character) => (FALLBACK, character.to_string()),
                _ => (own, number(character)),
            };
            let is_rtl = shown.chars().any(is_rtl);
            match pieces.last_mut() {
                Some((last, direction, piece)) if (*last, *direction) == (font, is_rtl) => {
                    piece.push_str(&shown);
                }
                _ => pieces.push((font, is_rtl, shown)),
            }
        }
        pieces
    }

    fn has(&self, font: usize, character: char) -> bool {
        self.fonts[font].face.glyph_index(character).is_some()
    }

    /// Shapes; `None` if a shape is missing.
    fn run(&self, font: usize, is_rtl: bool, text: &str) -> Option<Run> {
        let Loaded { font, face } = &self.fonts[font];
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        buffer.set_direction(match is_rtl {
            true => Direction::RightToLeft,
            false => Direction::LeftToRight,
        });
        let shaped = rustybuzz::shape(face, &[], buffer);
        let scale = 1.0 / face.units_per_em() as f32;
        let infos = shaped.glyph_infos();
        let mut ends: Vec<usize> = infos.iter().map(|it| it.cluster as usize).collect();
        ends.push(text.len());
        ends.sort_unstable();
        let mut glyphs = Vec::with_capacity(infos.len());
        let mut width = 0.0;
        for (info, at) in infos.iter().zip(shaped.glyph_positions()) {
            if info.glyph_id == 0 {
                return None;
            }
            let start = info.cluster as usize;
            let end = *ends.iter().find(|it| **it > start)?;
            let advance = at.x_advance as f32 * scale;
            width += advance;
            glyphs.push(KrillaGlyph::new(
                GlyphId::new(info.glyph_id),
                advance,
                at.x_offset as f32 * scale,
                at.y_offset as f32 * scale,
                0.0,
                start..end,
                None,
            ));
        }
        Some(Run {
            font: font.clone(),
            glyphs,
            text: text.to_owned(),
            width,
        })
    }
}

fn number(character: char) -> String {
    let mut text = String::new();
    let _ = write!(text, "[U+{:04X}]", u32::from(character));
    text
}

/// Has no meaning that others know; PDF/A forbids it.
fn is_private(character: char) -> bool {
    matches!(character, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..)
}

/// Letters that are read from right to left: Hebrew, Arabic and their relatives.
fn is_rtl(character: char) -> bool {
    matches!(
        character,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}'
    )
}
