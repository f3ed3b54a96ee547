//! Comparing the live trail, and our own database, with the anchors that the archive has. Whoever can write to both databases
//! can remove anchors there, and put both back to an earlier state; not here.

use futures_util::TryStreamExt;

use super::{
    BackupError,
    anchors::{inventories, open},
    archived::{self, Newest, load},
    drill::stopped,
    ledger,
};
use crate::{
    anchor::{Signed, Walked, signed, walk},
    checkpoint::{
        anchored::AnchoredTree,
        inventory::{Inventory, Organization},
        note::VerifierKey,
        tiles::Tree,
    },
    objects::{Digest, Vault, VaultError},
    progress::Progress,
    qwed::Database,
    state::Store,
    trail::finding::{AnchorFinding, Finding, Kind as Found},
    verify::report::{AnchorReport, AnchorsReport, Report},
};

/// What the archive has of anchors.
#[derive(Debug, Default)]
pub struct Vouchers {
    inventories: Vec<Inventory>,
    findings: Vec<AnchorFinding>,
}

impl Vouchers {
    /// Reads and authenticates the archive's anchors.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn load(
        vault: &Vault,
        origin: &str,
        keys: &[VerifierKey],
    ) -> Result<Self, BackupError> {
        let loaded = load(vault, origin, keys).await?;
        let mut wrong: Vec<_> = loaded.breaks.iter().map(|(_, it)| it.clone()).collect();
        let (inventories, more) = inventories(vault, &loaded.all, origin, keys).await?;
        wrong.extend(more);
        let findings = wrong.into_iter().map(|finding| {
            let detail = format!("the archive's {}: {}", finding.object, finding.detail);
            AnchorFinding::new(Found::AnchorMissing, detail)
        });
        Ok(Self {
            inventories,
            findings: findings.collect(),
        })
    }

    /// Whether there are none, and nothing speaks of any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inventories.is_empty() && self.findings.is_empty()
    }

    /// Reads each anchored trail once more and adds to the report what the anchors say of it.
    ///
    /// # Errors
    /// If the database cannot be read, or it is to stop.
    pub fn vouch(
        &self,
        database: &Database,
        organizations: &[i64],
        limit: usize,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), BackupError> {
        let newest = self.inventories.last();
        let mut reader = database.reader()?;
        let is_wanted = |id: &i64| organizations.is_empty() || organizations.contains(id);
        for (id, signed) in signed(&self.inventories) {
            let Some(newest) = newest.filter(|_| is_wanted(&id)) else {
                continue;
            };
            let walked = walk(&mut reader, id, i64::MAX, &signed, progress).map_err(stopped)?;
            let (first, last) = self.statements(id);
            let (Some(first), Some(last)) = (first, last) else {
                continue;
            };
            let trail = report.organization(id);
            let finding = judge(&walked, &signed, &self.inventories, &last);
            trail.anchor = Some(AnchorReport {
                number: newest.number,
                time: last.0.time.to_string(),
                entries: last.1.size,
                is_extended: finding.is_none(),
                unanchored_entries: walked.entries.saturating_sub(last.1.size),
                first_unanchored_id: walked.first_behind,
                last_unanchored_id: walked.first_behind.and(walked.last_id),
            });
            match finding {
                Some(finding) => trail.doubt(finding, limit),
                None => trail.vouch_for_legacy(&AnchoredTree {
                    tree: Tree {
                        size: last.1.size,
                        last_id: head(last.1),
                        ..Tree::default()
                    },
                    time: last.0.time,
                    first: (first.0.time, head(first.1)),
                }),
            }
        }
        report.judge_again();
        report.set_anchors(AnchorsReport {
            number: newest.map(|newest| newest.number),
            time: newest.map(|newest| newest.time.to_string()),
            unread_entries: None,
            findings: self.findings.clone(),
        });
        Ok(())
    }

    /// The first inventory that has the organisation, and the first that has it as it is in the newest.
    fn statements(&self, id: i64) -> (Option<Statement<'_>>, Option<Statement<'_>>) {
        let of = |inventory| Inventory::organization(inventory, Some(id)).map(|it| (inventory, it));
        let mut all = self.inventories.iter().filter_map(of);
        let newest = self.inventories.iter().rev().find_map(of);
        let first = all.next();
        let grown = newest.and_then(|(_, newest)| {
            let mut all = self.inventories.iter().filter_map(of);
            all.find(|(_, organization)| organization.size == newest.size)
        });
        (first, grown)
    }
}

type Statement<'a> = (&'a Inventory, &'a Organization);

fn head(organization: &Organization) -> i64 {
    organization.head.as_ref().map_or(i64::MIN, |head| head.id)
}

