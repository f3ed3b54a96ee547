//! What kinds of jobs are about that is guarded by a scope of its own: whoever may queue jobs must not get round it, nor read by a job
//! what they may not read otherwise.

use serde_json::Value;

use super::{
    Fault,
    auth::{Operator, allow},
};
use crate::{config::Scope, state::jobs::JobView};

/// Kinds about data subjects: what asking for one takes beside `jobs:write`, and what reading its payload and outcome takes beside
/// `jobs:read`.
pub const GUARDED: [(&str, Scope, Scope); 4] = [
    ("erase_subject", Scope::ErasuresWrite, Scope::ErasuresRead),
    (
        "export_subject_data",
        Scope::ErasuresWrite,
        Scope::ErasuresRead,
    ),
    ("record_consent", Scope::ConsentsWrite, Scope::ConsentsRead),
    ("forward_consent", Scope::ConsentsWrite, Scope::ConsentsRead),
];

fn guard(kind: &str) -> Option<(Scope, Scope)> {
    let found = GUARDED.iter().find(|(name, ..)| *name == kind);
    found.map(|(_, write, read)| (*write, *read))
}

/// Whether the operator may ask for such a job.
pub(super) fn may_ask(operator: &Operator, kind: &str) -> bool {
    guard(kind).is_none_or(|(write, _)| operator.may(write))
}

/// Refuses a job that the operator may not ask for.
pub(super) fn permit(operator: &Operator, kind: &str) -> Result<(), Fault> {
    guard(kind).map_or(Ok(()), |(write, _)| allow(operator, write))
}

/// Takes out of a job what the operator may not read.
pub(super) fn redact(operator: &Operator, job: &mut JobView) {
    let is_readable = guard(&job.kind).is_none_or(|(_, read)| operator.may(read));
    if !is_readable {
        job.payload = Value::Null;
        job.outcome = None;
        job.error = job.error.as_ref().map(|_| "not shown".to_owned());
    }
}
