//! Strings as CPython's `json.dumps` writes them (`ensure_ascii=True`).
//!
//! Everything outside `0x20..=0x7e`, and `"` and `\`, is escaped; the five short escapes are used
//! where they exist, all else is `\uXXXX` in lower-case hex, beyond the BMP as a surrogate pair
//! (`Modules/_json.c`, `ascii_escape_unichar`).
//!
//! Trail text is mostly plain ASCII in runs of tens of bytes, so the work is done by runs: sixteen
//! bytes are classified at a time and whole runs copied.

use thiserror::Error;
use wide::i8x16;

/// Text that is not UTF-8, with the offset in bytes of the first offending sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not UTF-8 at byte {offset}")]
pub struct NotUtf8 {
    /// Offset in bytes from the start of the text.
    pub offset: usize,
}

const BLOCK: usize = 16;

/// A bit per byte of `block`, set where the byte is not copied as it is.
#[inline(always)]
fn special_mask(block: &[u8; BLOCK]) -> u32 {
    let bytes = i8x16::new(block.map(u8::cast_signed));
    let all = |byte: u8| i8x16::splat(byte.cast_signed());
    // Compared with sign: bytes from 0x80 are negative, so one comparison finds them and controls.
    let outside = bytes.simd_lt(all(0x20)) | bytes.simd_eq(all(0x7f));
    let reserved = bytes.simd_eq(all(b'"')) | bytes.simd_eq(all(b'\\'));
    (outside | reserved).to_bitmask()
}

#[inline(always)]
fn is_plain(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\'
}

/// How many bytes at the start of `bytes` are written as they are.
#[inline]
pub fn plain_run(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    for (i, block) in blocks.iter().enumerate() {
        let mask = special_mask(block);
        if mask != 0 {
            return i * BLOCK + mask.trailing_zeros() as usize;
        }
    }
    let done = bytes.len() - rest.len();
    done + rest.iter().take_while(|&&byte| is_plain(byte)).count()
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes one UTF-16 code unit as it stands in canonical JSON.
#[inline]
pub fn write_unit(out: &mut Vec<u8>, unit: u16) {
    match unit {
        0x22 => out.extend_from_slice(b"\\\""),
        0x5c => out.extend_from_slice(b"\\\\"),
        0x20..=0x7e => out.push(unit as u8),
        0x08 => out.extend_from_slice(b"\\b"),
        0x09 => out.extend_from_slice(b"\\t"),
        0x0a => out.extend_from_slice(b"\\n"),
        0x0c => out.extend_from_slice(b"\\f"),
        0x0d => out.extend_from_slice(b"\\r"),
        _ => {
            let nibble = |shift: u16| HEX[usize::from(unit >> shift & 0xf)];
            out.extend_from_slice(&[b'\\', b'u', nibble(12), nibble(8), nibble(4), nibble(0)]);
        }
    }
}

/// Writes the character at the start of `bytes`, which is not a plain one, and returns its length
/// in UTF-8, or `None` where no well-formed character stands.
#[inline]
pub fn write_special(out: &mut Vec<u8>, bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    if first < 0x80 {
        write_unit(out, u16::from(first));
        return Some(1);
    }
    let (code, length) = decode(first, bytes)?;
    if let Ok(unit) = u16::try_from(code) {
        write_unit(out, unit);
    } else {
        let offset = code - 0x1_0000;
        write_unit(out, 0xd800 | (offset >> 10) as u16);
        write_unit(out, 0xdc00 | (offset & 0x3ff) as u16);
    }
    Some(length)
}

/// One multi-byte character of strict UTF-8 (no surrogates, no overlong forms): code point, length.
#[inline]
fn decode(first: u8, bytes: &[u8]) -> Option<(u32, usize)> {
    let tail = |i: usize| {
        bytes
            .get(i)
            .filter(|&&byte| byte & 0xc0 == 0x80)
            .map(|&byte| u32::from(byte & 0x3f))
    };
    let lead = u32::from(first);
    match first {
        0xc2..=0xdf => Some(((lead & 0x1f) << 6 | tail(1)?, 2)),
        0xe0..=0xef => {
            let code = (lead & 0xf) << 12 | tail(1)? << 6 | tail(2)?;
            (code >= 0x800 && !(0xd800..0xe000).contains(&code)).then_some((code, 3))
        }
        0xf0..=0xf4 => {
            let code = (lead & 0x7) << 18 | tail(1)? << 12 | tail(2)? << 6 | tail(3)?;
            (0x1_0000..0x11_0000).contains(&code).then_some((code, 4))
        }
        _ => None,
    }
}

/// Appends `text` as a JSON string, quotes included.
///
/// # Errors
/// Where `text` is not UTF-8; what was written until then stays in `out`.
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) -> Result<(), NotUtf8> {
    out.push(b'"');
    write_escaped(out, text)?;
    out.push(b'"');
    Ok(())
}

