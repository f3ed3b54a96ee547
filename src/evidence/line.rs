//! Lines of CSV (RFC 4180): fields in quotes where they hold a comma, a quote or a line break, quotes doubled, CRLF at the end.
//! Python's `csv.writer` writes the same bytes, which is what QWED uses.

/// Appends one line, field by field.
#[derive(Debug)]
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Line<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            out,
            is_first: true,
        }
    }

    /// Appends a field.
    pub(super) fn put(&mut self, field: impl AsRef<[u8]>) {
        let field = field.as_ref();
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        // No early exit, so that the compiler can do it in wide instructions.
        let is_special = |byte: u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
        if !field
            .iter()
            .fold(false, |found, &byte| found | is_special(byte))
        {
            self.out.extend_from_slice(field);
            return;
        }
        self.out.push(b'"');
        for piece in field.split_inclusive(|&byte| byte == b'"') {
            self.out.extend_from_slice(piece);
            if piece.ends_with(b"\"") {
                self.out.push(b'"');
            }
        }
        self.out.push(b'"');
    }

    /// Ends the line.
    pub(super) fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Appends a line of these fields.
pub(super) fn put_line<T: AsRef<[u8]>>(out: &mut Vec<u8>, fields: impl IntoIterator<Item = T>) {
    let mut line = Line::new(out);
    for field in fields {
        line.put(field);
    }
    line.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What CPython 3.12's `csv.writer` writes of the same fields.
    #[test]
    fn quotes_as_python_does() {
        let mut out = Vec::new();
        put_line(
            &mut out,
            [
                "plain",
                "",
                "a,b",
                "say \"hi\"",
                "\"",
                "two\nlines",
                "a\rb",
                "x\ty",
                " spaced ",
            ],
        );
        let expected =
            "plain,,\"a,b\",\"say \"\"hi\"\"\",\"\"\"\",\"two\nlines\",\"a\rb\",x\ty, spaced \r\n";
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }
}
