//! The certificate: what was erased, what remains and why, signed with the anchor key.
//!
//! It is a signed note like an anchor, so that whoever has the public key can verify it without us
//! (`trailkeeper audit verify`). It names nobody: whoever asked knows the request.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Office,
    plan::Archived,
    request::{Progress, Request},
};
use crate::{
    checkpoint::{
        merkle::{Hash, Range, leaf_hash},
        note::{Note, VerifierKey},
    },
    config::{EraseActivity, EraseEntries, EraseKeys},
    objects::Digest,
    trail::tombstone::{Seal, Tombstone},
};

/// The format that this program writes and reads.
const FORMAT: &str = "trailkeeper erasure certificate 1";

/// A certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The format's name and version.
    pub format: String,
    /// Whose trails they are, as in anchors.
    pub origin: String,
    /// The request.
    pub request: String,
    /// As whoever asked numbers it.
    pub reference: Option<String>,
    /// The subject's organisation.
    pub organization_id: i64,
    /// A salted hash that stands for the subject.
    pub subject: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it was approved.
    pub approved_at: Option<Timestamp>,
    /// By whom.
    pub approved_by: Option<String>,
    /// The digest of the plan that was approved.
    pub plan: Option<String>,
    /// When it was carried out.
    pub completed_at: Timestamp,
    /// What was erased, by table.
    pub erased: Progress,
    /// The tombstones of entries.
    pub tombstones: Buried,
    /// Copies in the archive.
    pub archive: Unreadable,
    /// What remains, and on which ground.
    pub remains: Vec<Remains>,
    /// What this does not prove.
    pub limits: Vec<String>,
}

/// Tombstones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buried {
    /// How many.
    pub count: u64,
    /// The root of the tree (RFC 6962) whose leaves are their lines, in the order of the ledger; in base64, as in
    /// checkpoints.
    pub root: String,
    /// How many entries failed their checks before they were erased; they go on being reported.
    pub faulty: u64,
}

/// Copies in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Keys that were destroyed, without which the subject's fields cannot be read.
    pub destroyed_keys: u64,
    /// Segments that can hold such fields.
    pub segments: u64,
    /// Some of them by name.
    pub names: Vec<String>,
    /// When the last lock on any of them ends, and it can be removed.
    pub locked_until: Option<Timestamp>,
}

/// Something that remains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remains {
    /// What.
    pub what: String,
    /// Why it may.
    pub ground: String,
}

/// A certificate that was signed.
pub(super) struct Made {
    pub(super) note: String,
    pub(super) sha256: String,
    pub(super) root: String,
}

/// The root of the tree whose leaves are these tombstones.
#[must_use]
pub fn root(tombstones: &[Tombstone]) -> Hash {
    let mut tree = Range::empty_at(0);
    for tombstone in tombstones {
        tree.append(leaf_hash(tombstone.to_string().as_bytes()));
    }
    tree.root().unwrap_or(Hash::EMPTY)
}

pub(super) fn make(
    office: &Office,
    request: &Request,
    tombstones: &[Tombstone],
    archived: &Archived,
) -> Result<Made, String> {
    let root = root(tombstones).to_string();
    let faulty = tombstones.iter().filter(|it| it.seal() == Seal::Failed);
    let certificate = Certificate {
        format: FORMAT.to_owned(),
        origin: office.origin.clone(),
        request: request.id.clone(),
        reference: request.reference.clone(),
        organization_id: request.organization_id,
        subject: request.subject_ref.clone(),
        requested_at: request.requested_at,
        approved_at: request.approved_at,
        approved_by: request.approved_by.clone(),
        plan: request.approved_digest.clone(),
        completed_at: office.now,
        erased: Progress {
            batches: Vec::new(),
            ..request.progress.clone()
        },
        tombstones: Buried {
            count: tombstones.len() as u64,
            root: root.clone(),
            faulty: faulty.count() as u64,
        },
        archive: Unreadable {
            destroyed_keys: request.progress.destroyed_keys,
            segments: archived.segments,
            names: archived.names.clone(),
            locked_until: archived.locked_until,
        },
        remains: remains(request),
        limits: limits(request),
    };
    let mut text = serde_json::to_string_pretty(&certificate).map_err(|error| error.to_string())?;
    text.push('\n');
    let note = Note::sign(text, &office.keys.signer).map_err(|error| error.to_string())?;
    let note = note.to_string();
    Ok(Made {
        sha256: Digest::of(note.as_bytes()).to_string(),
        note,
        root,
    })
}

fn remains(request: &Request) -> Vec<Remains> {
    let policy = &request.policy;
    let mut remains = Vec::new();
    let mut add = |what: &str, ground: &str| {
        remains.push(Remains {
            what: what.to_owned(),
            ground: ground.to_owned(),
        });
    };
    if policy.entries == EraseEntries::Anonymise {
        add(
            "of each entry of the trail: its number, time, domain, result of the verification, hash, signature and link",
            "integrity of the audit trail, GDPR Art. 17(3)(b) and (e)",
        );
    }
    add(
        "tombstones: of each erased entry its number, and the digest of what is left or its hash, signature and link",
        "proof that nothing but an erasure happened, GDPR Art. 5(2) and 17(3)(e)",
    );
    if policy.security_events == EraseEntries::Anonymise {
        add(
            "of each security event: its kind, layer, severity and time",
            "security of processing, GDPR Art. 32",
        );
    }
    if policy.api_keys == EraseKeys::Detach {
        add(
            "revoked API keys that belong to nobody",
            "security of processing, GDPR Art. 32",
        );
    }
    if policy.agent_activity == EraseActivity::Keep {
        add(
            "activities of agents that the subject made",
            "as configured (erasure.agent_activity)",
        );
    }
    if policy.user == EraseEntries::Anonymise || request.progress.user_kept.is_some() {
        add("the number of the user", "references that would break");
    }
    add(
        "the request: its number, the number of the user, a salted hash of the address",
        "accountability, GDPR Art. 5(2); so that a restore cannot undo the erasure",
    );
    remains
}

fn limits(request: &Request) -> Vec<String> {
    let mut limits = vec![
        "the hash of an entry is not salted: whoever guesses its whole content can confirm the guess".to_owned(),
        "copies that others made of QWED's database or of its backups are not known here".to_owned(),
    ];
    let mentioned = request
        .plan
        .as_ref()
        .map_or(0, |plan| plan.mentions.entries);
    if mentioned > 0 {
        limits.push(format!(
            "{mentioned} entries of others mention the subject's address; they were listed for a decision, not erased"
        ));
    }
    if let Some(why) = &request.progress.user_kept {
        limits.push(format!("the user's row was emptied and not deleted: {why}"));
    }
    limits
}

/// Reads a certificate that one of `keys` signed.
///
/// # Errors
/// Why it is none, in words.
pub fn open(text: &str, keys: &[VerifierKey]) -> Result<Certificate, String> {
    let note = Note::from_bytes(text.as_bytes()).map_err(|error| error.to_string())?;
    note.verify(keys).map_err(|error| error.to_string())?;
    let certificate: Certificate =
        serde_json::from_str(note.text()).map_err(|error| error.to_string())?;
    if certificate.format != FORMAT {
        return Err(format!(
            "its format is {:?}, and this program reads {FORMAT:?}",
            certificate.format
        ));
    }
    Ok(certificate)
}