/// Appends `text` escaped, without quotes.
///
/// # Errors
/// As [`write_string`].
pub fn write_escaped(out: &mut Vec<u8>, text: &[u8]) -> Result<(), NotUtf8> {
    let mut at = 0;
    loop {
        let run = plain_run(&text[at..]);
        out.extend_from_slice(&text[at..at + run]);
        at += run;
        while at < text.len() && !is_plain(text[at]) {
            at += write_special(out, &text[at..]).ok_or(NotUtf8 { offset: at })?;
        }
        if at == text.len() {
            return Ok(());
        }
    }
}

/// The code points of a canonical (escaped) string without its quotes, surrogate pairs joined.
///
/// For comparing keys as Python does, which orders strings by code point.
pub fn code_points(escaped: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let mut units = Units { escaped }.peekable();
    core::iter::from_fn(move || {
        let high = units.next()?;
        if (0xd800..0xdc00).contains(&high)
            && let Some(low) = units.next_if(|low| (0xdc00..0xe000).contains(low))
        {
            return Some(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
        }
        Some(high)
    })
}

struct Units<'a> {
    escaped: &'a [u8],
}

impl Iterator for Units<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (&first, rest) = self.escaped.split_first()?;
        if first != b'\\' {
            self.escaped = rest;
            return Some(u32::from(first));
        }
        let (&kind, rest) = rest.split_first()?;
        if kind == b'u' {
            let (digits, rest) = rest.split_at_checked(4)?;
            self.escaped = rest;
            return Some(digits.iter().fold(0, |code, &digit| {
                code << 4 | char::from(digit).to_digit(16).unwrap_or(0)
            }));
        }
        self.escaped = rest;
        Some(match kind {
            b'b' => 0x08,
            b't' => 0x09,
            b'n' => 0x0a,
            b'f' => 0x0c,
            b'r' => 0x0d,
            other => u32::from(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &[u8]) -> String {
        let mut out = Vec::new();
        write_string(&mut out, text).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_as_cpython_does() {
        assert_eq!(
            written("é東\u{1f600}".as_bytes()),
            r#""\u00e9\u6771\ud83d\ude00""#
        );
        assert_eq!(
            written(b"\"\\/\x08\x0c\n\r\t\x00\x1f\x7f~"),
            r#""\"\\/\b\f\n\r\t\u0000\u001f\u007f~""#
        );
    }

    #[test]
    fn names_the_first_byte_that_is_not_utf8() {
        let mut out = Vec::new();
        for (text, offset) in [
            (&b"ab\xff"[..], 2),
            (b"\xc0\x80", 0),
            (b"x\xed\xa0\x80", 1),
            (b"\xe2\x82", 0),
            (b"\xf4\x90\x80\x80", 0),
            (b"0123456789abcdef\xe0\x80\x80", 16),
        ] {
            assert_eq!(write_string(&mut out, text), Err(NotUtf8 { offset }));
        }
    }

    #[test]
    fn joins_surrogate_pairs_only() {
        let points: Vec<u32> = code_points(br"a\ud800\ud83d\ude00\udc00\n\\").collect();
        assert_eq!(points, [0x61, 0xd800, 0x1f600, 0xdc00, 0x0a, 0x5c]);
    }

    proptest! {
        #[test]
        fn a_run_ends_at_the_first_special_byte(bytes: Vec<u8>) {
            let expected = bytes.iter().take_while(|&&byte| is_plain(byte)).count();
            prop_assert_eq!(plain_run(&bytes), expected);
        }

        #[test]
        fn accepts_exactly_what_std_calls_utf8(bytes: Vec<u8>) {
            let mut out = Vec::new();
            let expected = core::str::from_utf8(&bytes).map_err(|e| e.valid_up_to());
            let ours = write_string(&mut out, &bytes).map_err(|e| e.offset);
            prop_assert_eq!(ours, expected.map(|_| ()));
        }

        #[test]
        fn code_points_survive_escaping(text: String) {
            let mut out = Vec::new();
            write_escaped(&mut out, text.as_bytes()).unwrap();
            let points: Vec<u32> = code_points(&out).collect();
            let expected: Vec<u32> = text.chars().map(u32::from).collect();
            prop_assert_eq!(points, expected);
        }
    }
}
