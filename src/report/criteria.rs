//! The Trust Services Criteria (AICPA TSP section 100, 2017 with revised points of focus of 2022) that controls are evidence
//! for, by number and in short words of our own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A criterion.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Criterion {
    /// Its number: `CC6.1`.
    pub id: String,
    /// What it is about.
    pub about: String,
}

const CRITERIA: [(&str, &str); 12] = [
    (
        "CC6.1",
        "Logical access security over protected information",
    ),
    ("CC6.2", "Registering users and removing their access"),
    ("CC6.3", "Access by role, least privilege, and its changes"),
    ("CC7.2", "Monitoring for anomalies"),
    ("CC7.3", "Evaluating security events"),
    ("A1.2", "Backups and recovery infrastructure"),
    ("A1.3", "Testing recovery"),
    ("PI1.2", "Inputs are complete and accurate"),
    ("PI1.4", "Outputs are complete, accurate and kept"),
    ("P4.3", "Disposing of personal information"),
    ("P5.1", "Access of data subjects to their information"),
    ("PI1.5", "Stored items are complete, accurate and protected"),
];

/// The criteria of these numbers. A number that is not in the list has no words.
#[must_use]
pub fn criteria(ids: &[&str]) -> Vec<Criterion> {
    let about = |id: &str| CRITERIA.iter().find(|(known, _)| *known == id);
    let criterion = |id: &&str| Criterion {
        id: (*id).to_owned(),
        about: about(id).map_or_else(String::new, |(_, about)| (*about).to_owned()),
    };
    ids.iter().map(criterion).collect()
}
