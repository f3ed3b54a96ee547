//! What packages bring along beside the program, made of its own command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::program::Program;

/// The manual pages, by name.
fn pages(directory: &Path) -> BTreeMap<String, String> {
    fs::create_dir(directory).expect("make a directory");
    let run = Program::bare()
        .args(["generate", "man"])
        .arg(directory)
        .run();
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    let files = fs::read_dir(directory).expect("list");
    files
        .map(|file| {
            let file = file.expect("a file");
            let text = fs::read_to_string(file.path()).expect("read");
            (file.file_name().into_string().expect("a name"), text)
        })
        .collect()
}

#[test]
fn each_command_has_a_manual_page() {
    let directory = tempfile::tempdir().expect("make a directory");
    let found = pages(&directory.path().join("one"));
    for name in [
        "trailkeeper",
        "trailkeeper-run",
        "trailkeeper-erase-request",
    ] {
        let page = found.get(&format!("{name}.1"));
        let page = page.unwrap_or_else(|| panic!("{name} has no page"));
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(found["trailkeeper.1"].contains("trailkeeper\\-verify(1)"));
    assert!(found["trailkeeper-run.1"].contains("SIGTERM"));
    // What makes the pages is for whoever makes packages.
    assert!(!found.keys().any(|name| name.contains("generate")));
    // Packages are to be the same wherever they are made.
    assert_eq!(pages(&directory.path().join("two")), found);

    let run = Program::bare()
        .args(["generate", "man", "/nonexistent"])
        .run();
    let (code, line) = run.failure();
    assert_eq!(code, Some(3));
    assert!(line.contains("/nonexistent"), "{line}");
}

#[test]
fn bash_completes_commands() {
    let run = Program::bare()
        .args(["generate", "completions", "bash"])
        .run();
    assert_eq!(run.code, Some(0), "{run:?}");
    let directory = tempfile::tempdir().expect("make a directory");
    let script = directory.path().join("trailkeeper.bash");
    fs::write(&script, &run.stdout).expect("write");
    // As readline asks: the words of the line, and where the cursor is.
    let ask = "source \"$0\"; COMP_WORDS=(trailkeeper erase re); COMP_CWORD=2; \
               _trailkeeper trailkeeper re erase; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-c", ask])
        .arg(&script)
        .stdin(Stdio::null())
        .output()
        .expect("start bash");
    let answers = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(answers.lines().any(|word| word == "request"), "{answers}");
    for shell in ["zsh", "fish"] {
        let run = Program::bare()
            .args(["generate", "completions", shell])
            .run();
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stdout.contains("audit-pack"), "{}", run.stdout);
    }
}
