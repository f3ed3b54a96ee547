//! Consent records in the archive, and whether ours still are those.
//!
//! What a record says is encrypted under a key of its own for each data subject, and not under that of the user: an erasure that
//! destroys a user's key leaves the proof that they consented or withdrew, until somebody decides about that as well.

use std::collections::{BTreeMap, HashMap, HashSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::{
    BackupError,
    archived::load,
    envelope::{Kek, Place, hex},
    keyring::{Keyring, subject},
    manifest::{Kind, Object},
    put::Putter,
};
use crate::{
    checkpoint::note::VerifierKey,
    objects::{Digest, Vault},
    state::{Store, archive::ArchiveObject, consents::ConsentRow},
};

/// Records that make one object, at most.
const RECORDS: u32 = 1000;
/// Bytes of what they say, about, before they are encrypted and written as text: an object stays far below what a store takes.
const BYTES: usize = 8 << 20;
/// Stands where a table's name does.
const TABLE: &str = "consent";

/// A line of an object, as far as it is compared.
#[derive(Deserialize)]
struct Line {
    sequence: i64,
    entry_hash: String,
}

/// A record that is another than the one in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentDiffers {
    /// The organisation.
    pub organization_id: i64,
    /// The record's place in its chain.
    pub sequence: i64,
    /// In a sentence.
    pub detail: String,
}

/// Puts the records that came after what is archived of each organisation.
pub(super) async fn put(
    putter: &Putter,
    kek: &Kek,
    reach: &HashMap<String, i64>,
) -> Result<(), BackupError> {
    for organization in putter.store.consent_organizations().await? {
        let mut after = reach.get(&organization.to_string()).copied().unwrap_or(0);
        loop {
            let page = putter
                .store
                .consents_after((organization, after), RECORDS)
                .await?;
            let mut bytes = 0;
            let rows: Vec<ConsentRow> = page
                .into_iter()
                .take_while(|row| {
                    let is_room = bytes < BYTES;
                    bytes += row.query.len();
                    row.organization_id == organization && is_room
                })
                .collect();
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
                break;
            };
            let (first_id, last_id) = (first.sequence, last.sequence);
            let row_count = rows.len() as i64;
            let (handle, store, kek) = (Handle::current(), putter.store.clone(), kek.clone());
            let lines =
                tokio::task::spawn_blocking(move || sealed(&handle, &store, &kek, &rows)).await;
            let lines = lines.map_err(|error| BackupError::Refused(error.to_string()))??;
            let digest = Digest::of(lines.as_bytes());
            let object = ArchiveObject {
                name: format!("consents/{organization}/{first_id}-{last_id}-{digest}.ndjson"),
                kind: Kind::Consent.name().to_owned(),
                relation: Kind::Consent.name().to_owned(),
                organization: organization.to_string(),
                first_id,
                last_id,
                row_count,
                ..ArchiveObject::default()
            };
            putter.put(object, lines.into()).await?;
            after = last_id;
        }
    }
    Ok(())
}

/// Records as lines of JSON: the chain in the clear, and what they say encrypted.
fn sealed(
    handle: &Handle,
    store: &Store,
    kek: &Kek,
    rows: &[ConsentRow],
) -> Result<String, BackupError> {
    let mut keyring = Keyring::new(handle, store, kek);
    keyring.prepare(&rows.iter().map(owner).collect::<HashSet<_>>())?;
    let mut lines = String::new();
    for row in rows {
        let (key_id, key) = keyring.of(&owner(row)).ok_or_else(|| {
            BackupError::Refused("a data key that was made is not at hand".to_owned())
        })?;
        let place = Place {
            table: TABLE,
            organization: Some(row.organization_id),
            first_id: row.sequence,
            last_id: row.sequence,
            key: key_id,
        };
        let plain = json!({ "query": row.query, "result": row.result, "user_id": row.user_id });
        let sealed = key.seal(plain.to_string().as_bytes(), &place)?;
        let line = json!({
            "sequence": row.sequence,
            "status": row.status,
            "recorded_at": row.recorded_at,
            "verifier_version": row.verifier_version,
            "previous_hash": row.previous_hash,
            "entry_hash": row.entry_hash,
            "hmac_signature": row.hmac_signature,
            "key": key_id,
            "sealed": STANDARD.encode(sealed),
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    Ok(lines)
}

/// Whose key encrypts a record. The name is hashed, as an address has no place in a list of keys.
fn owner(row: &ConsentRow) -> String {
    let mut hash = Sha256::new();
    hash.update(row.subject_kind.as_bytes());
    hash.update([0]);
    hash.update(row.subject.as_bytes());
    let organization = subject(Some(row.organization_id), None);
    format!("{organization}/consent/{}", hex(&hash.finalize()[..16]))
}

/// Where our records differ from the newest of each organisation that is archived.
///
/// # Errors
/// If the store or our database cannot be read.
pub async fn compare_consents(
    vault: &Vault,
    store: &Store,
    origin: &str,
    keys: &[VerifierKey],
) -> Result<Vec<ConsentDiffers>, BackupError> {
    let loaded = load(vault, origin, keys).await?;
    let mut newest: BTreeMap<&str, &Object> = BTreeMap::new();
    let objects = loaded.all.iter().flat_map(|it| &it.manifest.objects);
    for object in objects.filter(|object| object.kind == Kind::Consent) {
        let known = newest.entry(&object.organization).or_insert(object);
        if known.last_id < object.last_id {
            *known = object;
        }
    }
    let mut differing = Vec::new();
    for (organization, object) in newest {
        let organization_id: i64 = organization
            .parse()
            .map_err(|error| BackupError::broken(&object.name, error))?;
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
        let before = (organization_id, last.sequence.saturating_sub(1));
        let ours = store.consents_after(before, 1).await?;
        let is_there = ours.first().is_some_and(|ours| {
            (ours.organization_id, ours.sequence) == (organization_id, last.sequence)
                && ours.entry_hash == last.entry_hash
        });
        if !is_there {
            differing.push(ConsentDiffers {
                organization_id,
                sequence: last.sequence,
                detail: "it is not the one in the archive: the chain was cut, changed, or put back to an earlier state"
                    .to_owned(),
            });
        }
    }
    Ok(differing)
}