fn judge(
    walked: &Walked,
    signed: &Signed,
    inventories: &[Inventory],
    (_, last): &Statement<'_>,
) -> Option<Finding> {
    let name = |number: u64| {
        let found = inventories
            .iter()
            .find(|inventory| inventory.number == number);
        found.map_or_else(
            || format!("anchor {number}"),
            |found| format!("the archived anchor {number} of {}", found.time),
        )
    };
    let (&size, &(_, number)) = signed.last_key_value()?;
    if walked.entries == 0 {
        let detail = format!(
            "{} covers {size} entries of this organisation, and none is left",
            name(number)
        );
        let finding = Finding::new(head(last), Found::OrganisationVanished, detail);
        return Some(finding.over(head(last), size));
    }
    if let Some((wrong, number)) = walked.wrong {
        let detail = format!(
            "the first {wrong} entries are not those that {} covers; the first {} are as anchored before",
            name(number),
            walked.sound
        );
        let first = match walked.id_at_sound {
            Some(id) => id.saturating_add(1),
            None => walked.tiles.first().map_or(0, |(id, _)| *id),
        };
        return Some(Finding::new(first, Found::HistoryRewritten, detail));
    }
    let newest = walked.last_id?;
    (walked.entries < size).then(|| {
        let gone = size - walked.entries;
        let detail = format!(
            "the trail ends at entry {newest}, and {} covers {gone} more, up to {}: they were removed",
            name(number), head(last)
        );
        let first = newest.saturating_add(1);
        Finding::new(first, Found::TailRemoved, detail).over(head(last), gone)
    })
}

/// Whether our database and the archive agree about the newest manifest, the newest anchor that was archived, and the newest
/// entry of the ledger that was.
///
/// # Errors
/// If the store or our database cannot be read.
pub async fn compare_archived(
    vault: &Vault,
    store: &Store,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Vec<AnchorFinding>, BackupError> {
    let mut found = Vec::new();
    let mut find = |detail: String| found.push(AnchorFinding::new(Found::AnchorMissing, detail));
    // Before the archive is looked at: what was stored then has to be there.
    let stored = store.newest_archive_manifest().await?;
    let stored = stored.filter(|manifest| manifest.stored_at.is_some());
    let Newest {
        manifest: newest,
        anchor,
        ledger: entry,
    } = archived::newest(vault, origin, keys).await?;
    let number = newest.as_ref().map_or(0, |newest| newest.manifest.number);
    if let Some(stored) = &stored
        && (number < stored.number
            || newest
                .as_ref()
                .is_some_and(|newest| number == stored.number && newest.sha256 != stored.sha256))
    {
        find(format!(
            "the archive {} has not got backup {} as our database knows it: it was removed, objects.url was changed, or our \
             database was",
            vault.location(),
            stored.number
        ));
    }
    // Whatever stands in the archive was noted in our database before.
    let ours = store.newest_archive_manifest().await?;
    let ours = ours.map_or(0, |ours| ours.number);
    if ours < number {
        find(format!(
            "the archive has backup {number} and our database only {ours}: it was put back to an earlier state, or cut"
        ));
    }
    let mut is_behind = false;
    if let Some(newest) = anchor {
        let number = newest.first_id;
        let ours = store.anchors_before(number.saturating_add(1), 1).await?;
        match ours.first() {
            Some(ours) if ours.number == number => {
                if Digest::of(ours.note.as_bytes()).to_string() != newest.sha256 {
                    find(format!(
                        "anchor {number} is another than the one in the archive"
                    ));
                }
            }
            ours => {
                is_behind = true;
                find(format!(
                    "the archive has anchor {number} and our database only {}: it was put back to an earlier state, or anchors \
                     were removed",
                    ours.map_or(0, |ours| ours.number)
                ));
            }
        }
    }
    if !is_behind && let Some(number) = anchor_beyond(vault, store, origin, keys).await? {
        find(format!(
            "the archive has anchor {number}, and our database only those before it: it was put back to an earlier state, or \
             anchors were removed"
        ));
    }
    if let Some(entry) = entry
        && let Some((_, problem)) = ledger::differs(vault, store, &entry).await?
    {
        find(problem);
    }
    Ok(found)
}

/// The number of an anchor in the archive that would be next in our database. Anchors are archived one after the other, each
/// after it was kept there; so whatever is cut off behind one of ours, the next is there.
async fn anchor_beyond(
    vault: &Vault,
    store: &Store,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Option<i64>, BackupError> {
    let ours = store.newest_anchor().await?;
    let next = ours.map_or(0, |ours| ours.number) + 1;
    let prefix = format!("anchors/{next:012}-");
    // Of S3 this asks for nothing but these names.
    let found: Vec<_> = vault.versions(&prefix).try_collect().await?;
    for version in found.iter().filter(|version| !version.is_delete_marker) {
        let bytes = match vault.get(&version.name, version.version.as_deref()).await {
            Ok(bytes) => bytes,
            Err(VaultError::NotFound { .. } | VaultError::Name { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let is_next = open(&bytes, origin, keys)
            .is_ok_and(|inventory| inventory.number == next.cast_unsigned());
        // It may have been kept, and archived, since we looked.
        let newest = store.newest_anchor().await?;
        if is_next && newest.is_none_or(|newest| newest.number < next) {
            return Ok(Some(next));
        }
    }
    Ok(None)
}
