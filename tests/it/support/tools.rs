//! The Python programs of `tests/tools`, and the seed of random tests.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// A command that runs `tests/tools/NAME` with the Python that `scripts/setup` installed.
///
/// # Panics
///
/// When `scripts/setup` has not been run for this build's target directory.
#[track_caller]
pub(crate) fn tool(name: &str) -> Command {
    let python =
        Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-tools/venv/bin/python");
    assert!(
        python.is_file(),
        "there is no {}: run scripts/setup, with the CARGO_TARGET_DIR of this build",
        python.display()
    );
    let mut command = Command::new(python);
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "tools", name]
        .iter()
        .collect();
    command.arg(script);
    // What a developer set for their own QWED is not for ours.
    for variable in ["DATABASE_URL", "QWED_AUDIT_SECRET_KEY", "PYTHONPATH"] {
        command.env_remove(variable);
    }
    command
}

/// What CPython makes of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Accepted, and written again like this.
    Canonical(Vec<u8>),
    /// `json.loads` raised.
    Refused,
    /// Nested deeper than this CPython can read or write.
    TooDeep,
}

/// CPython's answer to each document, from one run of `canonical.py`.
#[track_caller]
pub(crate) fn cpython(documents: &[Vec<u8>]) -> Vec<Answer> {
    const REFUSED: u32 = 0xffff_ffff;
    const TOO_DEEP: u32 = 0xffff_fffe;

    let mut child = tool("canonical.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start canonical.py; scripts/setup installs its Python");
    let mut input = Vec::new();
    for document in documents {
        let length = u32::try_from(document.len()).expect("a document under 4 GB");
        input.extend(length.to_le_bytes());
        input.extend(document);
    }
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let output = thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(&input).expect("send the documents"));
        child.wait_with_output().expect("read the answers")
    });
    assert!(output.status.success(), "canonical.py: {}", output.status);

    let mut rest = output.stdout.as_slice();
    let answers: Vec<Answer> = documents
        .iter()
        .map(|_| {
            let (length, behind) = rest.split_first_chunk().expect("an answer's length");
            rest = behind;
            match u32::from_le_bytes(*length) {
                REFUSED => Answer::Refused,
                TOO_DEEP => Answer::TooDeep,
                length => {
                    let (text, behind) = rest.split_at(length as usize);
                    rest = behind;
                    Answer::Canonical(text.to_vec())
                }
            }
        })
        .collect();
    assert!(rest.is_empty(), "canonical.py answered too much");
    answers
}

/// The seed of a random test: `TRAILKEEPER_SEED`, or else a new one. Printed, so that a failure can be had again.
#[track_caller]
pub(crate) fn seed() -> u64 {
    let seed = number("TRAILKEEPER_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("TRAILKEEPER_SEED={seed}");
    seed
}

/// The number that an environment variable holds, if it is set.
#[track_caller]
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(error) => panic!("{variable} is {text:?}: {error}"),
    }
}
