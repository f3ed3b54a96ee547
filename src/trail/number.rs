//! JSON numbers read as CPython's `json.loads` reads them and written as `json.dumps` writes them.
//!
//! A number with neither fraction nor exponent is an `int`: kept digit for digit, but `-0` is `0`.
//! Everything else is a `float`: the nearest double, written as `float.__repr__` does, which is the
//! shortest text that reads back to the same double, in scientific notation from `1e16` and below
//! `1e-4` (`Python/pystrtod.c`, format code `r`). Beyond the range of a double it is `Infinity`.

/// A number's extent, as offsets from its start.
struct Extent {
    negative: usize,
    /// End of the integer part.
    point: usize,
    /// End of the fraction.
    mantissa_end: usize,
    end: usize,
}

/// Finds the number that starts `text`. Follows `_match_number_unicode` in CPython's `Modules/_json.c`.
#[inline]
fn extent(text: &[u8]) -> Option<Extent> {
    let negative = usize::from(text.first() == Some(&b'-'));
    let integer = match text.get(negative)? {
        b'0' => 1,
        b'1'..=b'9' => digits(&text[negative..]),
        _ => return None,
    };
    let point = negative + integer;
    let fraction = match text.get(point) {
        Some(b'.') => digits(&text[point + 1..]),
        _ => 0,
    };
    let mantissa_end = if fraction > 0 {
        point + 1 + fraction
    } else {
        point
    };
    Some(Extent {
        negative,
        point,
        mantissa_end,
        end: exponent_end(text, mantissa_end),
    })
}

/// Writes the number that starts `text`, and returns how many bytes of it belong to the number, or
/// `None` if none starts there.
#[inline]
pub fn write_number(out: &mut Vec<u8>, text: &[u8]) -> Option<usize> {
    let Extent {
        negative,
        point,
        mantissa_end,
        end,
    } = extent(text)?;
    if end == point {
        write_integer(out, &text[..end]);
    } else if end == mantissa_end && is_repr(&text[negative..point], &text[point + 1..end]) {
        out.extend_from_slice(&text[..end]);
    } else {
        write_float(out, parse(&text[..end])?);
    }
    Some(end)
}

/// The length of the number that starts `text`, provided that it is written as CPython writes it.
#[inline]
pub fn canonical_number(text: &[u8]) -> Option<usize> {
    let Extent {
        negative,
        point,
        mantissa_end,
        end,
    } = extent(text)?;
    let is_canonical = if end == point {
        &text[..end] != b"-0"
    } else if end == mantissa_end && is_repr(&text[negative..point], &text[point + 1..end]) {
        true
    } else {
        let value = parse(&text[..end])?;
        if is_fixed(value) {
            zmij::Buffer::new().format(value).as_bytes() == &text[..end]
        } else {
            let mut written = Vec::new();
            write_float(&mut written, value);
            written == text[..end]
        }
    };
    is_canonical.then_some(end)
}

/// The nearest double. JSON's grammar is a subset of what the library takes, which is the standard library's algorithm
/// without its detour over `str`.
#[inline]
fn parse(text: &[u8]) -> Option<f64> {
    fast_float2::parse(text).ok()
}

/// Whether CPython writes the value without exponent.
#[inline]
fn is_fixed(value: f64) -> bool {
    (1e-4..1e16).contains(&value.abs()) || value == 0.0
}

#[inline]
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

#[inline]
fn exponent_end(text: &[u8], from: usize) -> usize {
    if !matches!(text.get(from), Some(b'e' | b'E')) {
        return from;
    }
    let sign = usize::from(matches!(text.get(from + 1), Some(b'+' | b'-')));
    match digits(&text[from + 1 + sign..]) {
        0 => from,
        count => from + 1 + sign + count,
    }
}

#[inline]
fn write_integer(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(if text == b"-0" { b"0" } else { text });
}

