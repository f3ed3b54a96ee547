//! What is signed about one trail: a checkpoint in the form of [C2SP tlog-checkpoint](https://c2sp.org/tlog-checkpoint).
//!
//! Origin, size and root are a line each; then come ours, and whatever others add: `head ID HASH` or `head none`,
//! `time RFC3339`, `anchor NUMBER`. C2SP's tools pass over these, and ours over those of others.

use jiff::Timestamp;
use thiserror::Error;

use super::head::Head;
use super::lines::{is_line, number, time};
use super::merkle::Hash;
use super::note::{Note, NoteError, SecretKey, VerifierKey, VerifyError};

/// The most lines that are read.
const MAX_LINES: usize = 64;

/// Why text is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The origin is empty or holds a control character.
    #[error("a checkpoint begins with a line that says whose it is")]
    Origin,
    /// No size.
    #[error("the second line of a checkpoint is the tree's size, a number without leading zeros")]
    Size,
    /// No root.
    #[error("the third line of a checkpoint is the tree's root, a hash in base64")]
    Root,
    /// A line of ours that does not say what it should, or stands there twice; or an empty one.
    #[error("line {0} of the checkpoint is malformed")]
    Line(usize),
    /// Another's line that would be read as one of ours.
    #[error("a line that others added to the checkpoint reads as one of its own")]
    Extension,
    /// Does not end with a newline.
    #[error("the checkpoint is cut off")]
    CutOff,
    /// More lines than any checkpoint has.
    #[error("the checkpoint has over {MAX_LINES} lines")]
    TooLong,
}

/// A tree of some size, at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose tree it is.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The trail's newest entry: `Some(None)` where the trail says that it has none, `None` where it says nothing.
    pub head: Option<Option<Head>>,
    /// When it was made.
    pub time: Option<Timestamp>,
    /// The number of the run that made it, which the inventory of the same run has as well.
    pub anchor: Option<u64>,
    /// Lines that others added.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self {
            origin,
            size,
            root,
            head,
            time,
            anchor,
            extensions,
        } = self;
        let mut text = format!("{origin}\n{size}\n{root}\n");
        let head = head.as_ref().map(|head| match head {
            Some(head) => format!("head {}", head.to_words()),
            None => "head none".to_owned(),
        });
        let ours = [
            head,
            time.map(|time| format!("time {time}")),
            anchor.map(|anchor| format!("anchor {anchor}")),
        ];
        for line in ours.iter().flatten().chain(extensions) {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Reads a note's text.
    ///
    /// # Errors
    /// If it is no checkpoint.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let text = text.strip_suffix('\n').ok_or(CheckpointError::CutOff)?;
        let mut lines = text.split('\n').zip(1..);
        let mut line = || lines.next().map(|(line, _)| line);
        let origin = line().filter(|line| is_line(line));
        let origin = origin.ok_or(CheckpointError::Origin)?.to_owned();
        let size = line().and_then(number).ok_or(CheckpointError::Size)?;
        let root = line().and_then(|root| root.parse().ok());
        let root = root.ok_or(CheckpointError::Root)?;
        let mut checkpoint = Self {
            origin,
            size,
            root,
            head: None,
            time: None,
            anchor: None,
            extensions: Vec::new(),
        };
        for (line, at) in lines {
            if at > MAX_LINES {
                return Err(CheckpointError::TooLong);
            }
            checkpoint.read(line).ok_or(CheckpointError::Line(at))?;
        }
        Ok(checkpoint)
    }

    /// Reads a line behind the third.
    fn read(&mut self, line: &str) -> Option<()> {
        fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
            field.replace(value).is_none().then_some(())
        }
        if !is_line(line) {
            return None;
        }
        match line.split_once(' ') {
            Some(("head", "none")) => once(&mut self.head, None),
            Some(("head", words)) => once(&mut self.head, Some(Head::from_words(words)?)),
            Some(("time", text)) => once(&mut self.time, time(text)?),
            Some(("anchor", text)) => once(&mut self.anchor, number(text)?),
            _ => {
                self.extensions.push(line.to_owned());
                Some(())
            }
        }
    }

    /// Signs it.
    ///
    /// # Errors
    /// If origin or extensions hold what cannot be signed, or read back.
    pub fn sign(&self, key: &SecretKey) -> Result<Note, OpenError> {
        let text = self.to_text();
        if Self::parse(&text)? != *self {
            return Err(CheckpointError::Extension.into());
        }
        Ok(Note::sign(text, key)?)
    }

    /// The checkpoint of a note that one of `keys` signed, and the key.
    ///
    /// # Errors
    /// If none did, or it is no checkpoint.
    pub fn open<'k>(
        note: &Note,
        keys: &'k [VerifierKey],
    ) -> Result<(Self, Vec<&'k VerifierKey>), OpenError> {
        let signers = note.verify(keys)?;
        Ok((Self::parse(note.text())?, signers))
    }
}

