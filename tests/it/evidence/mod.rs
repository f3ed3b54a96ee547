//! Evidence: what QWED's own export says, byte for byte, and what this program says of every entry.

mod erased;
mod program;
mod qwed;

use std::path::Path;

use trailkeeper::{
    evidence::{self, Asked, Profile, Trail, Written},
    progress::Progress,
    qwed::{Database, Period, url::DatabaseUrl},
};

use crate::support::trails::ring;

/// Everything of an organisation.
fn all_of(organization_id: i64, profile: Profile) -> Asked {
    Asked {
        organization_id,
        period: Period::default(),
        profile,
    }
}

/// The audit trail as CSV. Blocks.
fn log(database: &Database, key: &str, asked: &Asked, scratch: &Path) -> (Written, String) {
    let trail = Trail {
        database,
        ring: &ring(key),
        anchored: None,
        scratch,
        progress: &Progress::default(),
    };
    let mut out = Vec::new();
    let written = evidence::write_log(&mut out, &trail, asked).expect("write");
    assert_eq!(written.size_bytes, out.len() as u64);
    (written, String::from_utf8(out).expect("UTF-8"))
}

/// Security events as CSV. Blocks.
fn events(url: &DatabaseUrl, asked: &Asked, scratch: &Path) -> String {
    let mut out = Vec::new();
    evidence::write_events(&mut out, url, asked, scratch, &Progress::default()).expect("write");
    String::from_utf8(out).expect("UTF-8")
}

/// Rows as maps from column to value, as the `csv` crate reads them.
fn rows(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.deserialize();
    rows.map(|row| row.expect("a row")).collect()
}
