//! Runbooks: one for each alert, each with what whoever is called at night needs, and with commands that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::Arguments;
use crate::{config::Config, jobs::registry, metrics, runtime::schedule};

const SECTIONS: [&str; 4] = ["## What it means", "## Confirm", "## What to do", "## Undo"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn runbooks() -> Vec<(String, String)> {
    let files = fs::read_dir(root().join("docs/runbooks")).expect("a directory");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy();
        (
            name.into_owned(),
            fs::read_to_string(path).expect("read a runbook"),
        )
    };
    paths.iter().map(read).collect()
}

/// What follows `key` on the lines that begin with it.
fn values<'t>(text: &'t str, key: &'t str) -> impl Iterator<Item = &'t str> {
    text.lines()
        .filter_map(move |line| line.trim().strip_prefix(key))
}

/// Words as a shell takes them, as far as runbooks need it: quotes, and comments.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted, mut has_word) =
        (Vec::new(), String::new(), false, false);
    for character in line.chars() {
        match character {
            '"' => (is_quoted, has_word) = (!is_quoted, true),
            '#' if !is_quoted && !has_word => break,
            ' ' if !is_quoted => {
                if has_word {
                    words.push(std::mem::take(&mut word));
                }
                has_word = false;
            }
            _ => {
                word.push(character);
                has_word = true;
            }
        }
    }
    assert!(!is_quoted, "{line}: a quote is open");
    if has_word {
        words.push(word);
    }
    words
}

/// Commands of ours in blocks and in running text.
fn commands(text: &str) -> Vec<&str> {
    let is_command = |text: &&str| text.starts_with("trailkeeper ");
    let mut found: Vec<&str> = text.lines().filter(is_command).collect();
    // Every second piece between backquotes is code.
    for line in text.lines().filter(|line| !line.starts_with("```")) {
        found.extend(line.split('`').skip(1).step_by(2).filter(is_command));
    }
    found
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() {
    let rules = fs::read_to_string(root().join("config/alerts.yml")).expect("read the rules");
    let alerts: BTreeSet<&str> = values(&rules, "- alert: ").collect();
    let urls: BTreeSet<&str> = values(&rules, "runbook_url: ").collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    let runbooks = runbooks();
    let names: BTreeSet<&str> = runbooks.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(alerts, names);
    for name in names {
        let url = format!("docs/runbooks/{name}.md");
        assert!(urls.contains(url.as_str()), "no alert links to {url}");
    }
    assert_eq!(urls.len(), alerts.len());
}

#[test]
fn runbooks_say_what_it_means_how_to_confirm_it_what_to_do_and_how_to_undo_that() {
    for (name, text) in runbooks() {
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        let mut rest = text.as_str();
        for section in SECTIONS {
            let (before, after) = rest
                .split_once(&format!("\n{section}\n"))
                .unwrap_or_else(|| panic!("{name} lacks {section:?}, or has it elsewhere"));
            assert!(before.trim().len() > 10, "{name}: nothing before {section}");
            rest = after;
        }
        assert!(rest.trim().len() > 10, "{name}: its last section is empty");
        assert_eq!(values(&text, "## ").count(), SECTIONS.len(), "{name}");
    }
}

#[test]
fn what_runbooks_name_exists() {
    let registry = registry(&Config::default());
    let schedules = schedule::load(None).expect("schedules");
    let mut seen = 0;
    for (name, text) in runbooks() {
        for command in commands(&text) {
            let words = words(command);
            if let Err(error) = Arguments::try_parse_from(&words) {
                panic!("{name}: {command}\n{error}");
            }
            let after = |what: &[&str]| {
                let at = words.windows(what.len()).position(|some| some == what)?;
                words.get(at + what.len()).map(String::as_str)
            };
            for kind in [after(&["--kind"]), after(&["enqueue"])]
                .into_iter()
                .flatten()
            {
                assert!(registry.kind(kind).is_some(), "{name}: {command}");
            }
            for act in ["pause", "resume", "run-now"] {
                if let Some(schedule) = after(&["schedules", act]) {
                    let is_it = |it: &schedule::Schedule| it.name == schedule;
                    assert!(schedules.iter().any(is_it), "{name}: {command}");
                }
            }
            seen += 1;
        }
        let code = text.split('`').skip(1).step_by(2);
        for metric in code.filter(|code| code.starts_with("trailkeeper_")) {
            let metric = metric.split('{').next().unwrap_or_default();
            let is_known = metrics::ALL.iter().any(|about| about.name == metric);
            assert!(is_known, "{name}: there is no {metric}");
        }
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap_or_default();
            let path = root().join("docs/runbooks").join(link);
            assert!(path.exists(), "{name}: {link} leads nowhere");
        }
    }
    assert!(seen > 80, "{seen} commands");
}

#[test]
fn words_are_a_shell_s() {
    assert_eq!(words("a  \"b c\" d#e # f"), ["a", "b c", "d#e"]);
}
