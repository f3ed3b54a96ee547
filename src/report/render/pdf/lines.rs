//! Text in lines of a width.

use super::font::{Fonts, Style, Word};

/// A line: words, and where each begins, at size 1 from the line's left.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    pub(super) words: Vec<(f32, Word)>,
    pub(super) width: f32,
}

/// Breaks text at spaces and line ends, and within words that are too wide. `width` is in units of the size of letters.
pub(super) fn broken(fonts: &mut Fonts, style: Style, text: &str, width: f32) -> Vec<Line> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = Vec::new();
        let mut used = 0.0;
        // Each word has the space behind it, which the next line does not need.
        for piece in paragraph.split_inclusive(' ') {
            let bare = fonts.word(style, piece.trim_end_matches(' '));
            if used + bare.width > width && used > 0.0 {
                lines.push(set(std::mem::take(&mut line)));
                used = 0.0;
            }
            if bare.width > width {
                for part in parts(fonts, style, piece, width) {
                    if used + part.width > width && used > 0.0 {
                        lines.push(set(std::mem::take(&mut line)));
                        used = 0.0;
                    }
                    used += part.width;
                    line.push(part);
                }
                continue;
            }
            let word = fonts.word(style, piece);
            used += word.width;
            line.push(word);
        }
        lines.push(set(line));
    }
    lines
}

/// The width of the widest line, and of the widest word, if nothing is broken that need not be.
pub(super) fn widths(fonts: &mut Fonts, style: Style, text: &str) -> (f32, f32) {
    let (mut line, mut word) = (0f32, 0f32);
    for paragraph in text.split('\n') {
        let mut used = 0.0;
        for piece in paragraph.split_inclusive(' ') {
            used += fonts.word(style, piece).width;
            let bare = piece.trim_end_matches(' ');
            word = word.max(fonts.word(style, bare).width);
        }
        line = line.max(used);
    }
    (line, word)
}

/// A word in parts that fit.
fn parts(fonts: &mut Fonts, style: Style, text: &str, width: f32) -> Vec<Word> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut used = 0.0;
    for character in text.chars() {
        let mut buffer = [0; 4];
        let wide = fonts.word(style, character.encode_utf8(&mut buffer)).width;
        if used + wide > width && !part.is_empty() {
            parts.push(fonts.word(style, &std::mem::take(&mut part)));
            used = 0.0;
        }
        part.push(character);
        used += wide;
    }
    if !part.is_empty() {
        parts.push(fonts.word(style, &part));
    }
    parts
}

/// Gives each word its place. Words that follow each other from right to left change places.
fn set(mut words: Vec<Word>) -> Line {
    let mut start = 0;
    while start < words.len() {
        let is_rtl = words[start].is_rtl;
        let count = words[start..]
            .iter()
            .take_while(|it| it.is_rtl == is_rtl)
            .count();
        if is_rtl {
            words[start..start + count].reverse();
        }
        start += count;
    }
    let mut width = 0.0;
    let place = |word: Word| {
        let at = width;
        width += word.width;
        (at, word)
    };
    let words: Vec<_> = words.into_iter().map(place).collect();
    Line { words, width }
}
