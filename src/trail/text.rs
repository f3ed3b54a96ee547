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

/// Longest escape of one character: a surrogate pair.
const ESCAPE: usize = 12;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A UTF-16 code unit as `\uXXXX`.
#[inline(always)]
fn hex_escape(unit: u16) -> [u8; 6] {
    let nibble = |shift: u16| HEX[usize::from(unit >> shift & 0xf)];
    [b'\\', b'u', nibble(12), nibble(8), nibble(4), nibble(0)]
}

/// The letter of the short escape that a code unit has, if it has one.
#[inline(always)]
fn short_escape(unit: u16) -> Option<u8> {
    match unit {
        0x22 => Some(b'"'),
        0x5c => Some(b'\\'),
        0x08 => Some(b'b'),
        0x09 => Some(b't'),
        0x0a => Some(b'n'),
        0x0c => Some(b'f'),
        0x0d => Some(b'r'),
        _ => None,
    }
}

/// Writes one UTF-16 code unit as it stands in canonical JSON.
#[inline]
pub fn write_unit(out: &mut Vec<u8>, unit: u16) {
    match short_escape(unit) {
        Some(letter) => out.extend_from_slice(&[b'\\', letter]),
        None if (0x20..0x7f).contains(&unit) => out.push(unit as u8),
        None => out.extend_from_slice(&hex_escape(unit)),
    }
}

