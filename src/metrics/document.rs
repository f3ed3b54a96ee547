//! `docs/metrics.md`, made of the help texts.

use std::fmt::Write as _;

use super::{ALL, About};

/// What stands above the tables.
const HEAD: &str = "# Metrics

Made by `trailkeeper schema metrics`; a test holds it to the program. `/metrics` on `metrics.listen` tells them, in Prometheus' text format. What they are for:
[operations.md](operations.md), the alert rules in `config/alerts.yml`, the dashboards in `grafana/`.

- **Counters and histograms** are the process's own and begin at 0 with it. Their series are there from the start, so that `increase()` sees the first event.
- **Gauges that tell of the database** are the same on every worker, and right again as soon as one starts: they are read from it before `/metrics` answers, then every 10
  seconds (counts over whole tables every minute). Take `max by (…)` of them, not `sum`. `trailkeeper_sample_last_timestamp_seconds` says when they were last read.
- **Times** are seconds since 1970, and 0 where it never happened: an age is `time() - …`.
- **Organisations** have labels of their own up to `metrics.max_organizations`, in the order of their ids; those beyond are added up as `other`.

Beside these there are those that Prometheus' clients know of every process: `process_cpu_seconds_total`, `process_open_fds`, `process_max_fds`, `process_resident_memory_bytes`,
`process_virtual_memory_bytes`, `process_start_time_seconds`, `process_threads`.
";

/// The document.
#[must_use]
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for about in ALL {
        if about.section != section {
            section = about.section;
            let _ = write!(
                text,
                "\n## {section}\n\n| name | type | labels | what it tells |\n|---|---|---|---|\n"
            );
        }
        text += &row(about);
    }
    text
}

fn row(about: &About) -> String {
    let labels: Vec<String> = about.labels.iter().map(|it| format!("`{it}`")).collect();
    format!(
        "| `{}` | {} | {} | {} |\n",
        about.name,
        about.kind,
        labels.join(", "),
        about.help.trim_end_matches('.'),
    )
}
