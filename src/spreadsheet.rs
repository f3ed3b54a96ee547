//! Texts that spreadsheets open: none of them may be taken for a formula.

use std::borrow::Cow;

/// A text that no spreadsheet takes for a formula (<https://owasp.org/www-community/attacks/CSV_Injection>): where its first
/// character could begin one, an apostrophe goes before it, and before an apostrophe as well. So whoever takes one apostrophe
/// away from the front of each text that has one has the exact text again.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    match text.chars().next() {
        Some(first) if begins_formula(first) => format!("'{text}").into(),
        _ => text.into(),
    }
}

fn begins_formula(first: char) -> bool {
    matches!(
        first,
        '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠' | '\''
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula_and_each_can_be_had_back() {
        for text in [
            "=1+1", "+1", "-5", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'x", "a=1", "",
        ] {
            let cell = harmless(text);
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝']));
            assert_eq!(cell.strip_prefix('\'').unwrap_or(&cell), text);
        }
    }
}
