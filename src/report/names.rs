//! Identifiers that follow from a report, so that the same report always has the same: UUIDs of version 5 (RFC 9562).

use uuid::Uuid;

use super::model::{Control, Report};

/// Ours; chosen once, at random.
const NAMESPACE: Uuid = Uuid::from_u128(0x5f0c_2a1e_7b64_4a0d_9c37_d1e8_64b2_90f3);

/// The identifier of a part of the report: `words` say which.
#[must_use]
pub(super) fn id(report: &Report, words: &[&str]) -> String {
    // A control character parts them, so that no two lists read alike.
    let name = [&[report.id.as_str()], words].concat().join("\u{1f}");
    Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
}

/// The identifier of what a control found.
#[must_use]
pub(super) fn finding_id(report: &Report, control: &Control) -> String {
    id(report, &["finding", &control.id])
}

/// A name space for properties of ours.
#[must_use]
pub(super) fn name_space() -> String {
    NAMESPACE.urn().to_string()
}
