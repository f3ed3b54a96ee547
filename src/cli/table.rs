//! Tables for people. Texts from outside are shown without the control characters that a terminal would obey.

use std::fmt::Write as _;
use std::io::{self, Write};

use anstyle::Style;

const HEAD: Style = Style::new().dimmed();
const GAP: &str = "  ";
/// A text and how it looks.
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn styled(text: &str, style: Style) -> Self {
        let text = visible(text).replace('\n', " ");
        Self { text, style }
    }

    /// The text's first `max` characters, if it has more.
    pub(super) fn cut(text: &str, max: usize) -> Self {
        let mut cell = Self::from(text);
        if let Some((end, _)) = cell.text.char_indices().nth(max) {
            cell.text.truncate(end);
            cell.text.pop();
            cell.text.push('…');
        }
        cell
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text.as_ref(), Style::new())
    }
}

/// Writes rows below headings, each column as wide as its widest cell.
pub(super) fn table<const N: usize>(
    out: &mut dyn Write,
    head: [&str; N],
    rows: &[[Cell; N]],
) -> io::Result<()> {
    let head = head.map(|text| Cell::styled(text, HEAD));
    let width = |column: usize| {
        let widths = rows.iter().chain([&head]).map(|row| row[column].width());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    for row in [&head].into_iter().chain(rows) {
        for (column, Cell { text, style }) in row.iter().enumerate() {
            if column + 1 == N {
                writeln!(out, "{style}{text}{style:#}")?;
            } else {
                // The escapes of the style have no width.
                let room = widths[column] - row[column].width();
                write!(out, "{style}{text}{style:#}{:room$}{GAP}", "")?;
            }
        }
    }
    Ok(())
}

/// The text with its control characters, but for line ends, written out.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' {
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;

    use super::*;

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let red = AnsiColor::Red.on_default();
        let rows = [
            ["a".into(), Cell::styled("dead", red), Cell::cut("x", 1)],
            ["Ωmega".into(), "ok".into(), Cell::cut(&"y".repeat(80), 60)],
            ["\u{1b}[2J".into(), "".into(), "two\nlines".into()],
        ];
        let mut out = anstream::StripStream::new(Vec::new());
        table(&mut out, ["ID", "STATE", "REST"], &rows).expect("write to memory");
        let text = String::from_utf8(out.into_inner()).expect("UTF-8");
        let long = format!("{}…", "y".repeat(59));
        assert_eq!(
            text,
            format!(
                "ID         STATE  REST\na          dead   x\nΩmega      ok     {long}\n\
                 \\u{{1b}}[2J         two lines\n"
            )
        );
    }
}
