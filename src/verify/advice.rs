//! What to do about what was found.

use crate::trail::finding::Kind;

/// What to do about a finding, for whoever reads it first.
#[must_use]
pub fn advice(kind: Kind) -> &'static str {
    match kind {
        Kind::ContentChanged
        | Kind::SignatureInvalid
        | Kind::SignatureMissing
        | Kind::HashMissing
        | Kind::ResultMalformed => {
            "Leave the row as it is. Compare it with the archive's copy (trailkeeper archive restore, into a scratch database) and \
             find out who writes to the table beside QWED."
        }
        Kind::PredecessorMissing | Kind::Reordered | Kind::Forked | Kind::MovedOrganisation => {
            "Leave the rows as they are. The archive says which entries there were; the database's own logs say who deleted or moved \
             them."
        }
        Kind::TailRemoved | Kind::HistoryRewritten | Kind::OrganisationVanished => {
            "Treat it as an incident: what an anchor covers is gone or changed. Keep a copy of the database and the anchors, and restore \
             the missing entries from the archive into a scratch database to see what they were."
        }
        Kind::LegacyRowsChanged => {
            "Entries without hash are guarded by anchors alone. Compare them with the archive's copy."
        }
        Kind::UnknownKey => {
            "If QWED's audit key was changed, add the old one to qwed.keys and verify again. If it was not, somebody else signs entries."
        }
        Kind::GlobalChain | Kind::Legacy => "Nothing: this is how old releases of QWED wrote.",
        Kind::ChainRestarted => {
            "Nothing, if a release of QWED before 5.3 was restarted then. Otherwise entries before this one may be missing: compare with \
             the archive."
        }
        Kind::AnchorMissing | Kind::AnchorGap => {
            "Somebody removed anchors from the state database. The archive has copies of them: trailkeeper archive list shows them."
        }
        Kind::AnchorMoved => {
            "Set anchors.origin to what it was when these anchors were signed, or keep both origins' keys and verify with each."
        }
        Kind::WeakKey => {
            "Give QWED an audit key of 32 random bytes or more, and keep the old one in qwed.keys."
        }
        Kind::ErasureUndone => {
            "A restore brought back what was erased: run trailkeeper erase replay, so that it is erased again."
        }
        Kind::TombstoneInvalid => {
            "What vouches for erased entries is not what was signed. Check the ledger (trailkeeper ledger verify) and the keys in \
             anchors.public_keys."
        }
    }
}
