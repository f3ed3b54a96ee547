//! Canonical JSON against CPython's own.
//!
//! Documents are random, the reference is the interpreter itself. `TRAILKEEPER_DOCUMENTS` sets how many,
//! `TRAILKEEPER_SEED` repeats a run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use fastrand::Rng;
use trailkeeper::trail::json::canonical;

use crate::support::{
    tools::{self, Answer, cpython},
    trails,
};

const DOCUMENTS: u64 = 200_000;
/// Documents per run of the interpreter.
const BATCH: u64 = 10_000;
/// Tokens that CPython itself wrote, of which canonical documents are put together.
const POOL: usize = 4_000;

#[test]
fn random_documents_are_written_as_cpython_writes_them() {
    let seed = tools::seed();
    let documents = tools::number("TRAILKEEPER_DOCUMENTS").unwrap_or(DOCUMENTS);
    let pool = Pool::new(&mut Rng::with_seed(seed));
    let next = AtomicU64::new(0);
    let (accepted, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let batches = documents.div_ceil(BATCH);
    let work = || {
        loop {
            let batch = next.fetch_add(1, Relaxed);
            if batch >= batches {
                return;
            }
            // Each batch is a function of the seed alone, whichever thread takes it.
            let mut rng = Rng::with_seed(seed ^ (batch + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let count = BATCH.min(documents - batch * BATCH);
            let documents: Vec<_> = (0..count).map(|_| document(&mut rng, &pool)).collect();
            let answers = cpython(&documents);
            for (document, answer) in documents.iter().zip(&answers) {
                compare(document, answer, seed);
                match answer {
                    Answer::Canonical(_) => accepted.fetch_add(1, Relaxed),
                    _ => refused.fetch_add(1, Relaxed),
                };
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let (accepted, refused) = (accepted.into_inner(), refused.into_inner());
    assert_eq!(accepted + refused, documents);
    // A generator that went wrong would compare nothing but refusals, or none.
    if documents >= BATCH {
        assert!(accepted > documents / 2, "only {accepted} were accepted");
        assert!(refused > documents / 50, "only {refused} were refused");
    }
}

#[test]
fn every_code_unit_and_every_byte_is_written_as_cpython_writes_it() {
    let mut documents = Vec::new();
    for unit in 0..=0xffff_u32 {
        documents.push(format!("\"a\\u{unit:04X}b\"").into_bytes());
        if let Some(char) = char::from_u32(unit) {
            documents.push(format!("\"{char}\"").into_bytes());
        }
    }
    for byte in 0..=u8::MAX {
        documents.push(vec![byte]);
        documents.push(vec![b'"', byte, b'"']);
        documents.push(vec![b'"', b'\\', byte, b'"']);
        documents.push(vec![b'[', b'1', byte, b'2', b']']);
        documents.push(vec![b'{', b'"', b'a', b'"', byte, b'2', b'}']);
    }
    for (document, answer) in documents.iter().zip(&cpython(&documents)) {
        compare(document, answer, 0);
    }
}

#[test]
fn results_that_only_cpython_gets_right() {
    let connection = trails::open(&trails::fixture("weird_results"));
    let mut statement = connection
        .prepare("SELECT CAST(result AS BLOB) FROM verificationlog ORDER BY id")
        .expect("prepare");
    let results: Vec<Vec<u8>> = statement
        .query_map((), |row| row.get(0))
        .expect("query")
        .collect::<Result<_, _>>()
        .expect("read the results");
    assert_eq!(results.len(), 14);
    for (result, answer) in results.iter().zip(&cpython(&results)) {
        compare(result, answer, 0);
    }
}

#[track_caller]
fn compare(document: &[u8], answer: &Answer, seed: u64) {
    let ours = catch_unwind(AssertUnwindSafe(|| canonical(document)));
    let agree = match (&ours, answer) {
        // How deep is too deep is the interpreter's affair; ours need only have ended.
        (Ok(_), Answer::TooDeep) => true,
        (Ok(Ok(ours)), Answer::Canonical(theirs)) => ours == theirs,
        (Ok(Err(_)), Answer::Refused) => true,
        _ => false,
    };
    if agree {
        return;
    }
    let ours = match &ours {
        Ok(Ok(text)) => format!("\"{}\"", text.escape_ascii()),
        Ok(Err(error)) => format!("refused: {error}"),
        Err(_) => "panicked".to_owned(),
    };
    let theirs = match answer {
        Answer::Canonical(text) => format!("\"{}\"", text.escape_ascii()),
        other => format!("{other:?}"),
    };
    panic!(
        "seed {seed}: trailkeeper and CPython differ\ndocument    b\"{}\"\ntrailkeeper {ours}\nCPython     {theirs}",
        document.escape_ascii()
    );
}

/// Tokens as CPython writes them.
struct Pool {
    scalars: Vec<Vec<u8>>,
    strings: Vec<Vec<u8>>,
}

impl Pool {
    fn new(rng: &mut Rng) -> Self {
        let mut written = |make: fn(&mut Rng, &mut Vec<u8>)| -> Vec<Vec<u8>> {
            let tokens: Vec<Vec<u8>> = (0..POOL)
                .map(|_| {
                    let mut token = Vec::new();
                    make(rng, &mut token);
                    token
                })
                .collect();
            cpython(&tokens)
                .into_iter()
                .filter_map(|answer| match answer {
                    Answer::Canonical(text) => Some(text),
                    _ => None,
                })
                .collect()
        };
        let pool = Self {
            scalars: written(scalar),
            strings: written(string),
        };
        assert!(pool.scalars.len() > POOL / 2 && pool.strings.len() > POOL / 2);
        pool
    }
}

/// How a document is spelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As `json.dumps` writes, but for the order of keys: what QWED stores.
    Canonical,
    /// As other writers do.
    Compact,
    /// White space anywhere.
    Loose,
}

struct Writer<'a> {
    rng: &'a mut Rng,
    pool: &'a Pool,
    style: Style,
    /// Tokens still to write in canonical style before one is written in any spelling.
    until_odd: u32,
    out: Vec<u8>,
}

fn document(rng: &mut Rng, pool: &Pool) -> Vec<u8> {
    if rng.u32(..2_000) == 0 {
        return deep(rng);
    }
    let style = match rng.u32(..10) {
        0..5 => Style::Canonical,
        5..7 => Style::Compact,
        _ => Style::Loose,
    };
    let until_odd = if rng.bool() { rng.u32(..30) } else { u32::MAX };
    let mut writer = Writer {
        rng,
        pool,
        style,
        until_odd,
        out: Vec::new(),
    };
    let depth = writer.rng.u32(..6);
    writer.space();
    writer.value(depth);
    writer.space();
    let mut out = writer.out;
    if rng.u32(..5) == 0 {
        mutate(rng, &mut out);
    }
    out
}

/// Brackets and braces, deeper or less deep than an interpreter can go, and not always closed.
fn deep(rng: &mut Rng) -> Vec<u8> {
    let depth = *rng
        .choice([10, 100, 900, 990, 1_000, 3_000, 20_000].iter())
        .unwrap_or(&10);
    let mut out = Vec::new();
    let mut closing = Vec::new();
    for _ in 0..depth {
        if rng.bool() {
            out.push(b'[');
            closing.push(b']');
        } else {
            out.extend_from_slice(if rng.bool() {
                b"{\"b\": 0, \"a\": "
            } else {
                b"{\"a\": "
            });
            closing.push(b'}');
        }
    }
    out.extend_from_slice(b"1.50");
    closing.reverse();
    out.extend(closing);
    if rng.u32(..4) == 0 {
        mutate(rng, &mut out);
    }
    out
}

fn mutate(rng: &mut Rng, out: &mut Vec<u8>) {
    for _ in 0..rng.u32(1..4) {
        let at = rng.usize(..=out.len());
        match rng.u32(..6) {
            0 => out.truncate(at),
            1 => out.insert(at, rng.u8(..)),
            2 => out.insert(
                at,
                *rng.choice(b"\"\\{}[]:,0 -+.eEu/".iter()).unwrap_or(&b' '),
            ),
            _ if at == out.len() => {}
            3 => {
                out.remove(at);
            }
            4 => out[at] ^= 1 << rng.u32(..8),
            _ => {
                let end = rng.usize(at..=out.len().min(at + 12));
                let piece = out[at..end].to_vec();
                let to = rng.usize(..=out.len());
                out.splice(to..to, piece);
            }
        }
    }
}

impl Writer<'_> {
    fn value(&mut self, depth: u32) {
        match self.rng.u32(..if depth == 0 { 6 } else { 12 }) {
            0..3 => self.scalar(),
            3..6 => self.string(),
            6..8 => self.array(depth),
            _ => self.object(depth),
        }
    }

    fn array(&mut self, depth: u32) {
        self.out.push(b'[');
        self.space();
        for index in 0..self.rng.u32(..5) {
            if index > 0 {
                self.separator(b',');
            }
            self.value(depth - 1);
        }
        self.space();
        self.out.push(b']');
    }

    fn object(&mut self, depth: u32) {
        self.out.push(b'{');
        self.space();
        for index in 0..self.rng.u32(..6) {
            if index > 0 {
                self.separator(b',');
            }
            self.key();
            self.separator(b':');
            self.value(depth - 1);
        }
        self.space();
        self.out.push(b'}');
    }

    /// Whether the next token may be spelled in any way.
    fn is_odd(&mut self) -> bool {
        if self.style != Style::Canonical {
            return true;
        }
        let odd = self.until_odd == 0;
        self.until_odd = self.until_odd.saturating_sub(1);
        // Only one of them: it must be found wherever it stands.
        if odd {
            self.until_odd = u32::MAX;
        }
        odd
    }

    fn scalar(&mut self) {
        if self.is_odd() {
            scalar(self.rng, &mut self.out);
        } else if let Some(token) = self.rng.choice(&self.pool.scalars) {
            self.out.extend_from_slice(token);
        }
    }

    fn string(&mut self) {
        if self.is_odd() {
            string(self.rng, &mut self.out);
        } else if let Some(token) = self.rng.choice(&self.pool.strings) {
            self.out.extend_from_slice(token);
        }
    }

    /// Few enough keys that they repeat, in spellings that decode to the same, and that sort differently by byte
    /// of their spelling, by UTF-16 unit and by code point.
    fn key(&mut self) {
        const CANONICAL: [&str; 16] = [
            "a",
            "b",
            "aa",
            "ab",
            "",
            "abcdefgh",
            "abcdefghi",
            "abcdefghj",
            "\\u00e9",
            "\\ud83d\\ude00",
            "\\uffff",
            "\\ud800",
            "\\\"",
            "\\n",
            "\\\\",
            "\\u007f",
        ];
        const ODD: [&str; 16] = [
            "\\u0061",
            "\\u0062",
            "a\\u0061",
            "\\u0061b",
            "\u{7f}",
            "abcdefg\\u0068",
            "abcdefgh\\u0069",
            "abcdefgh\\u006A",
            "é",
            "😀",
            "\u{ffff}",
            "\\uD800",
            "\\u0022",
            "\\u000A",
            "\\u005C",
            "\\uD83D\\uDE00",
        ];
        match self.rng.u32(..8) {
            0 => self.string(),
            _ => {
                let keys = if self.is_odd() { &ODD } else { &CANONICAL };
                let key = keys[self.rng.usize(..keys.len())];
                self.out.push(b'"');
                self.out.extend_from_slice(key.as_bytes());
                self.out.push(b'"');
            }
        }
    }

    fn separator(&mut self, symbol: u8) {
        match self.style {
            Style::Canonical => {
                let odd = self.rng.u32(..400) == 0;
                let written: &[u8] = match (odd, self.rng.bool()) {
                    (false, _) => b" ",
                    (true, true) => b"  ",
                    (true, false) => b"",
                };
                self.out.push(symbol);
                self.out.extend_from_slice(written);
            }
            Style::Compact => self.out.push(symbol),
            Style::Loose => {
                self.space();
                self.out.push(symbol);
                self.space();
            }
        }
    }

    fn space(&mut self) {
        if self.style != Style::Loose {
            return;
        }
        while self.rng.u32(..3) == 0 {
            self.out
                .push(*self.rng.choice(b" \t\n\r".iter()).unwrap_or(&b' '));
        }
        if self.rng.u32(..2_000) == 0 {
            // White space to Python's str, to Rust or to neither, and to no JSON.
            let odd = ["\u{b}", "\u{c}", "\u{a0}", "\u{2028}", "\u{feff}", "\0"];
            let odd = odd[self.rng.usize(..odd.len())];
            self.out.extend_from_slice(odd.as_bytes());
        }
    }
}

/// A number or a word, rarely one that is not JSON.
fn scalar(rng: &mut Rng, out: &mut Vec<u8>) {
    let text = match rng.u32(..40) {
        0..4 => {
            ["true", "false", "null", "NaN", "Infinity", "-Infinity"][rng.usize(..6)].to_owned()
        }
        4..8 => rng.i32(-1000..1000).to_string(),
        8..10 => rng.i64(..).to_string(),
        10..13 => shortest(rng),
        13..16 => {
            let value = finite(rng);
            match rng.u32(..3) {
                0 => format!("{value:.16e}"),
                1 => format!("{value:.17E}"),
                _ => format!("{value:.*e}", rng.usize(..25)),
            }
        }
        16..19 => {
            // Positional, up to 300 digits before or behind the point.
            let value = finite(rng);
            format!("{value:?}").replace('e', ["e", "E", "e+", "E0", "e00"][rng.usize(..5)])
        }
        19..21 => halfway(rng),
        21..24 => {
            let (whole, rest) = (rng.usize(1..25), rng.usize(1..25));
            format!("{}.{}", digits(rng, whole), tail(rng, rest))
        }
        24..28 => spelled(rng),
        28..30 => {
            let length = rng.usize(1..60);
            digits(rng, length)
        }
        30 => {
            let length = rng.usize(300..6_000);
            digits(rng, length)
        }
        31..37 => {
            let fixed = [
                "-0",
                "0",
                "-0.0",
                "0.0",
                "0e0",
                "-0E-5",
                "0.0e+00",
                "1E400",
                "-1e400",
                "1e-400",
                "-1e-400",
                "1e16",
                "1e15",
                "1e-4",
                "1e-5",
                "0.0001",
                "0.00001",
                "1e22",
                "1e23",
                "123456789012345678",
                "9007199254740993",
                "9007199254740993.0",
                "5e-324",
                "2.4703282292062327e-324",
                "2.4703282292062328e-324",
                "2.2250738585072011e-308",
                "2.2250738585072014e-308",
                "1.7976931348623157e308",
                "1.7976931348623158e308",
                "1.7976931348623159e308",
                "17976931348623158079e289",
                "1e00000000000000000001",
                "1e99999999999999999999",
                "1e-99999999999999999999",
                "0e99999999999999999999",
                "1.0",
                "100.0",
                "1E2",
                "1e+2",
                "-1.50",
                "9223372036854775807",
                "9223372036854775808",
                "-9223372036854775809",
                "18446744073709551616",
            ];
            fixed[rng.usize(..fixed.len())].to_owned()
        }
        37 => shortest(rng).replacen("-", "", 1).replacen('.', "0.", 1),
        38 if rng.bool() => {
            let wrong = [
                "01",
                "-01",
                "00",
                "1.",
                ".5",
                "-.5",
                "+1",
                "1e",
                "1e+",
                "1e-",
                "-",
                "--1",
                "0x10",
                "1_000",
                "1.e5",
                "1.5.5",
                "1e5.5",
                "nan",
                "-NaN",
                "+Infinity",
                "Inf",
                "infinity",
                "True",
                "None",
                "nul",
                "truee",
                "NaNN",
                "1a",
                "١",
                "-Infinit",
                "1e١",
            ];
            wrong[rng.usize(..wrong.len())].to_owned()
        }
        _ => rng.u8(..100).to_string(),
    };
    out.extend_from_slice(text.as_bytes());
}

/// Any double that is a number, by its bits, so that every exponent is as likely.
fn finite(rng: &mut Rng) -> f64 {
    loop {
        let value = f64::from_bits(rng.u64(..));
        if value.is_finite() {
            return value;
        }
    }
}

fn shortest(rng: &mut Rng) -> String {
    let value = match rng.u32(..3) {
        0 => finite(rng),
        1 => (rng.f64() - 0.5) * 10_f64.powi(rng.i32(-8..20)),
        _ => f64::from(rng.i32(-100_000..100_000)) / 100.0,
    };
    // Python's repr nearly, and sometimes exactly.
    match rng.bool() {
        true => format!("{value:?}"),
        false => format!("{value:e}"),
    }
}

/// An integer that lies in the middle of two doubles, or next to the middle.
fn halfway(rng: &mut Rng) -> String {
    let odd = rng.u64(1 << 53..1 << 54) | 1;
    let odd = u128::from(odd) << rng.u32(..60);
    let behind = [
        "",
        ".0",
        "e0",
        "E+000",
        ".00000000000000000000000000000001",
        ".0e-0",
        "0",
        "e300",
    ];
    let behind = behind[rng.usize(..behind.len())];
    let sign = if rng.bool() { "-" } else { "" };
    let last = rng.u32(..3);
    let number = match last {
        0 => odd - 1,
        1 => odd,
        _ => odd + 1,
    };
    format!("{sign}{number}{behind}")
}

fn digits(rng: &mut Rng, length: usize) -> String {
    let mut text = String::new();
    if rng.bool() {
        text.push('-');
    }
    text.push(rng.char('1'..='9'));
    text.extend((1..length).map(|_| rng.char('0'..='9')));
    text
}

fn tail(rng: &mut Rng, length: usize) -> String {
    let mut text: String = (0..length).map(|_| rng.char('0'..='9')).collect();
    text.extend((0..rng.usize(..4)).map(|_| '0'));
    text
}

/// A number put together of its grammar's parts.
fn spelled(rng: &mut Rng) -> String {
    let mut text = String::new();
    if rng.bool() {
        text.push('-');
    }
    if rng.u32(..4) == 0 {
        text.push('0');
    } else {
        let length = rng.usize(1..20);
        text.push_str(digits(rng, length).trim_start_matches('-'));
    }
    if rng.bool() {
        let length = rng.usize(1..20);
        text.push('.');
        text.push_str(&"0".repeat(if rng.bool() { rng.usize(..12) } else { 0 }));
        text.push_str(&tail(rng, length));
    }
    if rng.bool() {
        text.push(if rng.bool() { 'e' } else { 'E' });
        text.push_str(["", "+", "-"][rng.usize(..3)]);
        text.push_str(&"0".repeat(rng.usize(..4)));
        let largest = if rng.bool() { 30 } else { 340 };
        text.push_str(&rng.u32(..largest).to_string());
    }
    text
}

/// A string, rarely one that is not JSON or not UTF-8.
fn string(rng: &mut Rng, out: &mut Vec<u8>) {
    out.push(b'"');
    // Long ones reach what is done by blocks of bytes, at every offset within the block.
    let pieces = match rng.u32(..10) {
        0 => 0,
        1 => rng.u32(10..60),
        _ => rng.u32(1..6),
    };
    for _ in 0..pieces {
        piece(rng, out);
    }
    out.push(b'"');
}

fn piece(rng: &mut Rng, out: &mut Vec<u8>) {
    let escape = |rng: &mut Rng, out: &mut Vec<u8>, unit: u32| {
        out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            let digit = char::from_digit(unit >> shift & 0xf, 16).unwrap_or('0');
            let digit = if rng.bool() {
                digit.to_ascii_uppercase()
            } else {
                digit
            };
            out.push(digit as u8);
        }
    };
    match rng.u32(..60) {
        0..20 => {
            for _ in 0..rng.u32(1..40) {
                let byte = rng.u8(b' '..=b'~');
                if !matches!(byte, b'"' | b'\\') {
                    out.push(byte);
                }
            }
        }
        20..25 => {
            out.push(b'\\');
            out.push(*rng.choice(b"\"\\/bfnrt".iter()).unwrap_or(&b'n'));
        }
        25..30 => {
            let unit = rng.u32(..0x1_0000);
            escape(rng, out, unit);
        }
        30..33 => {
            // ASCII, which other writers do not escape, and controls, which have short escapes.
            let unit = rng.u32(..0xa0);
            escape(rng, out, unit);
        }
        33..37 => {
            let (high, low) = (rng.u32(0xd800..0xdc00), rng.u32(0xdc00..0xe000));
            escape(rng, out, high);
            escape(rng, out, low);
        }
        37..41 => {
            let surrogate = rng.u32(0xd800..0xe000);
            escape(rng, out, surrogate);
        }
        41..55 => {
            for _ in 0..rng.u32(1..8) {
                let char = match rng.u32(..6) {
                    0 => rng.char('\u{7f}'..='\u{a0}'),
                    1 => rng.char('\u{80}'..='\u{7ff}'),
                    2 => rng.char('\u{800}'..='\u{ffff}'),
                    3 => rng.char('\u{10000}'..='\u{10ffff}'),
                    _ => *rng
                        .choice(['é', '東', '😀', '\u{2028}', '\u{feff}', '\u{fffd}'].iter())
                        .unwrap_or(&'é'),
                };
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        55 if rng.u32(..8) == 0 => {
            // Surrogates, overlong forms, what lies beyond Unicode, and characters cut off.
            let wrong: [&[u8]; 12] = [
                b"\xed\xa0\x80",
                b"\xed\xbf\xbf",
                b"\xed\xa0\xbd\xed\xb8\x80",
                b"\xc0\x80",
                b"\xc1\xbf",
                b"\xe0\x9f\xbf",
                b"\xf0\x8f\xbf\xbf",
                b"\xf4\x90\x80\x80",
                b"\xf5\x80\x80\x80",
                b"\x80",
                b"\xe6\x9d",
                b"\xff",
            ];
            out.extend_from_slice(wrong[rng.usize(..wrong.len())]);
        }
        56 if rng.u32(..8) == 0 => out.push(rng.u8(..0x20)),
        57 if rng.u32(..8) == 0 => {
            let wrong = [
                "\\x41",
                "\\u12",
                "\\u12G4",
                "\\'",
                "\\0",
                "\\U0001F600",
                "\\u+123",
            ];
            out.extend_from_slice(wrong[rng.usize(..wrong.len())].as_bytes());
        }
        _ => out.extend_from_slice(b"plain text"),
    }
}
