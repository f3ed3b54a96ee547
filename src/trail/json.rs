//! JSON re-written as `json.dumps(json.loads(text), sort_keys=True)` does in CPython.
//!
//! QWED signs the *decoded* `result`, so a verifier must reproduce what CPython makes of the stored
//! text: accepted are `NaN` and `±Infinity`, integers of any length and lone surrogates; the last of
//! duplicate keys wins, compared after escapes are decoded; keys sort by code point.
//!
//! QWED stores what `json.dumps` wrote, so nearly every text is canonical but for the order of keys. The first reading
//! therefore only checks that, and notes where the members of *unordered* objects stand. If it meets anything
//! that CPython would write differently, a second reading rewrites the text into a buffer and notes the same. Either
//! way [`Canonicalizer::emit`] then hands out the pieces in sorted order. Nothing recurses, and beyond the
//! text memory holds a few words for each member of an unordered object.

mod reader;

use core::cmp::Ordering;

use thiserror::Error;

use self::reader::Reader;
use super::text;

/// Deeper nesting than any CPython can read, write or therefore sign (its limit is a few thousand);
/// bounds the memory that a hostile document can claim.
pub const MAX_DEPTH: usize = 1_000_000;

/// Why a text is not JSON, with the offset in bytes where reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{reason} at byte {offset}")]
pub struct NotJson {
    /// Offset in bytes from the start of the text.
    pub offset: usize,
    /// What was wrong there, in plain words.
    pub reason: &'static str,
}

/// One member of an object, as offsets into the canonical text.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// The first eight bytes of the key, big-endian, so that most comparisons are one of integers.
    prefix: u64,
    /// Start of the key, at its quote.
    start: usize,
    /// Behind the key's closing quote.
    key_end: usize,
    /// Behind the value.
    end: usize,
    /// The first noted object that can lie within this member.
    first_object: usize,
    /// Whether the written key equals the decoded key.
    plain: bool,
}

impl Member {
    fn key<'a>(&self, out: &'a [u8]) -> &'a [u8] {
        &out[self.start + 1..self.key_end - 1]
    }

    /// Orders keys by code point, as Python orders strings.
    #[inline]
    fn compare(&self, other: &Self, out: &[u8]) -> Ordering {
        if self.plain && other.plain {
            return self
                .prefix
                .cmp(&other.prefix)
                .then_with(|| self.key(out).cmp(other.key(out)));
        }
        text::code_points(self.key(out)).cmp(text::code_points(other.key(out)))
    }
}

/// An object in the canonical text, in the order in which objects start.
#[derive(Debug, Clone, Copy)]
struct Object {
    start: usize,
    end: usize,
    /// Its members in sorted order; empty where the object stands in order already.
    first_member: usize,
    end_member: usize,
    /// The first noted object behind everything nested in this one.
    next: usize,
}

/// An object whose closing brace has not been read yet.
#[derive(Debug, Clone, Copy)]
struct OpenObject {
    object: usize,
    /// Where its members start in `open_members`.
    base: usize,
    ordered: bool,
}

/// What [`Canonicalizer::emit`] still has to do when a member is done.
#[derive(Debug, Clone, Copy)]
struct Frame {
    position: usize,
    end: usize,
    object: usize,
    member: usize,
    end_member: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nest {
    Array,
    Object,
}

/// Where the members of unordered objects stand.
#[derive(Debug, Default)]
struct Structure {
    nests: Vec<Nest>,
    open: Vec<OpenObject>,
    open_members: Vec<Member>,
    members: Vec<Member>,
    objects: Vec<Object>,
}

/// Reads one JSON text after another into reused memory.
#[derive(Debug, Default)]
pub struct Canonicalizer {
    structure: Structure,
    /// The text rewritten; unused where it is canonical as it stands.
    rewritten: Vec<u8>,
    is_verbatim: bool,
    frames: Vec<Frame>,
}

/// Memory kept from one text to the next; what a giant left behind beyond this is given back.
const KEPT_BYTES: usize = 1 << 20;

fn reset<T>(list: &mut Vec<T>) {
    list.clear();
    if list.capacity() * size_of::<T>() > KEPT_BYTES {
        *list = Vec::new();
    }
}

impl Canonicalizer {
    /// A canonicaliser that holds no text yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads `text`, which must be one JSON value with nothing but white space around it.
    ///
    /// # Errors
    /// Where `json.loads` would raise, or at [`MAX_DEPTH`]. Nothing may be emitted then.
    #[inline]
    pub fn parse(&mut self, text: &[u8]) -> Result<(), NotJson> {
        self.structure.reset();
        reset(&mut self.rewritten);
        let mut reader = Reader::<true>::new(text, &mut self.rewritten);
        self.is_verbatim = self.structure.document(&mut reader).is_ok();
        if self.is_verbatim {
            Ok(())
        } else {
            self.rewrite(text)
        }
    }

