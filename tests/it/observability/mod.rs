//! What Prometheus and Grafana make of the worker: alert rules, dashboards, and both on a worker that works.

mod alerts;
mod dashboards;
mod prometheus;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use trailkeeper::metrics;

/// Metrics that every process has.
const OF_THE_PROCESS: [&str; 7] = [
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];

/// What no rule and no dashboard uses, deliberately.
const UNUSED: [(&str, &str); 1] = [(
    "process_virtual_memory_bytes",
    "says little of a program that reserves address space; resident memory is shown",
)];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A dashboard.
struct Dashboard {
    name: String,
    path: PathBuf,
    document: Value,
}

fn dashboards() -> Vec<Dashboard> {
    let files = fs::read_dir(root().join("grafana")).expect("a directory");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("read a dashboard");
        let document = serde_json::from_str(&text).expect("JSON");
        let name = path.file_stem().expect("a name").to_string_lossy();
        Dashboard {
            name: name.into_owned(),
            document,
            path,
        }
    };
    paths.into_iter().map(read).collect()
}

impl Dashboard {
    /// Panels that ask something.
    fn panels(&self) -> impl Iterator<Item = &Value> {
        let panels = self.document["panels"].as_array().expect("panels");
        panels.iter().filter(|panel| panel["type"] != "row")
    }

    /// Each panel's title, and a query of it.
    fn queries(&self) -> Vec<(&str, &str)> {
        let mut queries = Vec::new();
        for panel in self.panels() {
            let title = panel["title"].as_str().expect("a title");
            for target in panel["targets"].as_array().expect("targets") {
                queries.push((title, target["expr"].as_str().expect("a query")));
            }
        }
        queries
    }
}

/// The metrics that a query names, histograms by their own names.
fn metrics_of(query: &str) -> BTreeSet<&str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let metrics = words.filter(|it| it.starts_with("trailkeeper_") || it.starts_with("process_"));
    metrics.map(family).collect()
}

/// The metric of a series: of a histogram there are three.
fn family(series: &str) -> &str {
    let parts = ["_bucket", "_sum", "_count"];
    let stem = parts.iter().find_map(|part| series.strip_suffix(part));
    let is_histogram = |stem: &&str| {
        let about = metrics::ALL.iter().find(|about| about.name == *stem);
        about.is_some_and(|about| about.kind == "histogram")
    };
    stem.filter(is_histogram).unwrap_or(series)
}

/// All metrics that there are.
fn known() -> BTreeSet<&'static str> {
    let ours = metrics::ALL.iter().map(|about| about.name);
    ours.chain(OF_THE_PROCESS).collect()
}
