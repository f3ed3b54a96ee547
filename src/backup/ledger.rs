//! The ledger's entries in the archive, and whether ours still are those.

use serde::Deserialize;
use serde_json::json;

use super::{
    BackupError,
    archived::{Archived, load},
    manifest::{Kind, Object},
    put::Putter,
};
use crate::{
    checkpoint::note::VerifierKey,
    objects::{Digest, Vault},
    state::{Store, archive::ArchiveObject, ledger::LedgerRow},
};

/// Entries of the ledger that make one object.
const ENTRIES: u32 = 5000;

/// A line of an object.
#[derive(Deserialize)]
struct Line {
    number: i64,
    note: String,
}

/// Puts the entries that came after this number: the signed notes, as lines of JSON.
pub(super) async fn put(putter: &Putter, mut after: i64) -> Result<(), BackupError> {
    let kind = Kind::Ledger.name();
    loop {
        let entries = putter.store.ledger_after(after, ENTRIES).await?;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        let (first_id, last_id) = (first.number, last.number);
        let mut lines = String::new();
        for entry in &entries {
            let line = json!({ "number": entry.number, "note": entry.note });
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        let digest = Digest::of(lines.as_bytes());
        let object = ArchiveObject {
            name: format!("ledger/{first_id}-{last_id}-{digest}.ndjson"),
            kind: kind.to_owned(),
            relation: kind.to_owned(),
            first_id,
            last_id,
            row_count: entries.len() as i64,
            ..ArchiveObject::default()
        };
        putter.put(object, lines.into()).await?;
        after = last_id;
    }
}

/// The object with the newest entries.
pub(super) fn newest(manifests: &[Archived]) -> Option<&Object> {
    let objects = manifests.iter().flat_map(|it| &it.manifest.objects);
    let archived = objects.filter(|object| object.kind == Kind::Ledger);
    archived.max_by_key(|object| object.last_id)
}

/// How our ledger differs from the newest entry that is archived, and which that is; none if it has that entry as it was, or
/// nothing is archived.
///
/// # Errors
/// If the store or our database cannot be read.
pub async fn compare_ledger(
    vault: &Vault,
    store: &Store,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Option<(i64, String)>, BackupError> {
    let loaded = load(vault, origin, keys).await?;
    match newest(&loaded.all) {
        Some(object) => differs(vault, store, object).await,
        None => Ok(None),
    }
}

/// How our ledger differs from the newest entry of an object that is archived, and which that is; none if it has that entry as
/// it was.
pub(super) async fn differs(
    vault: &Vault,
    store: &Store,
    object: &Object,
) -> Result<Option<(i64, String)>, BackupError> {
    let bytes = vault.get(&object.name, object.version.as_deref()).await?;
    let sha256 = Digest::of(&bytes).to_string();
    if sha256 != object.sha256 {
        let problem = format!("its SHA-256 is {sha256} and was {}", object.sha256);
        return Err(BackupError::broken(&object.name, problem));
    }
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().last().unwrap_or_default();
    let last: Line =
        serde_json::from_str(last).map_err(|error| BackupError::broken(&object.name, error))?;
    let ours = store.ledger_after(last.number.saturating_sub(1), 1).await?;
    let is_there = |ours: &LedgerRow| ours.number == last.number && ours.note == last.note;
    Ok((!ours.first().is_some_and(is_there)).then(|| {
        let detail = format!(
            "entry {} of the ledger is not the one in the archive: the ledger was cut, changed, or put back to an earlier state",
            last.number
        );
        (last.number, detail)
    }))
}