    fn rewrite(&mut self, text: &[u8]) -> Result<(), NotJson> {
        self.structure.reset();
        let mut reader = Reader::<false>::new(text, &mut self.rewritten);
        let read = self.structure.document(&mut reader);
        read.map_err(|reason| NotJson {
            offset: reader.at,
            reason,
        })
    }

    /// Hands the canonical form of `text`, which was parsed last, to `sink`, piece by piece.
    #[inline]
    pub fn emit(&mut self, text: &[u8], mut sink: impl FnMut(&[u8])) {
        let out = if self.is_verbatim {
            text
        } else {
            &self.rewritten
        };
        let Structure {
            objects, members, ..
        } = &self.structure;
        self.frames.clear();
        let (mut position, mut end, mut object) = (0, out.len(), 0);
        loop {
            // Objects that stand in order are part of the run around them.
            while let Some(next) = objects.get(object)
                && next.first_member == next.end_member
            {
                object += 1;
            }
            if let Some(next) = objects.get(object)
                && next.start < end
            {
                sink(&out[position..=next.start]);
                self.frames.push(Frame {
                    position: next.end - 1,
                    end,
                    object: next.next,
                    member: next.first_member + 1,
                    end_member: next.end_member,
                });
                let member = &members[next.first_member];
                (position, end, object) = (member.start, member.end, member.first_object);
                continue;
            }
            sink(&out[position..end]);
            let Some(frame) = self.frames.last_mut() else {
                return;
            };
            if frame.member < frame.end_member {
                sink(b", ");
                let member = &members[frame.member];
                frame.member += 1;
                (position, end, object) = (member.start, member.end, member.first_object);
            } else {
                (position, end, object) = (frame.position, frame.end, frame.object);
                self.frames.pop();
            }
        }
    }
}

impl Structure {
    fn reset(&mut self) {
        reset(&mut self.nests);
        reset(&mut self.open);
        reset(&mut self.open_members);
        reset(&mut self.members);
        reset(&mut self.objects);
    }

    fn document<const VERBATIM: bool>(
        &mut self,
        reader: &mut Reader<'_, VERBATIM>,
    ) -> Result<(), &'static str> {
        reader.skip_space();
        loop {
            // A value starts here; opening an object or array that is not empty leads to another.
            match reader.peek() {
                Some(b'"') => {
                    reader.string()?;
                }
                Some(b'{') => {
                    self.open_object(reader)?;
                    if reader.peek() == Some(b'}') {
                        self.close_object(reader);
                    } else {
                        self.key(reader)?;
                        continue;
                    }
                }
                Some(b'[') => {
                    reader.symbol(b'[');
                    reader.skip_space();
                    if reader.peek() == Some(b']') {
                        reader.symbol(b']');
                    } else {
                        self.nest(Nest::Array)?;
                        continue;
                    }
                }
                _ => reader.scalar()?,
            }
            if !self.after_value(reader)? {
                return Ok(());
            }
        }
    }

