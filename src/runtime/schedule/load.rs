//! Finds the schedules, and holds them to the job kinds that there are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::{SHIPPED, Schedule};
use crate::{
    config::{Place, Problem, ProblemKind, read_bounded},
    runtime::registry::{Refusal, Registry},
};

/// Nobody keeps so many by hand: a directory with more is the wrong one.
const MAX_FILES: usize = 1000;

/// The schedules of a directory, by name; those that ship with the program without one. Its files `*.toml` are one
/// schedule each. Hidden files, others and whatever is in directories below are left alone.
///
/// # Errors
/// All that is wrong with any of the files.
pub fn load(dir: Option<&Path>) -> Result<Vec<Schedule>, Vec<Problem>> {
    let Some(dir) = dir else {
        let files = SHIPPED.map(|(name, text)| (PathBuf::from(name), Ok(text.to_owned())));
        return parse(files);
    };
    let cannot_read = |error: io::Error| vec![unreadable(dir, &error.to_string())];
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot_read)? {
        let path = entry.map_err(cannot_read)?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension() != Some(OsStr::new("toml")) || is_hidden || path.is_dir() {
            continue;
        }
        paths.push(path);
        if paths.len() > MAX_FILES {
            let problem = format!("it has more than {MAX_FILES} files *.toml");
            return Err(vec![unreadable(dir, &problem)]);
        }
    }
    paths.sort();
    parse(paths.into_iter().map(|path| {
        let text = read_bounded(&path);
        (path, text)
    }))
}

/// Holds schedules to the job kinds that there are.
///
/// # Errors
/// Each kind that does not exist or is for other jobs only, and each payload that does not fit its kind.
pub fn check<S: Send + Sync + 'static>(
    schedules: &[Schedule],
    registry: &Registry<S>,
) -> Result<(), Vec<Problem>> {
    let problem = |schedule: &Schedule| {
        let job = registry.new_job(&schedule.kind, schedule.payload.clone(), "schedule");
        let (place, key, problem) = match job.err()? {
            Refusal::UnknownKind { kind, nearest } => {
                let meant =
                    nearest.map_or_else(String::new, |name| format!("; did you mean {name:?}?"));
                let problem = format!("= {kind:?} is no job kind{meant}");
                (&schedule.kind_place, "kind", problem)
            }
            Refusal::Payload { kind, problems } => {
                let problem = format!(
                    "does not fit {kind}: {problems}; trailkeeper schema {kind} shows what does"
                );
                (&schedule.payload_place, "payload", problem)
            }
        };
        Some(Problem {
            place: place.clone(),
            key: key.to_owned(),
            kind: ProblemKind::Invalid(problem),
        })
    };
    let problems: Vec<Problem> = schedules.iter().filter_map(problem).collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// A directory holds each file's name once, and a schedule's name is its file's: no two are of one name.
fn parse(
    files: impl IntoIterator<Item = (PathBuf, Result<String, String>)>,
) -> Result<Vec<Schedule>, Vec<Problem>> {
    let (mut schedules, mut problems) = (Vec::new(), Vec::new());
    for (path, text) in files {
        let text = text.map_err(|reason| vec![unreadable(&path, &reason)]);
        match text.and_then(|text| Schedule::parse(&path, &text)) {
            Ok(schedule) => schedules.push(schedule),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(schedules)
    } else {
        Err(problems)
    }
}

fn unreadable(path: &Path, reason: &str) -> Problem {
    Problem {
        place: Place::Whole(path.to_owned()),
        key: String::new(),
        kind: ProblemKind::Invalid(format!("cannot be read: {reason}")),
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