/// Why there is no checkpoint to go by.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// It is not a note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Nobody known signed it.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// What was signed is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::head::HeadHash;

    const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

    #[test]
    fn ours_is_read_as_written() {
        let text = format!(
            "example.com/trail/7\n20852163\n{ROOT}\nhead 91 abc\ntime 2026-05-08T12:30:00.5Z\nanchor 12\nother x\n"
        );
        let checkpoint = Checkpoint::parse(&text).expect("a checkpoint");
        assert_eq!(checkpoint.to_text(), text);
        let head = Head {
            id: 91,
            hash: HeadHash::of(Some(b"abc")),
        };
        assert_eq!(checkpoint.head, Some(Some(head)));
        assert_eq!(checkpoint.extensions, ["other x"]);
        let empty = format!("x\n0\n{}\nhead none\n", Hash::EMPTY);
        let checkpoint = Checkpoint::parse(&empty).expect("a checkpoint");
        assert_eq!(
            (checkpoint.head.as_ref(), checkpoint.size),
            (Some(&None), 0)
        );
        assert_eq!(checkpoint.to_text(), empty);
    }

    #[test]
    fn what_c2sp_shows_is_read() {
        let note = format!(
            "example.com/behind-the-sofa\n20852163\n{ROOT}\n\n— example.com/behind-the-sofa \
             Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        );
        let note: Note = note.parse().expect("a note");
        let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
    }

    #[test]
    fn anything_else_is_refused() {
        use CheckpointError::{CutOff, Line, Origin, Root, Size, TooLong};
        let long = format!("o\n1\n{ROOT}\n{}", "x\n".repeat(100));
        for (text, error) in [
            (String::new(), CutOff),
            ("\n".to_owned(), Origin),
            (format!("\n1\n{ROOT}\n"), Origin),
            (format!("o\n01\n{ROOT}\n"), Size),
            (format!("o\n+1\n{ROOT}\n"), Size),
            (format!("o\n-1\n{ROOT}\n"), Size),
            (format!("o\n18446744073709551616\n{ROOT}\n"), Size),
            ("o\n1\n".to_owned(), Root),
            ("o\n1\nabc\n".to_owned(), Root),
            (format!("o\n1\n{ROOT}"), CutOff),
            (format!("o\n1\n{ROOT}\n\n"), Line(4)),
            (format!("o\n1\n{ROOT}\nx\n\ny\n"), Line(5)),
            (format!("o\n1\n{ROOT}\nx"), CutOff),
            (format!("o\n1\n{ROOT}\nx\ty\n"), Line(4)),
            (format!("o\n1\n{ROOT}\nhead 7\n"), Line(4)),
            (format!("o\n1\n{ROOT}\nhead none\nhead none\n"), Line(5)),
            (format!("o\n1\n{ROOT}\ntime 2026-05-08\n"), Line(4)),
            (
                format!("o\n1\n{ROOT}\ntime 2026-05-08T00:00:00+00:00\n"),
                Line(4),
            ),
            (format!("o\n1\n{ROOT}\nanchor 007\n"), Line(4)),
            (long, TooLong),
        ] {
            assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
        }
    }
}