    /// What follows a value: closes what ends here, and says whether another value follows.
    #[inline]
    fn after_value<const VERBATIM: bool>(
        &mut self,
        reader: &mut Reader<'_, VERBATIM>,
    ) -> Result<bool, &'static str> {
        loop {
            reader.skip_space();
            let Some(&nest) = self.nests.last() else {
                return match reader.peek() {
                    None => Ok(false),
                    Some(_) => Err("something follows the value"),
                };
            };
            match (nest, reader.peek()) {
                (Nest::Array, Some(b',')) => {
                    reader.separator(b", ")?;
                    return Ok(true);
                }
                (Nest::Object, Some(b',')) => {
                    self.end_member(reader);
                    reader.separator(b", ")?;
                    self.key(reader)?;
                    return Ok(true);
                }
                (Nest::Array, Some(b']')) => {
                    reader.symbol(b']');
                    self.nests.pop();
                }
                (Nest::Object, Some(b'}')) => {
                    self.end_member(reader);
                    self.close_object(reader);
                }
                (Nest::Array, _) => return Err("expected ',' or ']'"),
                (Nest::Object, _) => return Err("expected ',' or '}'"),
            }
        }
    }

    #[inline]
    fn nest(&mut self, nest: Nest) -> Result<(), &'static str> {
        if self.nests.len() == MAX_DEPTH {
            return Err("nested too deeply");
        }
        self.nests.push(nest);
        Ok(())
    }

    #[inline]
    fn open_object<const VERBATIM: bool>(
        &mut self,
        reader: &mut Reader<'_, VERBATIM>,
    ) -> Result<(), &'static str> {
        self.nest(Nest::Object)?;
        self.open.push(OpenObject {
            object: self.objects.len(),
            base: self.open_members.len(),
            ordered: true,
        });
        let start = reader.position();
        self.objects.push(Object {
            start,
            end: 0,
            first_member: 0,
            end_member: 0,
            next: 0,
        });
        reader.symbol(b'{');
        reader.skip_space();
        Ok(())
    }

    #[inline]
    fn key<const VERBATIM: bool>(
        &mut self,
        reader: &mut Reader<'_, VERBATIM>,
    ) -> Result<(), &'static str> {
        if reader.peek() != Some(b'"') {
            return Err("expected a property name in double quotes");
        }
        let start = reader.position();
        let plain = reader.string()?;
        let key_end = reader.position();
        reader.skip_space();
        if reader.peek() != Some(b':') {
            return Err("expected ':'");
        }
        reader.separator(b": ")?;
        let canonical = reader.canonical();
        let member = Member {
            prefix: prefix(&canonical[start + 1..], key_end - start - 2),
            start,
            key_end,
            end: 0,
            first_object: self.objects.len(),
            plain,
        };
        if let Some(open) = self.open.last_mut() {
            if open.ordered
                && let Some(last) = self.open_members.get(open.base..).and_then(<[_]>::last)
            {
                open.ordered = last.compare(&member, canonical) == Ordering::Less;
            }
            self.open_members.push(member);
        }
        Ok(())
    }

    #[inline]
    fn end_member<const VERBATIM: bool>(&mut self, reader: &Reader<'_, VERBATIM>) {
        if let Some(member) = self.open_members.last_mut() {
            member.end = reader.position();
        }
    }

    #[inline]
    fn close_object<const VERBATIM: bool>(&mut self, reader: &mut Reader<'_, VERBATIM>) {
        reader.symbol(b'}');
        self.nests.pop();
        let Some(open) = self.open.pop() else { return };
        let behind = self.objects.len();
        if open.ordered && behind == open.object + 1 {
            self.objects.pop();
        } else {
            let first_member = self.members.len();
            if !open.ordered {
                self.sort_members(open.base, reader.canonical());
            }
            self.objects[open.object] = Object {
                end: reader.position(),
                first_member,
                end_member: self.members.len(),
                next: behind,
                ..self.objects[open.object]
            };
        }
        self.open_members.truncate(open.base);
    }

    /// Moves the members from `base` on into `members`, sorted, the last of equal keys only.
    fn sort_members(&mut self, base: usize, canonical: &[u8]) {
        let open = &mut self.open_members[base..];
        open.sort_unstable_by(|a, b| a.compare(b, canonical).then(a.start.cmp(&b.start)));
        let first = self.members.len();
        for member in open.iter() {
            match self.members.get_mut(first..).and_then(<[_]>::last_mut) {
                Some(last) if last.compare(member, canonical) == Ordering::Equal => *last = *member,
                _ => self.members.push(*member),
            }
        }
    }
}

/// The first eight bytes of the key of this length at the start of `text`, big-endian, zeros behind its end.
#[inline(always)]
fn prefix(text: &[u8], length: usize) -> u64 {
    let Some(chunk) = text.first_chunk::<8>() else {
        return (0..8).fold(0, |prefix, index| {
            let byte = text.get(index).filter(|_| index < length);
            prefix << 8 | u64::from(byte.copied().unwrap_or(0))
        });
    };
    let beyond = 64 - 8 * length.min(8) as u32;
    u64::from_be_bytes(*chunk)
        .checked_shr(beyond)
        .unwrap_or(0)
        .checked_shl(beyond)
        .unwrap_or(0)
}

