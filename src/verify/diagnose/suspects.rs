//! What was done to faulty rows.

use super::{Doctor, is_signature_of};
use crate::{
    qwed::{ReadError, owned::OwnedRow},
    trail::{
        chain::{Fault, Suspect, Trail},
        check::Checker,
        finding::{Finding, Kind},
        hash::HashText,
        tombstone::looks_anonymised,
    },
    verify::{
        cause::{self, Around, Change},
        scan::Worker,
    },
};

impl Doctor<'_> {
    /// The finding about a faulty row, or about several that share a fault; and whether it is certain all the same that the row
    /// was written for this organisation.
    pub(super) fn suspect(
        &self,
        worker: &mut Worker,
        organization_id: i64,
        trail: &Trail,
        suspect: &Suspect,
    ) -> Result<(Finding, bool), ReadError> {
        let Suspect {
            first_id,
            last_id,
            entries,
            fault,
        } = *suspect;
        let finding = |kind, detail: String, is_attributed: bool| {
            Ok((
                Finding::new(first_id, kind, detail).over(last_id, entries),
                is_attributed,
            ))
        };
        // In the old chain the next entry is the table's, whichever organisation's.
        let next = if self.is_old(first_id) {
            self.following(worker, last_id)?
        } else {
            self.behind(worker, organization_id, last_id)?
        };
        let named_by_next = next.map(|next| HashText::from(next.row().previous_hash));
        let Worker {
            reader, checker, ..
        } = worker;
        let Some(stored) = reader.entry(first_id)? else {
            let detail = "failed when it was checked, and was gone a moment later".to_owned();
            return finding(Kind::ContentChanged, detail, false);
        };
        let row = stored.row();
        let check = checker.check(&row);
        match fault {
            Fault::Result => finding(
                Kind::ResultMalformed,
                cause::foreign(&check).unwrap_or_else(|| "result is not JSON".to_owned()),
                false,
            ),
            Fault::Content => {
                let before = reader.before(organization_id, first_id)?;
                let named = HashText::from(row.previous_hash);
                let elsewhere: Vec<i64> = self
                    .owners(&named)
                    .filter_map(|owner| owner.organization_id)
                    .filter(|&other| other != organization_id)
                    .collect();
                let around = Around {
                    before: before.map(|before| HashText::from(before.row().entry_hash)),
                    named_by_next,
                    predecessor_in: &elsewhere,
                };
                let (kind, detail, is_attributed) = content(checker, &stored, &around);
                finding(kind, detail, is_attributed)
            }
            Fault::NoHash if entries > 1 => finding(
                Kind::HashMissing,
                format!("{entries} entries in a row have no hash, though the chain began before them: written past QWED, or blanked"),
                false,
            ),
            Fault::NoHash => {
                let before = reader.before(organization_id, first_id)?;
                let before = before.map(|before| HashText::from(before.row().entry_hash));
                let is_vouched_for = cause::is_vouched_for(checker, &row, before, named_by_next);
                let detail = if is_vouched_for {
                    "its place in the chain was blanked; the content is as it was, the next entry still names its hash"
                } else if row.is_unchained() {
                    "neither hash nor signature, though the chain began before it: written past QWED, or blanked"
                } else {
                    "the hash was blanked, and no other entry vouches for the content"
                };
                finding(Kind::HashMissing, detail.to_owned(), is_vouched_for)
            }
            Fault::NoSignature => finding(
                Kind::SignatureMissing,
                "hash and content agree, but there is no signature: anyone could have written that hash".to_owned(),
                true,
            ),
            Fault::Undone | Fault::LegacyUndone => finding(
                Kind::ErasureUndone,
                format!(
                    "{} erased, and the content is there again, as QWED wrote it: was QWED's database put back to an earlier \
                     state? \"trailkeeper erase replay\" erases again whoever was erased since",
                    if entries == 1 { "was".to_owned() } else { format!("{entries} entries in a row were") }
                ),
                true,
            ),
            Fault::Signature => {
                let (kind, detail) = signature(checker, &stored, suspect, trail, named_by_next);
                finding(kind, detail, true)
            }
        }
    }
}

/// What was done to a row whose content and hash disagree; and whether it is certain all the same that the row was written
/// for this organisation.
fn content(checker: &mut Checker, stored: &OwnedRow, around: &Around<'_>) -> (Kind, String, bool) {
    let row = stored.row();
    let check = checker.check(&row);
    if let Some(reason) = cause::foreign(&check) {
        return (Kind::ContentChanged, reason, check.hash_valid());
    }
    if check.signature_valid() && looks_anonymised(&row) {
        let detail = "its content was replaced by the marker of an erasure, and no tombstone vouches for that: verify with the \
                      state database that has the tombstones, or somebody else put the marker there";
        return (Kind::ContentChanged, detail.to_owned(), false);
    }
    match cause::single_change(checker, &row, around) {
        Some(Change::Organization(other)) => (
            Kind::MovedOrganisation,
            format!("was written for organisation {other} and moved here afterwards"),
            false,
        ),
        Some(Change::Column(what)) => (
            Kind::ContentChanged,
            format!("changed after it was signed: {what}, and nothing else"),
            true,
        ),
        Some(Change::OnlyHash) => (
            Kind::ContentChanged,
            "entry_hash was changed; the content is as it was, the next entry still names its hash".to_owned(),
            true,
        ),
        None if check.signature_valid() => (
            Kind::ContentChanged,
            "changed after it was signed: hash and signature are genuine and belong to other content".to_owned(),
            false,
        ),
        None => (
            Kind::ContentChanged,
            "neither hash nor signature belong to the content".to_owned(),
            false,
        ),
    }
}

fn signature(
    checker: &Checker,
    stored: &OwnedRow,
    suspect: &Suspect,
    trail: &Trail,
    named_by_next: Option<HashText>,
) -> (Kind, String) {
    let row = stored.row();
    let entries = suspect.entries;
    let known = match (row.entry_hash.text(), row.hmac_signature.text()) {
        (Some(hash), Some(signature)) => checker.ring().signer_at_any_time(hash, signature),
        _ => None,
    };
    if let Some(key) = known {
        let detail = format!(
            "signed with the key {:?} outside the time in which that key was valid",
            key.id()
        );
        return (Kind::SignatureInvalid, detail);
    }
    if trail.signed() == 0 {
        return (
            Kind::UnknownKey,
            "no signature of this trail matches a key: the key may be the wrong one (check QWED_AUDIT_SECRET_KEY), \
             or somebody without the key signed everything anew"
                .to_owned(),
        );
    }
    if entries > 1 {
        return (
            Kind::UnknownKey,
            format!(
                "{entries} entries in a row are signed with no known key: a key of that time may be missing from the \
                 ring, or somebody without the key signed them anew"
            ),
        );
    }
    match named_by_next.as_ref().and_then(HashText::text) {
        Some(named) if is_signature_of(checker, stored, named) => (
            Kind::ContentChanged,
            "content and hash were rewritten together; signature and next entry still belong to the original".to_owned(),
        ),
        _ => (
            Kind::SignatureInvalid,
            "hash and content agree, but the signature was not made with any key for that hash".to_owned(),
        ),
    }
}