/// Values of hex digits as CPython writes them; 255 for everything else.
const LOWER_HEX: [u8; 256] = {
    let mut values = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        values[HEX[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// By the byte behind a backslash: how long the escape is, 0 where CPython writes none such.
const ESCAPE_LENGTH: [u8; 256] = {
    let mut lengths = [0; 256];
    let short = b"\"\\bfnrt";
    let mut index = 0;
    while index < short.len() {
        lengths[short[index] as usize] = 2;
        index += 1;
    }
    lengths[b'u' as usize] = 6;
    lengths
};

/// Length of the escape at the start of `bytes`; 0 where none stands that CPython would write.
#[inline(always)]
fn canonical_escape(bytes: &[u8; 6]) -> usize {
    let [backslash, kind, digits @ ..] = bytes;
    if *backslash != b'\\' {
        return 0;
    }
    let length = ESCAPE_LENGTH[usize::from(*kind)];
    if length == 6 {
        let [a, b, c, d] = digits.map(|digit| u32::from(LOWER_HEX[usize::from(digit)]));
        let code = a << 12 | b << 8 | c << 4 | d;
        // Below 0x7f only controls are written in hex, and of these only such as have no short escape.
        let is_canonical = a | b | c | d < 16
            && (code >= 0x7f || (code < 0x20 && short_escape(code as u16).is_none()));
        return if is_canonical { 6 } else { 0 };
    }
    usize::from(length)
}

/// How the character at the start of `bytes`, which is not a plain one, is escaped: the escape, its length, and the
/// character's length in UTF-8. `None` where no well-formed character stands.
#[inline(always)]
fn special(bytes: &[u8]) -> Option<([u8; ESCAPE], usize, usize)> {
    let mut escape = [0; ESCAPE];
    let first = *bytes.first()?;
    if first < 0x80 {
        let unit = u16::from(first);
        if let Some(letter) = short_escape(unit) {
            escape[..2].copy_from_slice(&[b'\\', letter]);
            return Some((escape, 2, 1));
        }
        escape[..6].copy_from_slice(&hex_escape(unit));
        return Some((escape, 6, 1));
    }
    let (code, taken) = decode(first, bytes)?;
    if let Ok(unit) = u16::try_from(code) {
        escape[..6].copy_from_slice(&hex_escape(unit));
        return Some((escape, 6, taken));
    }
    let offset = code - 0x1_0000;
    escape[..6].copy_from_slice(&hex_escape(0xd800 | (offset >> 10) as u16));
    escape[6..].copy_from_slice(&hex_escape(0xdc00 | (offset & 0x3ff) as u16));
    Some((escape, ESCAPE, taken))
}

/// Writes the character at the start of `bytes`, which is not a plain one, and returns its length
/// in UTF-8, or `None` where no well-formed character stands.
#[inline]
pub fn write_special(out: &mut Vec<u8>, bytes: &[u8]) -> Option<usize> {
    let (escape, length, taken) = special(bytes)?;
    out.extend_from_slice(&escape[..length]);
    Some(taken)
}

/// How a JSON string goes on: see [`canonical_run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// The closing quote stands at this offset; whether any escape stands before it.
    Closed(usize, bool),
    /// Something that CPython would write differently, or an error.
    NotCanonical,
}

/// Finds the end of a JSON string (from behind its opening quote), provided that it is written as CPython writes it.
///
/// Special bytes are taken from a block's mask one after the other, with no more branches than there are of them: where
/// they stand cannot be foreseen, and each branch that goes wrong costs as much as scanning a block.
#[inline]
pub fn canonical_run(text: &[u8]) -> Run {
    let mut at = 0;
    let mut escaped = false;
    while let Some(block) = text
        .get(at..)
        .and_then(<[u8]>::first_chunk::<{ 2 * BLOCK }>)
    {
        let mut mask = wide_mask(block);
        let mut next = 2 * BLOCK;
        while mask != 0 {
            let position = mask.trailing_zeros() as usize;
            let Some(window) = text[at + position..].first_chunk() else {
                return canonical_tail(text, at + position, escaped);
            };
            if window[0] == b'"' {
                return Run::Closed(at + position, escaped);
            }
            let length = canonical_escape(window);
            if length == 0 {
                return Run::NotCanonical;
            }
            escaped = true;
            let behind = position + length;
            if behind >= 2 * BLOCK {
                next = behind;
                break;
            }
            mask &= u32::MAX << behind;
        }
        at += next;
    }
    canonical_tail(text, at, escaped)
}

#[inline(always)]
fn wide_mask(block: &[u8; 2 * BLOCK]) -> u32 {
    let (halves, _) = block.as_chunks::<BLOCK>();
    special_mask(&halves[0]) | special_mask(&halves[1]) << BLOCK
}

/// [`canonical_run`] near the end of the text.
fn canonical_tail(text: &[u8], mut at: usize, mut escaped: bool) -> Run {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let run = plain_run(rest);
        let rest = &rest[run..];
        at += run;
        if rest.first() == Some(&b'"') {
            return Run::Closed(at, escaped);
        }
        let mut window = [0; 6];
        let length = rest.len().min(6);
        window[..length].copy_from_slice(&rest[..length]);
        match canonical_escape(&window) {
            0 => return Run::NotCanonical,
            length => at += length,
        }
        escaped = true;
    }
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

/// Input bytes that are escaped into a scratch buffer at a time.
const PIECE: usize = 128;
/// Every byte may become six; blocks are copied whole, so one may hang over.
const SCRATCH: usize = PIECE * 6 + BLOCK;

/// Appends `text` escaped, without quotes.
///
/// Blocks are copied before it is known how much of them is plain, and overwritten from there on: a store
/// costs less than a branch that cannot be foreseen.
///
/// # Errors
/// As [`write_string`].
pub fn write_escaped(out: &mut Vec<u8>, text: &[u8]) -> Result<(), NotUtf8> {
    let mut at = plain_run(text);
    out.extend_from_slice(&text[..at]);
    if at == text.len() {
        return Ok(());
    }
    let mut scratch = [0; SCRATCH];
    while at < text.len() {
        let mut written = 0;
        // A character that starts in the piece may end behind it.
        let end = text.len().min(at + PIECE);
        while at < end {
            let run = if let Some(block) = text[at..].first_chunk::<BLOCK>() {
                scratch[written..written + BLOCK].copy_from_slice(block);
                (special_mask(block).trailing_zeros() as usize)
                    .min(BLOCK)
                    .min(end - at)
            } else {
                let run = plain_run(&text[at..end]);
                scratch[written..written + run].copy_from_slice(&text[at..at + run]);
                run
            };
            at += run;
            written += run;
            if at < end && !is_plain(text[at]) {
                let (escape, length, taken) = special(&text[at..]).ok_or(NotUtf8 { offset: at })?;
                scratch[written..written + escape.len()].copy_from_slice(&escape);
                written += length;
                at += taken;
            }
        }
        out.extend_from_slice(&scratch[..written]);
    }
    Ok(())
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
