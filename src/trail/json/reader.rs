//! The tokens of a JSON text, as CPython's `json.loads` takes them.
//!
//! With `VERBATIM` a reader only checks that each token is written as `json.dumps` writes it, and errs where one is not;
//! its positions are those of the text. Without, it writes the canonical tokens, and its positions are those of what
//! it wrote.

use crate::trail::{
    number,
    text::{self, Run},
};

const NOT_CANONICAL: &str = "not as CPython writes it";

pub(super) struct Reader<'a, const VERBATIM: bool> {
    text: &'a [u8],
    pub(super) at: usize,
    out: &'a mut Vec<u8>,
}

impl<'a, const VERBATIM: bool> Reader<'a, VERBATIM> {
    pub(super) fn new(text: &'a [u8], out: &'a mut Vec<u8>) -> Self {
        Self { text, at: 0, out }
    }

    /// Where the next token starts in the canonical text.
    #[inline(always)]
    pub(super) fn position(&self) -> usize {
        if VERBATIM { self.at } else { self.out.len() }
    }

    /// The canonical text, at least as far as it was read.
    #[inline(always)]
    pub(super) fn canonical(&self) -> &[u8] {
        if VERBATIM { self.text } else { self.out }
    }

    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Skips white space, of which canonical text has none between tokens but what separators hold.
    #[inline(always)]
    pub(super) fn skip_space(&mut self) {
        if !VERBATIM {
            while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
                self.at += 1;
            }
        }
    }

    /// Takes a bracket or brace that was seen.
    #[inline(always)]
    pub(super) fn symbol(&mut self, symbol: u8) {
        self.at += 1;
        if !VERBATIM {
            self.out.push(symbol);
        }
    }

    /// Takes a comma or colon that was seen, and the white space behind it.
    #[inline(always)]
    pub(super) fn separator(&mut self, canonical: &[u8; 2]) -> Result<(), &'static str> {
        self.at += 1;
        if VERBATIM {
            if self.peek() != Some(b' ') {
                return Err(NOT_CANONICAL);
            }
            self.at += 1;
        } else {
            self.out.extend_from_slice(canonical);
            self.skip_space();
        }
        Ok(())
    }

    /// Takes the string whose opening quote stands here; says whether it is written as it decodes.
    #[inline]
    pub(super) fn string(&mut self) -> Result<bool, &'static str> {
        if VERBATIM {
            match text::canonical_run(&self.text[self.at + 1..]) {
                Run::Closed(length, escaped) => {
                    self.at += length + 2;
                    Ok(!escaped)
                }
                Run::NotCanonical => Err(NOT_CANONICAL),
            }
        } else {
            self.rewrite_string()
        }
    }

    fn rewrite_string(&mut self) -> Result<bool, &'static str> {
        self.out.push(b'"');
        self.at += 1;
        let mut plain = true;
        loop {
            let run = text::plain_run(&self.text[self.at..]);
            self.out
                .extend_from_slice(&self.text[self.at..self.at + run]);
            self.at += run;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    self.out.push(b'"');
                    return Ok(plain);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape()?;
                }
                None => return Err("unterminated string"),
                Some(..0x20) => return Err("control character in a string"),
                Some(_) => {
                    self.at += text::write_special(self.out, &self.text[self.at..])
                        .ok_or("text that is not UTF-8")?;
                }
            }
            plain = false;
        }
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        let kind = self.peek().ok_or("unterminated string")?;
        self.at += 1;
        match kind {
            b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.out.extend_from_slice(&[b'\\', kind]);
            }
            b'/' => self.out.push(b'/'),
            b'u' => {
                let digits = self
                    .text
                    .get(self.at..self.at + 4)
                    .ok_or("invalid \\u escape")?;
                let mut unit = 0;
                for &digit in digits {
                    let nibble = char::from(digit).to_digit(16).ok_or("invalid \\u escape")?;
                    unit = unit << 4 | nibble as u16;
                }
                self.at += 4;
                text::write_unit(self.out, unit);
            }
            _ => return Err("invalid escape"),
        }
        Ok(())
    }

    /// Takes a number or one of the words.
    #[inline]
    pub(super) fn scalar(&mut self) -> Result<(), &'static str> {
        let rest = &self.text[self.at..];
        let number = match rest.first() {
            Some(b'-' | b'0'..=b'9') if VERBATIM => number::canonical_number(rest),
            Some(b'-' | b'0'..=b'9') => number::write_number(self.out, rest),
            _ => None,
        };
        if let Some(length) = number {
            self.at += length;
            return Ok(());
        }
        for word in ["null", "true", "false", "NaN", "Infinity", "-Infinity"] {
            if rest.starts_with(word.as_bytes()) {
                if !VERBATIM {
                    self.out.extend_from_slice(word.as_bytes());
                }
                self.at += word.len();
                return Ok(());
            }
        }
        Err("expected a value")
    }
}