/// Whether `integer.fraction` is certainly its own `repr`: decimals of at most fifteen significant
/// digits map one to one to doubles, so no shorter one can read back to the same double.
#[inline]
fn is_repr(integer: &[u8], fraction: &[u8]) -> bool {
    let leading_zeros = if integer == b"0" {
        fraction.iter().take_while(|&&byte| byte == b'0').count()
    } else {
        0
    };
    integer.len() + fraction.len() <= 15
        && (fraction == b"0" || (fraction.last() != Some(&b'0') && leading_zeros <= 3))
}

/// Writes `value` as `json.dumps` does: `float.__repr__`, `NaN`, `Infinity` or `-Infinity`.
pub fn write_float(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value < 0.0 {
            b"-Infinity"
        } else {
            b"Infinity"
        });
    }
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(value);
    // zmij chooses scientific notation by other limits and spells the exponent differently.
    if is_fixed(value) {
        out.extend_from_slice(shortest.as_bytes());
    } else {
        write_scientific(out, shortest);
    }
}

/// Rewrites a shortest decimal as `d.ddde±XX`, the exponent with at least two digits.
fn write_scientific(out: &mut Vec<u8>, shortest: &str) {
    if shortest.starts_with('-') {
        out.push(b'-');
    }
    let shortest = shortest.trim_start_matches('-');
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || integer.bytes().chain(fraction.bytes());
    let leading = digits().take_while(|&digit| digit == b'0').count();
    let end = integer.len() + fraction.trim_end_matches('0').len();
    for (index, digit) in digits().take(end).skip(leading).enumerate() {
        if index == 1 {
            out.push(b'.');
        }
        out.push(digit);
    }
    let exponent = exponent.parse::<i32>().unwrap_or(0) + integer.len() as i32 - 1 - leading as i32;
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    let exponent = exponent.unsigned_abs();
    if exponent >= 100 {
        out.push(b'0' + (exponent / 100) as u8);
    }
    out.extend_from_slice(&[
        b'0' + (exponent / 10 % 10) as u8,
        b'0' + (exponent % 10) as u8,
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> Option<(String, usize)> {
        let mut out = Vec::new();
        let length = write_number(&mut out, text.as_bytes())?;
        Some((String::from_utf8(out).unwrap(), length))
    }

    #[test]
    fn writes_what_cpython_writes() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("0e5", "0.0"),
            ("-0e5", "-0.0"),
            ("1.10", "1.1"),
            ("1e5", "100000.0"),
            ("1E15", "1000000000000000.0"),
            ("1e16", "1e+16"),
            ("123456789012345680.0", "1.2345678901234568e+17"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("0.000012345", "1.2345e-05"),
            ("1e-7", "1e-07"),
            ("1e22", "1e+22"),
            ("1e23", "1e+23"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("1E400", "Infinity"),
            ("-1e400", "-Infinity"),
            ("1e-400", "0.0"),
            ("9007199254740993.0", "9007199254740992.0"),
            ("2.2250738585072011e-308", "2.225073858507201e-308"),
            ("5.684341886080802e-14", "5.684341886080802e-14"),
            (
                "100000000000000000000000000000",
                "100000000000000000000000000000",
            ),
        ] {
            let (written, length) = canonical(text).unwrap();
            assert_eq!((written.as_str(), length), (expected, text.len()), "{text}");
        }
    }

    #[test]
    fn ends_where_the_grammar_ends() {
        for (text, expected) in [
            ("01", "0"),
            ("1.", "1"),
            ("1.e5", "1"),
            ("1e", "1"),
            ("2e+", "2"),
            ("-1x", "-1"),
        ] {
            assert_eq!(canonical(text).unwrap().0, expected, "{text}");
        }
        for text in ["", "-", "-x", ".5", "+1"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_never_differs(integer in 0u64..1_000_000_000, fraction in "[0-9]{1,9}") {
            let text = format!("{integer}.{fraction}");
            let mut exact = Vec::new();
            write_float(&mut exact, text.parse().unwrap());
            prop_assert_eq!(canonical(&text).unwrap().0.into_bytes(), exact);
        }

        #[test]
        fn every_double_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let mut out = Vec::new();
            write_float(&mut out, value);
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
            prop_assert_eq!(canonical(&text).unwrap().0, text);
        }
    }
}