/// `json.dumps(json.loads(text), sort_keys=True)`.
///
/// ```
/// use trailkeeper::trail::json::canonical;
///
/// let written = canonical(r#"{"b": 1e5, "a": "é", "b": [NaN, -0]}"#.as_bytes()).unwrap();
/// assert_eq!(written, br#"{"a": "\u00e9", "b": [NaN, 0]}"#);
/// ```
///
/// # Errors
/// Where `json.loads` would raise.
pub fn canonical(text: &[u8]) -> Result<Vec<u8>, NotJson> {
    let mut canonicalizer = Canonicalizer::new();
    canonicalizer.parse(text)?;
    let mut out = Vec::with_capacity(text.len());
    canonicalizer.emit(text, |piece| out.extend_from_slice(piece));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let written = canonical(text.as_bytes()).unwrap();
        assert_eq!(core::str::from_utf8(&written).unwrap(), expected, "{text}");
    }

    #[test]
    fn sorts_keys_at_every_depth() {
        check(
            r#"{"b":{"z":1,"a":[{"y":2,"x":{}}]},"a":{"c":{"2":2,"1":1}},"":0}"#,
            r#"{"": 0, "a": {"c": {"1": 1, "2": 2}}, "b": {"a": [{"x": {}, "y": 2}], "z": 1}}"#,
        );
    }

    #[test]
    fn an_ordered_object_may_hold_an_unordered_one() {
        check(
            r#"[{"a":{"b":{"d":1,"c":2}},"e":{"f":0}},{"g":{"i":1,"h":2}}]"#,
            r#"[{"a": {"b": {"c": 2, "d": 1}}, "e": {"f": 0}}, {"g": {"h": 2, "i": 1}}]"#,
        );
    }

    #[test]
    fn the_last_of_equal_keys_wins() {
        check(
            r#"{"b":1,"a":2,"b":3,"a":{"z":1,"z":2}}"#,
            r#"{"a": {"z": 2}, "b": 3}"#,
        );
        check(
            r#"{"k\u0065y":{"b":1,"a":2},"key":"wins"}"#,
            r#"{"key": "wins"}"#,
        );
    }

    #[test]
    fn keys_sort_by_code_point() {
        check(
            r#"{"😀":1,"\uffff":2,"\ue000":3,"\ud800":4,"é":5,"z":6,"Z":7,"10":8,"9":9,"\n":0}"#,
            r#"{"\n": 0, "10": 8, "9": 9, "Z": 7, "z": 6, "\u00e9": 5, "\ud800": 4, "\ue000": 3, "\uffff": 2, "\ud83d\ude00": 1}"#,
        );
    }

    #[test]
    fn takes_what_only_cpython_takes() {
        check(
            " [NaN , -Infinity,Infinity, 1E400, -0]\n",
            "[NaN, -Infinity, Infinity, Infinity, 0]",
        );
    }

    #[test]
    fn says_where_it_stopped() {
        for (text, offset) in [
            ("", 0),
            ("[1,]", 3),
            ("{\"a\":1,}", 7),
            ("{\"a\" 1}", 5),
            ("01", 1),
            ("1.", 1),
            ("tru", 0),
            ("\"a", 2),
            ("\"\n\"", 1),
            ("\"\\x\"", 3),
            ("\"\\u12g4\"", 3),
            ("[1] 2", 4),
            ("\u{feff}1", 0),
            ("-NaN", 0),
            ("{1:2}", 1),
        ] {
            let error = canonical(text.as_bytes()).unwrap_err();
            assert_eq!(error.offset, offset, "{text:?}: {error}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        for (open, close) in [("[", "]"), ("{\"b\":0,\"a\":", "}")] {
            let depth = 100_000;
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let written = canonical(text.as_bytes()).unwrap();
            assert!(written.len() > text.len() - 1);
            assert_eq!(canonical(&written).unwrap(), written);
        }
        let text = "[".repeat(MAX_DEPTH + 1);
        assert_eq!(
            canonical(text.as_bytes()).unwrap_err().reason,
            "nested too deeply"
        );
    }
}
