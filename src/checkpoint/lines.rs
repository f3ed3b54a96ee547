//! What the line formats share: numbers and times in one spelling only, and words for bytes of any kind.

use jiff::Timestamp;

/// A number without sign, leading zeros or anything around it.
pub(super) fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    is_spelled(text, number).then_some(number)
}

/// An id: also negative, otherwise as [`number`].
pub(super) fn id(text: &str) -> Option<i64> {
    let id: i64 = text.parse().ok()?;
    is_spelled(text, id).then_some(id)
}

/// RFC 3339 in UTC, in the one spelling that we write: `2026-05-08T12:30:00Z`, with a fraction only if there is one.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let time: Timestamp = text.parse().ok()?;
    is_spelled(text, time).then_some(time)
}

fn is_spelled(text: &str, value: impl ToString) -> bool {
    value.to_string() == text
}

/// Whether text can be a line: not empty, and without control characters, which notes refuse.
pub(super) fn is_line(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte >= b' ')
}

/// Bytes of any kind as a word that cannot break a line or a field: letters, digits, `.`, `_` and `-` stand for
/// themselves, everything else as `%` and two upper-case digits of hex.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut word = String::with_capacity(bytes.len());
    for &byte in bytes {
        if is_plain(byte) {
            word.push(byte.into());
        } else {
            word.push_str(&format!("%{byte:02X}"));
        }
    }
    word
}

/// What [`escape`] wrote; `None` for anything that it would not have written so.
pub(super) fn unescape(word: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        let mut byte = *first;
        if byte == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            rest = behind;
            byte = u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        bytes.push(byte);
    }
    (escape(&bytes) == word).then_some(bytes)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}
